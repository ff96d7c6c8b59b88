"""Locks: what is wanted, what is stale, how they read, write and compare."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from dsvm import lock as locks
from dsvm.catalog import Catalog, applicable
from dsvm.lock.files import to_text
from dsvm.lock.requests import wanted_sections
from dsvm.model import LeftOut, Lock, LockError, Pin, Repository, Section
from dsvm.plan import make_plan

WORDS = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and " " not in text)
PLACES = st.lists(WORDS, min_size=1, max_size=4).map("/".join)
PINS = st.builds(
    Pin,
    name=WORDS,
    version=WORDS,
    file=PLACES.filter(lambda text: not {"", ".", ".."} & {*text.split("/")} and "\\" not in text and ":" not in text),
    size=st.integers(0, 2**40),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    registry=WORDS,
    integrity=st.none() | WORDS,
)


@given(st.lists(PINS, max_size=5), st.integers(0, 2**33))
def test_a_lock_survives_writing_and_reading(pins: list[Pin], epoch: int) -> None:
    lock = tiny_lock_with(pins, epoch)
    again = Lock.model_validate_json(to_text(lock))
    assert again == lock
    assert again.digest == lock.digest
    assert to_text(again) == to_text(lock)


def tiny_lock_with(pins: list[Pin], epoch: int) -> Lock:
    digest = "0" * 64
    sections = (
        Section(id="a", ecosystem="x", request=["@pins0@", "@pins1@"], input=digest, epoch=epoch, pins=tuple(pins)),
        Section(id="b", ecosystem="x", request={}, input=digest, epoch=0, pins=()),
    )
    return Lock(variant="v", base="b", base_kind="bootstrap", choices=(), sections=sections)


def test_one_changed_pin_changes_one_line() -> None:
    old = tiny.lock()
    new = with_version(old, "env-base", "numpy", "2.5.0")
    before, after = to_text(old).splitlines(), to_text(new).splitlines()
    assert len(before) == len(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
    assert list(locks.changes(old, new)) == ["env-base: numpy 2.4.0 -> 2.5.0"]


def with_version(lock: Lock, section_id: str, name: str, version: str) -> Lock:
    def move(section: Section) -> Section:
        if section.id != section_id:
            return section
        pins = [pin.model_copy(update={"version": version}) if pin.name == name else pin for pin in section.pins]
        return section.model_copy(update={"pins": tuple(pins)})

    return lock.model_copy(update={"sections": tuple(move(section) for section in lock.sections)})


def test_a_fresh_lock_is_not_stale() -> None:
    assert locks.stale_sections(tiny.catalog(), tiny.lock()) == []


def test_a_changed_request_makes_its_own_section_stale_and_no_other() -> None:
    catalog = tiny.catalog()
    tool = catalog.tools["notebooks"]
    source = tool.sources[1].model_copy(update={"pypi": ("notebooks ~= 3.0",)})
    changed = tool.model_copy(update={"sources": (tool.sources[0], source)})
    catalog = replace(catalog, tools={**catalog.tools, "notebooks": changed})
    assert locks.stale_sections(catalog, tiny.lock()) == ["env-nets"]
    with pytest.raises(LockError, match="does not fit the manifests any more: env-nets") as caught:
        make_plan(catalog, tiny.lock())
    assert caught.value.exit_code == 3


def test_a_new_tool_and_a_tool_that_went_make_the_lock_stale() -> None:
    catalog = tiny.catalog()
    variant = catalog.variants["tiny"]
    fewer = variant.model_copy(update={"tools": ("arrays", "notebooks")})
    stale = locks.stale_sections(replace(catalog, variants={"tiny": fewer}), tiny.lock())
    assert stale == ["editor-build-apt", "editor-url"]
    less = tiny.lock().model_copy(update={"choices": tiny.lock().choices[:2]})
    assert locks.stale_sections(catalog, less) == []


def test_a_variant_starts_from_the_lock_of_the_nearest_that_is_like_it(tmp_path: Path) -> None:
    tiny_, variants = tiny.catalog(), {}
    whole = tiny_.variants["tiny"]
    asked = {
        "child": ("parent", whole.tools, whole.base), "parent": ("tiny", whole.tools, whole.base),
        "beside": (None, whole.tools[:1], whole.base), "stranger": (None, ("nothing",), whole.base),
        "elsewhere": ("tiny", whole.tools, "another"),
    }  # fmt: skip
    for name, (extends, tools, base) in asked.items():
        changes = {"variant": name, "extends": extends, "tools": tools, "base": base}
        variants[name] = whole.model_copy(update=changes)
    catalog = replace(tiny_, variants={"tiny": whole, **variants}, folders=(tmp_path,))

    def start(name: str) -> str | None:
        found = locks.relative(catalog, name)
        return found.variant if found is not None else None

    assert start("child") is None
    for name in ("beside", "tiny"):
        locks.write(locks.lock_path(catalog, name), tiny.lock().model_copy(update={"variant": name}))
    assert {name: start(name) for name in asked} == {
        "child": "tiny", "parent": "tiny", "beside": "tiny", "stranger": None, "elsewhere": None,
    }  # fmt: skip
    (tmp_path / "locks/tiny.json").unlink()
    assert {name: start(name) for name in ("child", "beside")} == {"child": "beside", "beside": None}
    (tmp_path / "locks/beside.json").write_text("{")
    with pytest.raises(LockError, match="beside"):
        start("child")


def test_what_is_wanted_is_grouped_by_place() -> None:
    catalog, lock = tiny.catalog(), tiny.lock()
    wanted = {one.id: one for one in wanted_sections(catalog, catalog.variants["tiny"], lock.choices)}
    assert set(wanted) == set(tiny.PACKAGES) - {"base"}
    assert wanted["system"].request.items == (("python3-minimal",), ("ca-certificates",), ("libgomp1",))
    assert wanted["env-nets"].request.kernel
    assert wanted["env-nets"].request.indexes == ("special",)
    assert not wanted["env-base"].request.kernel


def test_an_image_of_system_packages_alone_has_what_its_own_programs_run_with() -> None:
    catalog = tiny.catalog()
    (system,) = wanted_sections(catalog, catalog.variants["tiny"], [])
    assert system.request.items == (("python3-minimal",), ("ca-certificates",))


def test_repositories_go_to_the_system_and_make_it_stale_alone() -> None:
    catalog, lock = tiny.catalog(), tiny.lock()
    values = {"repository": "vendor", "summary": "x", "archive": "debian", "packages": ("libgomp1",)}
    place = {"base": "tiny-12", "suite": "sid", "components": ("main",)}
    vendor = Repository.model_validate({**values, "places": [place]})
    tool = catalog.tools["arrays"]
    asks = tool.model_copy(update={"sources": (tool.sources[0].model_copy(update={"repository": "vendor"}),)})
    catalog = replace(catalog, tools={**catalog.tools, "arrays": asks}, repositories={"vendor": vendor})
    wanted = {one.id: one for one in wanted_sections(catalog, catalog.variants["tiny"], lock.choices)}
    assert {name for name, one in wanted.items() if one.request.repositories} == {"system"}
    assert wanted["system"].as_json()["repositories"] == ["vendor"]
    assert locks.stale_sections(catalog, lock) == ["system"]
    # what the repository's manifest says counts, as an index's does
    inputs = set()
    for packages in (("libgomp1",), ("libgomp*",)):
        changed = {"vendor": vendor.model_copy(update={"packages": packages})}
        inputs.add(wanted["system"].input(catalog.bases["tiny-12"], changed))
    assert len(inputs) == 2


def test_sources_are_taken_by_what_the_variant_is() -> None:
    catalog = tiny.catalog()
    variant = catalog.variants["tiny"]
    base = catalog.bases["tiny-12"]
    tool = catalog.tools["notebooks"]
    assert [place for place, _ in applicable(tool, variant, base)] == [1]
    gpu = variant.model_copy(update={"accelerator": "gpu"})
    assert [place for place, _ in applicable(tool, gpu, base)] == [0, 1]


def only_for(catalog: Catalog, tool: str, **keys: object) -> Catalog:
    changed = catalog.tools[tool].model_copy(update=keys)
    return replace(catalog, tools={**catalog.tools, tool: changed})


def test_a_tool_for_other_formats_is_left_out_by_the_plan_and_not_by_the_lock() -> None:
    catalog = only_for(tiny.catalog(), "editor", formats=("qcow2", "ami"))
    variant = catalog.variants["tiny"]
    assert [tool.tool for tool in locks.tools_of(catalog, variant)] == ["arrays", "notebooks"]
    plan = make_plan(catalog, tiny.lock(catalog))
    assert plan.left_out == (LeftOut(tool="editor", reason="only for qcow2, ami", kind="unsuited"),)
    assert [tool.name for tool in plan.tools] == ["arrays", "notebooks"]
    machine = variant.model_copy(update={"formats": ("docker", "ami")})
    assert locks.unsuited(catalog, machine) == []


def test_a_tool_whose_sources_are_all_for_other_formats_is_left_out_too() -> None:
    catalog = tiny.catalog()
    source = catalog.tools["editor"].sources[0].model_copy(update={"formats": ("vhd",)})
    catalog = only_for(catalog, "editor", sources=(source,))
    variant = catalog.variants["tiny"]
    assert locks.unsuited(catalog, variant) == [LeftOut(tool="editor", reason="only for vhd", kind="unsuited")]
    other = source.model_copy(update={"formats": ("docker",)})
    assert locks.unsuited(only_for(catalog, "editor", sources=(source, other)), variant) == []


def test_system_packages_come_from_the_base_s_own_ecosystem() -> None:
    catalog = tiny.catalog()
    variant, base = catalog.variants["tiny"], catalog.bases["tiny-12"]
    arrays, editor = catalog.tools["arrays"], catalog.tools["editor"]
    other = base.model_copy(update={"ecosystem": "dnf"})
    assert applicable(arrays, variant, base)
    assert applicable(arrays, variant, other) == [], "its apt packages are not for this base"
    assert applicable(editor, variant, other) == [], "nor are those that only building needs"
    bare = base.model_copy(update={"runtimes": {}})
    assert applicable(arrays, variant, bare) == [], "without Python there is no environment"
    few = base.model_copy(update={"ecosystems": ("apt", "url")})
    assert applicable(arrays, variant, few) == []


def test_a_base_keeps_its_digest_while_it_says_nothing_of_formats_and_ecosystems() -> None:
    """Locks that stand somewhere were made before there were these two keys."""
    base = tiny.catalog().bases["tiny-12"]
    assert not {"formats", "ecosystems"} & set(base.model_dump(mode="json"))
    given = base.model_copy(update={"formats": ("ami",)})
    assert given.model_dump(mode="json")["formats"] == ["ami"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "variant": "x"}'])
def test_a_broken_lock_is_a_lock_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tiny.json"
    path.write_text(text)
    with pytest.raises(LockError, match=r"tiny\.json: not a lock") as caught:
        locks.read(path)
    assert "invoke lock" in caught.value.hint


def test_what_came_later_is_among_the_pins(tmp_path: Path) -> None:
    text = json.loads(to_text(tiny.lock()))
    (env,) = (one for one in text["sections"] if one["id"] == "env-base")
    path = tmp_path / "tiny.json"
    env["later"] = {"packages": ["arrays"], "epoch": env["epoch"] + 1}
    path.write_text(json.dumps(text))
    found = locks.read(path).section("env-base")
    assert found is not None and found.later is not None and found.later.packages == ("arrays",)
    env["later"]["packages"] = ["nothing"]
    path.write_text(json.dumps(text))
    with pytest.raises(LockError, match="none of its pins: nothing"):
        locks.read(path)


def test_a_lock_is_written_in_one_go(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "tiny.json"
    locks.write(path, tiny.lock())
    assert locks.read(path) == tiny.lock()
    assert [one.name for one in path.parent.iterdir()] == ["tiny.json"]
    assert path.stat().st_mode & 0o777 == 0o644
    os.utime(path, (0, 0))
    locks.write(path, tiny.lock())
    assert path.stat().st_mtime > 0


def test_no_committed_lock_names_a_registry_s_host() -> None:
    import re

    from dsvm.catalog import MANIFESTS

    found = list((MANIFESTS / "locks").glob("*.json"))
    assert found
    for path in found:
        lock = locks.read(path)
        for section in lock.sections:
            for pin in section.pins:
                assert pin.registry == "url" or not re.search(r"://|^/", pin.file), f"{path}: {pin.file}"
