"""`invoke diff`: what differs between two locks, how sides are named, and how it is told."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import osv_records as osv
import pytest
import tiny
from fake_engine import FakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import ROOT
from test_pypi import wheel

from dsvm import catalog as catalogs
from dsvm import lock as locks
from dsvm.container import read_file
from dsvm.diff import both_sides, difference, further, signed, to_markdown
from dsvm.diff.comparing import direction
from dsvm.diff.contents import of_lock
from dsvm.host import find_engine
from dsvm.model import Change, Difference, InputError, LeftOut, Lock, Pin, Section, canonical_json
from dsvm.plan import image_sections, in_images, make_plan
from dsvm.plan.manifest import image_manifest
from dsvm.screen.difference import show_difference
from dsvm.session import Session
from dsvm.store import Store
from dsvm.vm import VERIFIED

LOCKS = ROOT / "manifests/locks"
OPPOSITE: dict[str, Change] = {"added": "removed", "removed": "added", "up": "down", "down": "up"}


def compared(old: Lock, new: Lock) -> Difference:
    catalog = tiny.catalog()
    return difference(of_lock(catalog, old, "old", "a file"), of_lock(catalog, new, "new", "a file"))


def changed(lock: Lock, section: str, *pins: Pin, without: tuple[str, ...] = ()) -> Lock:
    """The lock with other pins in a section: new ones, and those that take the place of others of their name."""

    def anew(one: Section) -> Section:
        kept = {pin.name: pin for pin in one.pins if pin.name not in without}
        return one.model_copy(update={"pins": tuple((kept | {pin.name: pin for pin in pins}).values())})

    return lock.model_copy(update={"sections": tuple(anew(one) if one.id == section else one for one in lock.sections)})


def seen(found: Difference) -> list[tuple[str, str, str]]:
    return [(one.section, one.name, one.change) for one in found.packages]


# --- what differs ------------------------------------------------------------------------------------------


def test_a_tool_its_package_and_its_size_go_up() -> None:
    newer = tiny.pin("pypi", "numpy", "2.5.0").model_copy(update={"size": 5_001_005})
    found = compared(tiny.lock(), changed(tiny.lock(), "env-base", newer))
    assert seen(found) == [("env-base", "numpy", "up")]
    assert (found.size, found.packages[0].size) == (5_000_000, 5_000_000)
    assert found.headline == "1 package up, +5.0 MB"


def test_the_headline_names_tools_before_packages() -> None:
    new = changed(tiny.lock(), "env-base", tiny.pin("pypi", "arrays", "1.10.0"), tiny.pin("pypi", "six", "1.0"))
    found = compared(tiny.lock(), new)
    assert [(one.tool, one.change) for one in found.tools] == [("arrays", "up")]
    assert found.headline == "arrays 1.4.0 -> 1.10.0, 1 package up, 1 added, +1.0 kB"


def test_one_name_in_two_environments_is_two_packages() -> None:
    old = changed(tiny.lock(), "env-nets", tiny.pin("pypi", "numpy", "2.4.0"))
    found = compared(old, changed(old, "env-nets", tiny.pin("pypi", "numpy", "2.3.0")))
    assert seen(found) == [("env-nets", "numpy", "down")]


def test_what_goes_from_one_section_to_another_has_moved() -> None:
    new = changed(tiny.lock(), "env-base", without=("numpy",))
    found = compared(tiny.lock(), changed(new, "env-nets", tiny.pin("pypi", "numpy", "2.5.0")))
    assert seen(found) == [("env-nets", "numpy", "moved")]
    (one,) = found.packages
    assert one.old and one.new and (one.old.section, one.new.section) == ("env-base", "env-nets")


def test_what_comes_to_several_sections_is_added_there() -> None:
    old = changed(tiny.lock(), "env-base", without=("pip",))
    new = changed(changed(old, "env-base", tiny.pin("pypi", "zip", "1")), "env-nets", tiny.pin("pypi", "zip", "1"))
    assert seen(compared(old, new)) == [("env-base", "zip", "added"), ("env-nets", "zip", "added")]


def test_the_same_version_as_another_artefact_was_rebuilt() -> None:
    other = tiny.pin("pypi", "numpy", "2.4.0").model_copy(update={"sha256": "b" * 64})
    assert seen(compared(tiny.lock(), changed(tiny.lock(), "env-base", other))) == [("env-base", "numpy", "rebuilt")]


def test_the_same_artefact_from_another_registry_has_moved() -> None:
    other = tiny.pin("pypi", "numpy", "2.4.0").model_copy(update={"registry": "special"})
    assert seen(compared(tiny.lock(), changed(tiny.lock(), "env-base", other))) == [("env-base", "numpy", "moved")]


def test_what_only_building_needs_counts_apart() -> None:
    found = compared(tiny.lock(), changed(tiny.lock(), "editor-build-apt", tiny.pin("apt", "make", "4.4-1")))
    assert [(one.name, one.inside) for one in found.packages] == [("make", False)]
    assert found.headline == "1 only for building, the same download"


def test_what_is_left_out_and_asked_otherwise_is_said() -> None:
    old = tiny.lock()
    new = old.model_copy(
        update={
            "left_out": (LeftOut(tool="hub", reason="left out on request"),),
            "sections": tuple(
                one.model_copy(update={"request": {"items": []}}) if one.id == "env-base" else one
                for one in old.sections
            ),
        }
    )
    found = compared(old, new)
    assert [(one.tool, one.change) for one in found.left_out] == [("hub", "added")]
    assert [(one.section, one.change, one.what) for one in found.sections] == [("env-base", "changed", ("request",))]
    assert found.headline == "no package differs, 1 left out otherwise, 1 section asked otherwise"


@pytest.mark.parametrize(
    ("ecosystem", "old", "new", "change"),
    [
        ("apt", "1:2.39-1", "1:2.39-1+b1", "up"),
        ("apt", "2.0", "2.0~rc1", "down"),
        ("pypi", "2.9", "2.10", "up"),
        ("pypi", "1.0", "1.0rc1", "down"),
        ("pypi", "1.0", "1.0.0", "changed"),
        ("conda", "1.0", "1.1a", "up"),
        ("cran", "1.9-1", "1.10", "up"),
        ("dnf", "1.0~rc1-1.el9", "1.0-1.el9", "up"),
        ("dnf", "9-1", "1:1-1", "up"),
        ("julia", "1.9.0", "1.10.0", "up"),
        ("julia", "0a" * 20, "1b" * 20, "changed"),
        ("npm", "1.0.0", "1.0.0-rc.1", "down"),
        ("npm", "1.9.0", "1.10.0", "up"),
        ("winget", "1.9", "1.10", "up"),
        ("url", "1.9", "1.10", "changed"),
        ("gone", "1.9", "1.10", "changed"),
    ],
)
def test_versions_have_the_order_of_their_ecosystem(ecosystem: str, old: str, new: str, change: Change) -> None:
    assert direction(ecosystem, old, new) == change


@pytest.mark.parametrize("name", ["cpu-debian", "gpu-ubuntu"])
def test_sections_in_images_are_known_without_a_plan(name: str) -> None:
    catalog = catalogs.load()
    lock = locks.read(LOCKS / f"{name}.json")
    plan = make_plan(catalog, lock)
    assert [one.id for one in lock.of("docker").sections if in_images(one)] == [one.id for one in image_sections(plan)]


@pytest.mark.parametrize("path", sorted(LOCKS.glob("*.json")), ids=lambda path: path.stem)
def test_a_lock_does_not_differ_from_itself(path: Path) -> None:
    catalog = catalogs.load()
    one = of_lock(catalog, locks.read(path), "one", "a file")
    found = difference(one, one)
    assert found.is_empty and found.headline == "no package differs" and found.size == 0


NAMES = st.sampled_from(["a", "b", "c", "d"])
VERSIONS = st.sampled_from(["1.0", "1.1", "2.0rc1", "2.0", "odd-one"])
PINS = st.dictionaries(NAMES, st.tuples(VERSIONS, st.sampled_from("xy"), st.sampled_from(["pypi", "other"])))
SECTIONS = st.dictionaries(st.sampled_from(["env-base", "env-nets", "env-new", "editor-build-pypi"]), PINS, min_size=1)


@st.composite
def small_locks(draw: st.DrawFn) -> Lock:
    """Locks of a few packages, by names and versions that come again in others."""

    def pin(name: str, version: str, build: str, registry: str) -> Pin:
        sha256 = hashlib.sha256(f"{name} {version} {build}".encode()).hexdigest()
        file = f"{name}-{version}-{build}.whl"
        return Pin(name=name, version=version, file=file, size=int(sha256[:4], 16), sha256=sha256, registry=registry)

    sections = [
        Section(
            id=section,
            ecosystem="pypi",
            request=draw(st.integers(0, 1)),
            input="0" * 64,
            epoch=0,
            pins=tuple(pin(name, *one) for name, one in sorted(pins.items())),
        )
        for section, pins in sorted(draw(SECTIONS).items())
    ]
    tools = sorted(draw(st.sets(st.sampled_from(["hub", "editor"]))))
    left_out = tuple(LeftOut(tool=tool, reason="so") for tool in tools)
    base = draw(st.sampled_from(["debian-12", "debian-13"]))
    return Lock(
        variant="x", base=base, base_kind="bootstrap", choices=(), left_out=left_out, sections=tuple(sections)
    )  # fmt: skip


def mirrored(found: Difference) -> Difference:
    """What it is the other way round, but for its headline."""

    def turned(one: object) -> dict[str, object]:
        change = one.change  # type: ignore[attr-defined]
        return {"change": OPPOSITE.get(change, change), "old": one.new, "new": one.old}  # type: ignore[attr-defined]

    packages = [one.model_copy(update=turned(one)) for one in found.packages]
    sections = [
        one.model_copy(update={"change": OPPOSITE.get(one.change, one.change)}) for one in found.sections
    ]  # fmt: skip
    return found.model_copy(
        update={
            "headline": "",
            "old": found.new,
            "new": found.old,
            "size": -(found.size or 0),
            "packages": tuple(sorted(packages, key=repr)),
            "left_out": tuple(one.model_copy(update=turned(one)) for one in found.left_out),
            "sections": tuple(sections),
        }
    )


CATALOG = tiny.catalog()


@settings(max_examples=200)
@given(small_locks(), small_locks())
def test_there_and_back_are_mirrored(one: Lock, other: Lock) -> None:
    old, new = of_lock(CATALOG, one, "one", "a file"), of_lock(CATALOG, other, "other", "a file")
    assert difference(old, old).is_empty
    found, back = difference(old, new), difference(new, old)
    ordered = tuple(sorted(back.packages, key=repr))
    assert mirrored(found) == back.model_copy(update={"headline": "", "packages": ordered})
    assert found.is_empty == (one == other)
    added = sum((one.size or 0) for one in found.packages)
    pins = [sum(pin.size for section in lock.sections for pin in section.pins) for lock in (one, other)]
    assert added == pins[1] - pins[0]
    assert Difference.model_validate_json(found.model_dump_json(by_alias=True)) == found


# --- beside packages ---------------------------------------------------------------------------------------


def whole(session: Session, old: str, new: str, *advisories: Path) -> Difference:
    sides = both_sides(session, None, old, new)
    return further(difference(*sides), *sides, session, advisories=advisories, today=date(2026, 11, 27))


def with_wheel(store: Store, lock: Lock, name: str, version: str, license: str) -> Lock:
    """The lock with a wheel, which is in the store, in its first environment."""
    file, data = wheel(name, version, license=license)
    part = store.temporary()
    part.write_bytes(data)
    sha256, size = store.add(part)
    pin = Pin(name=name, version=version, file=file, size=size, sha256=sha256, registry="pypi")
    return changed(lock, "env-base", pin)


def told(folder: Path) -> None:
    """What is known of jinja2: three vulnerabilities, one of them by two names."""
    folder.mkdir(parents=True)
    for one in (osv.PYSEC_2021_66, osv.GHSA_G3RQ, osv.GHSA_H5C8, osv.GHSA_H75V):
        (folder / f"{one['id']}.json").write_text(json.dumps(one))


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two locks: jinja2 with and without advisories, and under other terms."""
    monkeypatch.setenv("DSVM_STORE", str(tmp_path / "store"))
    names = []
    for version, license in (("2.11.2", "BSD-3-Clause"), ("3.1.6", "AGPL-3.0-only")):
        lock = with_wheel(Store(), tiny.lock(), "jinja2", version, license)
        locks.write(tmp_path / f"{version}.json", lock)
        names.append(str(tmp_path / f"{version}.json"))
    return names[0], names[1]


