"""A lock that somebody edited: it may say other versions, and nothing that the manifests do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import apt_archive as archives
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from small_world import SmallWorld, tool
from test_foreign_bytes import EXAMPLES, VALUES, changed, places
from test_npm import tarball
from test_pypi import wheel
from tiny import project

from dsvm import ecosystems
from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.lock import trust
from dsvm.lock.closure import compare
from dsvm.lock.files import to_text
from dsvm.model import DsvmError, Lock, LockError, Pin, Section
from dsvm.plan import make_plan
from dsvm.store import Store

CATALOG = tiny.catalog()
LOCK = json.loads(to_text(tiny.lock()))
DEB = "https://evil.invalid/libgomp1.deb"


def edited(section: str, change: Callable[[dict[str, Any]], object]) -> Lock:
    data = json.loads(json.dumps(LOCK))
    change(next(one for one in data["sections"] if one["id"] == section))
    return Lock.model_validate(data)


def pin(section: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in section["pins"] if one["name"] == name)
    return found


def new_pin(section: dict[str, Any], **said: Any) -> None:
    section["pins"].append({**section["pins"][0], **said})


EDITS: Mapping[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "a package from any host": (
        "system",
        lambda one: pin(one, "libgomp1").update(registry="url", file=DEB),
        f"system: libgomp1: no manifest asks for {DEB}",
    ),
    "a package of another archive": (
        "system",
        lambda one: pin(one, "libgomp1").update(registry="debian-sid"),
        "system: libgomp1: it cannot come from 'debian-sid': debian can serve it",
    ),
    "a URL where a path stands": (
        "system",
        lambda one: pin(one, "libgomp1").update(file=DEB),
        f"system: libgomp1: {DEB} is no path of a package",
    ),
    "a package of the base from any host": (
        "base",
        lambda one: pin(one, "libc6").update(registry="url", file=DEB),
        f"base: libc6: no manifest asks for {DEB}",
    ),
    "another preloaded library": (
        "env-base",
        lambda one: one["extra"].update(environment={"LD_PRELOAD": "/tmp/x.so"}),
        "env-base: extra.environment: Extra inputs are not permitted",
    ),
    "an environment in another place": (
        "env-base",
        lambda one: one["extra"].update(env="../../etc"),
        "env-base: its environment is 'base', and not \"../../etc\"",
    ),
    "the Python of another place": (
        "env-base",
        lambda one: one["extra"].update(python="/tmp/python"),
        'env-base: its \'extra\' is {"python": "/tmp/python"}',
    ),
    "an ordinary package under an index's name": (
        "env-nets",
        lambda one: pin(one, "notebooks").update(registry="pypi"),
        "env-nets: notebooks: it comes from 'special', and not from 'pypi'",
    ),
    "another build": (
        "env-nets",
        lambda one: pin(one, "notebooks").update(version="2.1", file="notebooks-2.1-py3-none-any.whl"),
        "env-nets: notebooks 2.1 from index 'special' is not a 'special' build",
    ),
    "another package's file": (
        "env-base",
        lambda one: pin(one, "numpy").update(file="numpyy-2.4.0-py3-none-any.whl"),
        "env-base: numpy 2.4.0: numpyy-2.4.0-py3-none-any.whl is no file of it",
    ),
    "source where only wheels may be": (
        "env-base",
        lambda one: pin(one, "numpy").update(file="numpy-2.4.0.tar.gz"),
        "env-base: numpy 2.4.0: numpy-2.4.0.tar.gz is no file of it",
    ),
    "a version that was not asked for": (
        "env-base",
        lambda one: pin(one, "arrays").update(version="3.0", file="arrays-3.0-py3-none-any.whl"),
        "env-base: arrays~=1.0 is asked for, and arrays 3.0 is pinned",
    ),
    "a package less": (
        "env-base",
        lambda one: one["pins"].remove(pin(one, "arrays")),
        "env-base: arrays~=1.0 is asked for, and no pin is it",
    ),
    "a package twice": (
        "env-base",
        lambda one: new_pin(one, version="1.4.1", file="arrays-1.4.1-py3-none-any.whl"),
        "env-base: arrays: it is pinned 2 times",
    ),
    "a layer on top where there is none": (
        "system",
        lambda one: one.update(later={"packages": ["libgomp1"], "epoch": 1}),
        "system: later: its ecosystem has no layer for what came later",
    ),
    "a download from another host": (
        "editor-url",
        lambda one: one["pins"][0].update(file="https://evil.invalid/editor-1.2.tar.gz"),
        "editor-url: editor-1.2.tar.gz: the manifest asks for https://example.invalid/editor-1.2.tar.gz 1.2",
    ),
    "a download of other content": (
        "editor-url",
        lambda one: one["pins"][0].update(sha256="b" * 64),
        "editor-url: editor-1.2.tar.gz: its manifest says another SHA-256 or size",
    ),
    "a download to another place": (
        "editor-url",
        lambda one: one["extra"]["places"]["editor-1.2.tar.gz"].update(to="/etc/profile.d"),
        "editor-url: it puts files elsewhere than the manifests say, or other ones",
    ),
    "a download nobody asked for": (
        "editor-url",
        lambda one: new_pin(one, name="more.tar.gz", file="https://evil.invalid/more.tar.gz"),
        "editor-url: more.tar.gz: no manifest asks for it",
    ),
    "another request": (
        "system",
        lambda one: one["request"]["items"].append(["netcat"]),
        "system: its request is another than that of the manifests",
    ),
    "other tools": (
        "system",
        lambda one: one.update(tools=["editor"]),
        "system: it is of another ecosystem, of other tools or for other formats",
    ),
    "only in machines": (
        "system",
        lambda one: one.update(formats=["qcow2"]),
        "system: it is of another ecosystem, of other tools or for other formats",
    ),
    "another ecosystem": (
        "editor-url",
        lambda one: one.update(ecosystem="pypi"),
        "editor-url: it is of another ecosystem, of other tools or for other formats",
    ),
    "a text with characters that turn it around": (
        "env-base",
        lambda one: one["extra"].update(env="base\u202e"),
        "env-base: its environment is 'base', and not \"base\\u202e\"",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_no_resolver_can_have_said_is_refused_before_there_is_a_plan(name: str) -> None:
    section, change, words = EDITS[name]
    lock = edited(section, change)
    assert locks.stale_sections(CATALOG, lock) == [], "it is no matter of staleness"
    with pytest.raises(LockError) as caught:
        make_plan(CATALOG, lock)
    assert words in caught.value.message
    assert "restore it from version control" in caught.value.hint


def test_every_fault_is_said_at_once_and_not_more_than_twenty() -> None:
    lock = tiny.lock()
    system = lock.section("system")
    assert system is not None
    strange = tuple(
        system.pins[0].model_copy(update={"name": f"p{n}", "file": f"p{n}.deb", "registry": "sid"}) for n in range(30)
    )
    many = lock.model_copy(
        update={"sections": (*lock.sections[:-1], system.model_copy(update={"pins": (*system.pins, *strange)}))}
    )
    with pytest.raises(LockError) as caught:
        locks.check(CATALOG, many)
    lines = caught.value.message.splitlines()
    assert len(lines) == 22 and lines[-1].endswith("more")


def test_a_tool_that_is_not_chosen_and_one_that_nobody_knows() -> None:
    lock = tiny.lock()
    for choices in ((), lock.choices[1:], (*lock.choices, lock.choices[0].model_copy(update={"tool": "nobody"}))):
        changed = lock.model_copy(update={"choices": choices})
        assert [*trust.faults(CATALOG, changed)] == [
            "its choices are of other tools than those of the variant that are not left out"
        ]


def test_a_tool_or_a_section_that_stands_twice() -> None:
    lock = tiny.lock()
    twice = lock.model_copy(update={"sections": (*lock.sections, lock.sections[-1]), "choices": (*lock.choices,) * 2})
    found = [*trust.faults(CATALOG, twice)]
    assert "system: it stands there twice" in found and "editor: it stands there twice" in found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", "../../etc/passwd"),
        ("file", "/etc/passwd"),
        ("file", "pool//x.deb"),
        ("file", "pool/./x.deb"),
        ("file", "a\\b"),
        ("file", "ftp://host/x.deb"),
        ("file", "a b"),
        ("name", ""),
        ("name", "x\x1b[31m"),
        ("version", "1\u202e2"),
        ("registry", "a\nb"),
    ],
)
def test_words_of_a_pin_that_lead_elsewhere_or_that_nobody_sees(key: str, value: str) -> None:
    with pytest.raises(ValidationError):
        edited("system", lambda one: one["pins"][0].update({key: value}))


# what people review: versions, the files that they are in, digests and sizes, and when they changed
REVIEWED = {"version", "file", "size", "sha256", "epoch", "integrity", "passed_over", "reason"}


def unreviewed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: unreviewed(one) for key, one in value.items() if key not in REVIEWED}
    return [unreviewed(one) for one in value] if isinstance(value, list) else value


@settings(max_examples=EXAMPLES)
@given(place=st.sampled_from(places(LOCK)), new=VALUES)
def test_what_is_taken_of_an_edited_lock_says_nothing_new(place: tuple[str | int, ...], new: object) -> None:
    try:
        lock = Lock.model_validate_json(json.dumps(changed(LOCK, place, new)))
        make_plan(CATALOG, lock)
    except (DsvmError, ValueError):
        return
    after = json.loads(to_text(lock))
    named = {one["id"]: {pin["name"] for pin in one["pins"]} for one in LOCK["sections"]}
    for section in after["sections"]:
        # system packages that nobody asked for are found by their own words, before a build
        section["pins"] = [pin for pin in section["pins"] if pin["name"] in named[section["id"]]]
    before = unreviewed(json.loads(json.dumps(LOCK)))
    for section in before["sections"]:
        kept = {pin["name"] for one in after["sections"] if one["id"] == section["id"] for pin in one["pins"]}
        section["pins"] = [pin for pin in section["pins"] if pin["name"] in kept]
    assert unreviewed(after) | {"left_out": []} == before | {"left_out": []}


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted((tiny.MANIFESTS.parents[2] / "manifests/locks").glob("*"))]
)
def test_our_own_locks_say_nothing_else(name: str) -> None:
    catalog = project()
    lock = locks.find(catalog, name)
    assert lock is not None
    if not locks.stale_sections(catalog, lock):
        assert [*trust.faults(catalog, lock)] == []


# --- what artefacts say ------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def stored(store: Store, folder: Path, one: Pin, data: bytes) -> Pin:
    folder.mkdir(exist_ok=True)
    (folder / "file").write_bytes(data)
    sha256, size = store.add(folder / "file")
    return one.model_copy(update={"sha256": sha256, "size": size})


def with_pins(catalog: Catalog, section_id: str, pins: tuple[Pin, ...]) -> Lock:
    lock = tiny.lock(catalog)
    section = lock.section(section_id)
    assert section is not None
    return lock.model_copy(update={"sections": (section.model_copy(update={"pins": pins}),)})


def wheels(store: Store, folder: Path, *packages: tuple[str, str, tuple[str, ...]], **called: str) -> Lock:
    """The tiny lock's environment, of these wheels; `called` renames the file of one in the lock."""
    pins = []
    for name, version, needs in packages:
        file, data = wheel(name, version, requires=needs)
        one = tiny.pin("pypi", name, version).model_copy(update={"file": called.get(name, file)})
        pins.append(stored(store, folder, one, data))
    return with_pins(CATALOG, "env-base", tuple(pins))