def test_advisories_are_fixed_and_new(releases: tuple[str, str], tmp_path: Path) -> None:
    told(tmp_path / "osv")
    found = whole(TinySession(print, print), *releases, tmp_path / "osv")
    known = found.vulnerabilities
    assert known is not None and known.new == () and known.still == 0
    assert [one.package for one in known.fixed] == ["jinja2"] * 3
    assert "3 advisories fixed" in found.headline
    back = whole(TinySession(print, print), releases[1], releases[0], tmp_path / "osv")
    assert back.vulnerabilities is not None and back.vulnerabilities.new == known.fixed
    assert "3 new advisories" in back.headline
    assert known.fixed[0].id in to_markdown(found)


def test_advisories_that_the_store_keeps_count_where_none_are_named(releases: tuple[str, str]) -> None:
    assert whole(TinySession(print, print), *releases).vulnerabilities is None
    told(Store().root / "advisories")
    known = whole(TinySession(print, print), *releases).vulnerabilities
    assert known is not None and known.fixed


def test_other_terms_are_said(releases: tuple[str, str]) -> None:
    found = whole(TinySession(print, print), *releases)
    assert [(one.name, one.old, one.new) for one in found.licenses] == [("jinja2", "BSD-3-Clause", "AGPL-3.0-only")]
    assert re.fullmatch(r"1 package up, -\d bytes, 1 licence differs", found.headline)
    assert "licence of env-base/jinja2: BSD-3-Clause -\\> AGPL-3.0-only" in to_markdown(found)


def test_layers_that_change_and_what_they_cost(releases: tuple[str, str]) -> None:
    layers = whole(TinySession(print, print), *releases).layers
    assert layers is not None and not layers.unpacked
    (one,) = layers.changed
    assert one.layer.startswith("env-base_") and one.change == "changed"
    assert layers.fetch == layers.here and layers.fetch, "the wheel is in the store"
    for blob in (Store().root / "blobs").glob("??/*"):
        blob.unlink()
    gone = whole(TinySession(print, print), *releases).layers
    assert gone is not None and gone.here == 0


def test_equal_locks_have_equal_layers_and_nobody_is_asked(releases: tuple[str, str]) -> None:
    found = whole(TinySession(print, print), releases[0], releases[0])
    assert found.layers is not None and found.layers.changed == () and found.layers.fetch == 0
    assert found.vulnerabilities is None and found.headline == "no package differs"


def machine_lock() -> Lock:
    return tiny.lock(tiny.machine_catalog(), "tiny-machine")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A disk with what `invoke build --format qcow2` leaves beside it."""
    plan = make_plan(tiny.machine_catalog(), machine_lock(), VERIFIED)
    disk = tmp_path / "tiny/tiny.qcow2"
    (disk.parent / "machine").mkdir(parents=True)
    disk.write_bytes(b"disk")
    (disk.parent / "machine/plan.json").write_text(canonical_json(plan))
    said = {
        "variant": "tiny-machine",
        "format": "qcow2",
        "plan": plan.digest,
        "lock": plan.lock_digest,
        "sha256": "a" * 64,
        "bytes": 4,
        "disk": 4,
        "accelerator": "kvm",
        "seconds": {},
    }
    disk.with_name("tiny.qcow2.json").write_text(json.dumps(said))
    return disk


def test_a_machine_is_compared_with_its_lock(machine: Path, tmp_path: Path) -> None:
    locks.write(tmp_path / "same.json", machine_lock())
    found = whole(TinySession(print, print), str(machine), str(tmp_path / "same.json"))
    assert found.is_empty and found.old.lock == found.new.lock and found.layers is None
    assert found.old.what == "machine aaaaaaaaaaaa"
    newer = changed(machine_lock(), "machine", tiny.pin("apt", "kernel-of-later", "9"))
    locks.write(tmp_path / "other.json", newer)
    assert seen(whole(TinySession(print, print), str(machine), str(tmp_path / "other.json"))) == [
        ("machine", "kernel-of-later", "added")
    ]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("tiny.qcow2", "no such file"),
        ("tiny.qcow2.json", "is no machine that DSVM made here: tiny.qcow2.json beside it"),
        ("machine/plan.json", "plan.json cannot be read"),
    ],
)
def test_a_disk_of_others_is_refused(machine: Path, file: str, said: str) -> None:
    (machine.parent / file).unlink()
    with pytest.raises(InputError, match=said) as caught:
        both_sides(TinySession(print, print), None, str(machine), str(machine))
    assert caught.value.hint


def test_a_disk_of_another_plan_is_refused(machine: Path) -> None:
    described = machine.with_name("tiny.qcow2.json")
    described.write_text(json.dumps(json.loads(described.read_text()) | {"plan": "0" * 64}))
    with pytest.raises(InputError, match="was made from another plan"):
        both_sides(TinySession(print, print), None, str(machine), str(machine))


# --- sides -------------------------------------------------------------------------------------------------


def git(folder: Path, *words: str, day: str = "2026-11-20") -> str:
    names = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@y", "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@y"}
    dates = {"GIT_AUTHOR_DATE": f"{day}T12:00:00Z", "GIT_COMMITTER_DATE": f"{day}T12:00:00Z"}
    none = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    environment = {**os.environ, **names, **dates, **none}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def without_numpy(lock: Lock) -> Lock:
    return changed(lock, "env-base", without=("numpy",))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog in git: cpu-debian's lock of two days, the older one without numpy, and one that is not committed."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "locks").mkdir()
    path = folder / "locks/cpu-debian.json"
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "readme").write_text("x")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=no lock yet", day="2026-11-01")
    lock = locks.read(LOCKS / "cpu-debian.json")
    for day, one in (("2026-11-10", without_numpy(lock)), ("2026-11-20", lock)):
        locks.write(path, one)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", f"--message={day}", day=day)
    git(folder, "tag", "second")
    locks.write(path, changed(lock, "env-base", without=("scipy",)))
    return folder


@pytest.fixture(scope="module")
def session(world: Path) -> Session:
    return Session(print, print, overlays=[world])


@pytest.mark.parametrize(
    ("variant", "old", "new", "expected"),
    [
        ("cpu-debian", None, None, [("scipy", "removed")]),
        (None, "cpu-debian@HEAD~1", "cpu-debian@HEAD", [("numpy", "added")]),
        ("cpu-debian", "HEAD~1", None, [("numpy", "added"), ("scipy", "removed")]),
        (None, "second", "cpu-debian", [("scipy", "removed")]),
        (None, "cpu-debian", "2026-11-19", [("numpy", "removed"), ("scipy", "added")]),
        (None, "cpu-debian@2026-11-10", "cpu-debian@second", [("numpy", "added")]),
        (None, "locks/cpu-debian.json", "second", [("scipy", "added")]),
        (None, "locks/cpu-debian.json", None, []),
    ],
)
def test_sides_are_files_variants_revisions_and_days(
    world: Path, session: Session, monkeypatch: pytest.MonkeyPatch, variant: str | None, old: str | None,
    new: str | None, expected: list[tuple[str, str]],
) -> None:  # fmt: skip
    monkeypatch.chdir(world)
    found = difference(*both_sides(session, variant, old, new))
    assert [(one.name, one.change) for one in found.packages] == expected


@pytest.mark.parametrize(
    ("variant", "old", "said"),
    [
        (None, None, "no variant is named"),
        ("cpu-debain", None, "did you mean 'cpu-debian'"),
        (None, "nonsense", "of which variant is it a revision"),
        ("cpu-debian", "nonsense", "git knows no revision 'nonsense'"),
        ("cpu-debian", "--output=/tmp/x", "git knows no revision"),
        ("cpu-debian", "HEAD~2", r"revision HEAD~2 \(\w+, 2026-11-01\) has no cpu-debian.json"),
        ("cpu-debian", "2026-11-09", "was in no commit by 2026-11-09"),
        (None, "gone.json", "gone.json: cannot be read: No such file"),
        (None, "other.json", "other.json: not a lock"),
        (None, "later.json", "not a lock of format 1, the one that this DSVM reads"),
        ("gpu-rocky", None, "gpu-rocky has no lock"),
    ],
)
def test_bad_sides_are_bad_input(
    world: Path, session: Session, monkeypatch: pytest.MonkeyPatch, variant: str | None, old: str | None, said: str
) -> None:
    monkeypatch.chdir(world)
    (world / "other.json").write_text("{}")
    later = json.loads((LOCKS / "cpu-debian.json").read_text()) | {"version": 2, "news": []}
    (world / "later.json").write_text(json.dumps(later))
    with pytest.raises(InputError, match=said) as caught:
        both_sides(session, variant, old, None)
    assert caught.value.hint


def test_a_folder_that_is_no_repository_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    shutil.copy2(LOCKS / "cpu-debian.json", tmp_path / "locks")
    with pytest.raises(InputError, match="no git repository"):
        both_sides(Session(print, print, overlays=[tmp_path]), "cpu-debian", None, None)


IMAGE, NEXT = "dsvm/tiny:latest", "dsvm/tiny:next"


def image_of(lock: str, letter: str, layers: dict[str, int]) -> dict[str, Any]:
    """What an engine says of an image with these layers, the lowest first: digest -> bytes."""
    history = [{"Size": size, "CreatedBy": "COPY /out/ /"} for size in reversed(layers.values())]
    return {
        "Id": "sha256:" + letter * 64,
        "Config": {"Labels": {"org.dsvm.lock": lock, "org.dsvm.variant": "tiny"}},
        "RootFS": {"Layers": [*layers]},
        "History": [{"Size": 0, "CreatedBy": "ENV A=b"}, *history],
    }


@pytest.fixture
def engine(engines: Callable[..., FakeEngine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    """An engine with an image of the tiny variant's lock."""
    one = engines()
    monkeypatch.setenv("DOCKER_HOST", one.url)
    plan = make_plan(tiny.catalog(), tiny.lock())
    one.images[IMAGE] = image_of(plan.lock_digest, "c", {"base": 100, "system": 20})
    one.inside = tmp_path / "inside"
    (one.inside / "etc/dsvm").mkdir(parents=True)
    (one.inside / "etc/dsvm/manifest.json").write_text(json.dumps(image_manifest(plan)))
    return one