ARRAYS = ("arrays", "1.4.0", ("numpy", "speed; extra == 'fast'", "old; python_version < '3'"))
NUMPY = ("numpy", "2.4.0", ())


def test_pins_that_artefacts_lead_to_are_compared_once(store: Store, tmp_path: Path) -> None:
    lock = wheels(store, tmp_path / "w", ARRAYS, NUMPY)
    compare(CATALOG, lock, store)
    for one in lock.sections[0].pins:
        store.path(one.sha256).unlink()
    compare(CATALOG, lock, Store(store.root))  # remembered: it needs no artefact


@pytest.mark.parametrize("name", ["evil", "speed", "old"])
def test_a_package_that_nothing_needs_stops_the_build(store: Store, tmp_path: Path, name: str) -> None:
    lock = wheels(store, tmp_path / "w", ARRAYS, NUMPY, (name, "1.0", ()))
    for _ in range(2):  # and it is not remembered as good
        with pytest.raises(LockError, match=f"env-base: {name}: nothing that was asked for needs it"):
            compare(CATALOG, lock, store)


def test_a_file_of_another_package_under_the_right_name(store: Store, tmp_path: Path) -> None:
    lock = wheels(store, tmp_path / "w", ARRAYS, NUMPY)
    _, data = wheel("numpyy", "2.4.0")
    first, second = lock.sections[0].pins
    with pytest.raises(LockError, match=r"env-base: numpy 2\.4\.0: numpy-2\.4\.0-py3-none-any\.whl is numpyy 2\.4\.0"):
        compare(CATALOG, with_pins(CATALOG, "env-base", (first, stored(store, tmp_path / "w", second, data))), store)


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + bytes(18), b"!<arch>\n", b"\x1f\x8b\x08\x00nothing", b"x" * 900])
@pytest.mark.parametrize(("section", "ecosystem"), [("env-base", "pypi"), ("system", "apt")])
def test_bytes_that_are_no_package(store: Store, tmp_path: Path, section: str, ecosystem: str, data: bytes) -> None:
    one = stored(store, tmp_path / "w", tiny.pin(ecosystem, "libgomp1", "1.0"), data)
    with pytest.raises(LockError, match=r"libgomp1.* no (wheel|Debian package)"):
        compare(CATALOG, with_pins(CATALOG, section, (one,)), store)