class TinySession(Session):
    """With the tiny catalog."""

    catalog = tiny.machine_catalog()


def test_an_image_is_compared_with_what_containers_have_of_a_lock(engine: FakeEngine, tmp_path: Path) -> None:
    locks.write(tmp_path / "same.json", tiny.lock())
    locks.write(tmp_path / "other.json", changed(tiny.lock(), "env-base", tiny.pin("pypi", "numpy", "2.5.0")))
    session = TinySession(print, print)
    found = difference(*both_sides(session, None, IMAGE, str(tmp_path / "same.json")))
    assert found.is_empty and found.size is None and found.old.lock == found.new.lock
    found = difference(*both_sides(session, None, IMAGE, str(tmp_path / "other.json")))
    assert seen(found) == [("env-base", "numpy", "up")]
    assert found.headline == "1 package up"
    ((created, _), *_), removed = engine.asked("POST", "/containers/create"), engine.asked("DELETE", "/containers/")
    assert created and removed and not engine.asked("POST", "/start")


def test_two_images_differ_by_layers(engine: FakeEngine) -> None:
    lock = engine.images[IMAGE]["Config"]["Labels"]["org.dsvm.lock"]
    engine.images[NEXT] = image_of(lock, "d", {"base": 100, "other": 25_000_000, "more": 5})
    found = whole(TinySession(print, print), IMAGE, NEXT)
    assert found.layers is not None and found.layers.unpacked
    assert (found.layers.same, found.layers.fetch, found.layers.here) == (1, 25_000_005, None)
    assert [(one.layer, one.change) for one in found.layers.changed] == [
        ("system", "removed"), ("other", "added"), ("more", "added"),
    ]  # fmt: skip
    engine.images[NEXT]["History"] = []
    unknown = whole(TinySession(print, print), IMAGE, NEXT).layers
    assert unknown is not None and unknown.fetch is None


@pytest.mark.parametrize("text", [None, "nonsense", "{}", '{"lock": 1}'])
def test_an_image_of_others_is_refused(engine: FakeEngine, text: str | None) -> None:
    assert engine.inside is not None
    path = engine.inside / "etc/dsvm/manifest.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(InputError, match="is no image of DSVM"):
        both_sides(TinySession(print, print), None, IMAGE, IMAGE)


def test_an_image_that_contradicts_itself_is_refused(engine: FakeEngine) -> None:
    engine.images[IMAGE]["Config"]["Labels"]["org.dsvm.lock"] = "0" * 64
    with pytest.raises(InputError, match="says 000000000000 of its lock in a label"):
        both_sides(TinySession(print, print), None, IMAGE, IMAGE)


def test_an_image_that_is_not_there_is_said(engine: FakeEngine) -> None:
    with pytest.raises(InputError, match="no image dsvm/gone"):
        both_sides(TinySession(print, print), None, "dsvm/gone", IMAGE)


def test_a_file_of_an_image_may_be_missing(engine: FakeEngine) -> None:
    assert read_file(IMAGE, "/etc/nothing", find_engine()) is None


# --- how it is told ----------------------------------------------------------------------------------------


def hostile() -> Difference:
    """What foreign artefacts and manifests may say of themselves."""
    name, version = "x|<b>[y](z)`" + "Q" * 160, "1.0|<script>" + "9" * 60
    one = tiny.pin("pypi", "foreign", "1").model_copy(update={"name": name, "version": version})
    return compared(tiny.lock(), changed(tiny.lock(), "env-base", one, tiny.pin("pypi", "arrays", "1.5.0")))