def described(ecosystem: str, one: Pin, path: Path) -> ecosystems.Described:
    found = ecosystems.get(ecosystem)
    assert isinstance(found, ecosystems.ReadsArtefacts)
    return found.described(one, path, CATALOG.bases["tiny-12"])


def test_what_a_debian_package_offers_and_needs(tmp_path: Path) -> None:
    fields = {
        "Depends": "libc6 (>= 2.36), a | b:any, c", "Pre-Depends": "d", "Provides": "v (= 1), w",
        "Essential": "yes",
    }  # fmt: skip
    path = archives.deb(tmp_path, "one", files=None, **fields)
    said = described("apt", tiny.pin("apt", "one", "1.0"), path)
    assert (said.name, said.essential) == ("one", True)
    assert said.offers == {"v": ("one",), "w": ("one",), "one": ["d", "libc6", "a", "b", "c"]}


def test_a_program_of_npm_may_need_what_its_own_folders_say(tmp_path: Path) -> None:
    path = tmp_path / "one.tgz"
    needs = {"a": "1", "other": "npm:@x/b@2"}
    path.write_bytes(
        tarball(
            {
                "package.json": json.dumps({"name": "one", "version": "1.0.0", "dependencies": needs}),
                "lib/in/package.json": '{"dependencies": {"c": "1"}}',
                "node_modules/d/package.json": '{"dependencies": {"e": "1"}}',
            }
        )
    )
    one = Pin(name="one", version="1.0.0", file="one/-/one-1.0.0.tgz", size=1, sha256="0" * 64, registry="npm")
    assert sorted(described("npm", one, path).offers["one"]) == ["@x/b", "a", "c"]