def test_what_artefacts_say_is_no_markdown() -> None:
    text = to_markdown(hostile())
    assert "<script>" not in text and "](z)" not in text.replace(r"\](z)", "")
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (5, 6)
    assert text.startswith("## arrays 1.4.0 -\\> 1.5.0, 1 package up, 1 added, +")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_everything_in_its_width(columns: int) -> None:
    code = (
        "import test_diff, sys; from dsvm.screen import show_difference; show_difference(test_diff.hostile(), 'text')"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests/unit"), str(ROOT / "tests/golden")])
    main, other = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1", "PYTHONPATH": paths}
    with subprocess.Popen([sys.executable, "-c", code], stdout=other, env=environment):
        os.close(other)
        text = b"".join(_read(main)).decode().replace("\r", "")
    assert max(map(len, text.splitlines())) <= columns
    packed = re.sub(r"\s", "", text)
    assert text.startswith("arrays 1.4.0 -> 1.5.0") and packed.count("9") >= 60 and packed.count("Q") == 160
    assert "…" not in text


def _read(handle: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(handle, 65536)
        except OSError:  # the other side has gone
            os.close(handle)
            return
        yield data


def test_json_has_its_schema_and_units(capsys: pytest.CaptureFixture[str]) -> None:
    show_difference(hostile(), "json")
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "dsvm.diff/1" and isinstance(found["old"]["size"], int)
    assert Difference.model_validate(found) == hostile()
    schema = Difference.model_json_schema()
    assert "bytes" in schema["properties"]["size"]["description"]


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0"), (999, "+999 bytes"), (-1500, "-1.5 kB"), (120_400_000, "+120 MB"), (8_501_446_417, "+8.5 GB")],
)
def test_sizes_have_a_sign_and_a_unit(size: int, said: str) -> None:
    assert signed(size) == said


def test_the_command_says_it_and_ends_well() -> None:
    argv = [sys.executable, "-m", "invoke", "diff", "--old", "cpu-debian", "--new", "gpu-debian"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("debian-12 -> debian-13, pytorch ")
    done = subprocess.run([*argv, "--format", "sarif"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Known formats: text, markdown, json" in done.stderr