# --- by the commands ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    world = SmallWorld(tmp_path_factory.mktemp("world"))
    debs = world.folder / "debs"
    world.set_up([archives.deb(debs, "hello"), archives.deb(debs, "netcat")])
    world.write("tools/hello.yaml", tool("hello", {"apt": ["hello"]}))
    world.write(
        "variants/edited.yaml", {"variant": "edited", "base": "debian-12", "accelerator": "cpu", "tools": ["hello"]}
    )
    done = world.invoke("lock", "--variant", "edited")
    assert done.returncode == 0, done.stderr
    return world


def rewrite(world: SmallWorld, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    path = world.mine / "locks/edited.json"
    data = json.loads(path.read_text())
    change(next(one for one in data["sections"] if one["id"] == "system")["pins"])
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("command", ["fetch", "render", "lock", "lock --upgrade"])
def test_commands_take_nothing_of_an_edited_lock(world: SmallWorld, command: str) -> None:
    path = world.mine / "locks/edited.json"
    good = path.read_text()
    try:
        rewrite(world, lambda pins: pins[0].update(registry="url", file="http://127.0.0.1:9/evil.deb"))
        bad = path.read_text()
        done = world.invoke(*command.split(), "--variant", "edited")
        assert done.returncode == 3, done.stdout + done.stderr
        assert "no manifest asks for http://127.0.0.1:9/evil.deb" in done.stderr
        assert path.read_text() == bad
        listed = world.invoke("list")
        assert listed.returncode == 0, listed.stderr
    finally:
        path.write_text(good)


def test_a_package_of_the_archive_that_nobody_asked_for_stops_where_it_was_fetched(world: SmallWorld) -> None:
    path = world.mine / "locks/edited.json"
    good = path.read_text()
    listed = (world.folder / "debian/dists/bookworm/main/binary-amd64/Packages").read_text()
    entry = dict(
        line.split(": ", 1)
        for line in next(one for one in listed.split("\n\n") if "Package: netcat" in one).splitlines()
    )
    more = {
        "name": "netcat", "version": entry["Version"], "file": entry["Filename"], "size": int(entry["Size"]),
        "sha256": entry["SHA256"], "registry": "debian",
    }  # fmt: skip
    try:
        rewrite(world, lambda pins: pins.append(more))
        done = world.invoke("fetch", "--variant", "edited")
        assert done.returncode == 3, done.stdout + done.stderr
        assert "system: netcat: nothing that was asked for needs it" in done.stderr
    finally:
        path.write_text(good)


def test_a_section_of_no_ecosystem_here_is_said(tmp_path: Path) -> None:
    section = Section(id="x", ecosystem="zypper", request={}, input="0" * 64, epoch=1, pins=())
    with pytest.raises(LockError, match="the ecosystem 'zypper' is not here"):
        ecosystems.get(section.ecosystem)
