"""Plans: the order of stages, what moves when something changes, and what a value from a manifest may do."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from tiny import project

from dsvm import ecosystems
from dsvm.lock.resolver import made_section
from dsvm.model import PLATFORMS, InputError, Lock, Section
from dsvm.plan import make_plan
from dsvm.plan import rendering as render
from dsvm.plan.files import _environment_files, _kernelspec
from dsvm.plan.manifest import image_manifest


def later(lock: Lock, section_id: str, seconds: int) -> Lock:
    def move(section: Section) -> Section:
        return section.model_copy(update={"epoch": section.epoch + seconds}) if section.id == section_id else section

    return lock.model_copy(update={"sections": tuple(move(section) for section in lock.sections)})


def steps(lock: Lock) -> dict[str, str]:
    plan = make_plan(tiny.catalog(), lock)
    return {stage.name: " ".join(render.exec_form(step) for step in stage.steps) for stage in plan.stages}


def test_a_stage_starts_from_the_smallest_stage_it_needs() -> None:
    plan = make_plan(tiny.catalog(), tiny.lock())
    parents = {stage.name: stage.parent for stage in plan.stages}
    assert {parents[name] for name in parents if name.startswith("env-")} == {"runtime-python"}
    assert parents["editor-url"] == "editor-build-apt"
    assert parents["system"] == parents["runtime-python"] == "base"
    names = [stage.name for stage in plan.stages]
    assert all(parent == "base" or names.index(parent) < names.index(name) for name, parent in parents.items())


def test_an_update_of_one_place_changes_no_other_stage() -> None:
    before, after = steps(tiny.lock()), steps(later(tiny.lock(), "system", 1000))
    assert {name for name in before if before[name] != after[name]} == {"system"}


def test_an_update_of_one_package_changes_its_part_of_the_environment_alone() -> None:
    lock = tiny.lock()
    (env,) = (section for section in lock.sections if section.id == "env-base")
    newer = env.pins[0].model_copy(update={"version": "1.9", "file": "arrays-1.9-py3-none-any.whl", "sha256": "9" * 64})
    after = env.model_copy(update={"epoch": env.epoch + 1, "pins": (newer, *env.pins[1:])})
    parts = {part.id: part.input for part in ecosystems.get("pypi").parts(env)}
    moved = {part.id for part in ecosystems.get("pypi").parts(after) if part.input != parts.get(part.id)}
    assert len(parts) > len(moved) == 1
    changed = lock.model_copy(update={"sections": tuple(after if one.id == env.id else one for one in lock.sections)})
    assert steps(lock) == steps(changed), "the artefacts of a part tell its layer from the one before"


@given(st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), unique=True, min_size=1), st.data())
def test_a_package_stays_in_its_part_whatever_else_comes_or_goes(names: list[str], data: st.DataObject) -> None:
    def parts(names: list[str]) -> dict[str, str]:
        pins = tuple(tiny.pin("pypi", name, "1") for name in sorted(names))
        section = Section(
            id="env-x", ecosystem="pypi", request=None, input="0" * 64, epoch=1, pins=pins, extra={"env": "x"}
        )
        found = ecosystems.get("pypi").parts(section)
        assert found[0].extra["first"] and not any(part.extra["first"] for part in found[1:])
        return {pin.name: part.id for part in found for pin in part.pins}

    every = parts(names)
    assert sorted(every) == sorted(names), "none is lost, none stands twice"
    some = data.draw(st.lists(st.sampled_from(names), unique=True))
    assert parts(some) == {name: every[name] for name in some}


def test_what_changed_last_is_the_upmost_layer() -> None:
    def outputs(lock: Lock) -> list[str]:
        return [stage.name for stage in make_plan(tiny.catalog(), lock).stages if stage.output]

    assert outputs(tiny.lock())[-1] != "editor-url"
    assert outputs(later(tiny.lock(), "editor-url", 10_000))[-1] == "editor-url"


def test_what_comes_to_an_environment_is_one_layer_on_top_and_moves_no_other() -> None:
    def outputs(lock: Lock) -> list[tuple[str, str]]:
        plan = make_plan(tiny.catalog(), lock)
        places = [one for one in lock.sections if one.id in {stage.section for stage in plan.stages if stage.output}]
        own = {part.id: part.input for one in places for part in ecosystems.get(one.ecosystem).parts(one)}
        return [(stage.name, own[stage.name]) for stage in plan.stages if stage.output]

    def with_more(lock: Lock, *names: str) -> Lock:
        kept = {one.id: one for one in lock.sections}
        old = kept["env-base"]
        pins = sorted((*old.pins, *(tiny.pin("pypi", name, "1") for name in names)), key=lambda pin: pin.name)
        new = made_section(old.id, "pypi", old.tools, old.request, old.input, pins, old.extra, kept, lock.epoch + 1000)
        return lock.model_copy(update={"sections": tuple((kept | {old.id: new}).values())})

    lock = tiny.lock()
    once = with_more(lock, "more")
    *before, (name, _) = outputs(once)
    assert name == "env-base_later" and before == outputs(lock)
    assert once.epoch == lock.epoch + 1000
    twice = with_more(once, "still")
    assert outputs(twice)[:-1] == outputs(lock) and outputs(twice)[-1][0] == name
    assert outputs(twice)[-1] != outputs(once)[-1]
    assert with_more(twice) == twice, "where nothing moves, the layers stay"


def test_what_came_later_goes_to_its_parts_as_soon_as_something_else_moves() -> None:
    kept = {one.id: one for one in tiny.lock().sections}
    old = kept["env-base"]
    more = (*old.pins, tiny.pin("pypi", "more", "1"))
    one = made_section(old.id, "pypi", (), None, old.input, more, old.extra, kept, old.epoch + 1)
    assert one.later is not None and one.later.packages == ("more",) and one.epoch == old.epoch
    moved = (old.pins[0].model_copy(update={"sha256": "9" * 64}), *more[1:])
    for pins, extra in ((moved, old.extra), (more[1:], old.extra), (more, {**old.extra, "python": "elsewhere"})):
        two = made_section(old.id, "pypi", (), None, old.input, pins, extra, kept | {old.id: one}, old.epoch + 2)
        assert two.later is None and two.epoch == old.epoch + 2


def test_only_ecosystems_that_can_lay_it_on_top_have_what_came_later() -> None:
    kept = {one.id: one for one in tiny.lock().sections}
    old = kept["system"]
    pins = (*old.pins, tiny.pin("debian", "more", "1"))
    one = made_section(old.id, "apt", (), None, old.input, pins, old.extra, kept, old.epoch + 1)
    assert one.later is None and one.epoch == old.epoch + 1


def test_build_only_packages_are_not_in_the_image() -> None:
    plan = make_plan(tiny.catalog(), tiny.lock())
    assert set(image_manifest(plan)["packages"]) == {"base", "system", "env-base", "env-nets", "editor-url"}


def test_a_tool_s_package_is_its_own_and_not_a_system_package_beside_it() -> None:
    plan = make_plan(tiny.catalog(), tiny.lock())
    tools = {tool.name: (tool.package, tool.version, tool.ecosystem) for tool in plan.tools}
    assert tools["arrays"] == ("arrays", "1.4.0", "pypi")
    assert tools["editor"] == ("editor-1.2.tar.gz", "1.2", "url")


def test_the_plan_is_named_by_what_determines_the_image() -> None:
    one = make_plan(tiny.catalog(), tiny.lock())
    assert one.digest == make_plan(tiny.catalog(), tiny.lock()).digest
    assert one.digest != make_plan(tiny.catalog(), later(tiny.lock(), "env-base", 1)).digest
    assert set(one.scripts) >= {"install-apt", "install-pypi", "compile-wheels", "dsvm-start"}


def test_a_kernel_finds_programs_of_its_own_place_first() -> None:
    tools = {tool.tool: tool for tool in project().tools.values() if tool.kernel}
    specs = {
        name: json.loads(_kernelspec(tool, tool.kernel, PLATFORMS["linux"]))
        for name, tool in tools.items()
        if tool.kernel
    }
    assert specs["jupyterlab"]["argv"][:3] == ["/usr/local/bin/dsvm-python", "base", "-m"]
    assert specs["conda"]["env"] == {"PATH": "/opt/conda/bin:${PATH}"}
    assert "env" not in specs["irkernel"], "R is on everybody's PATH"


def test_jupyter_finds_the_kernels_of_the_image_before_those_that_packages_bring() -> None:
    plan = make_plan(tiny.catalog(), tiny.lock())
    (kernel,) = (path for path in plan.files if path.endswith("/kernel.json"))
    assert kernel.startswith(f"{plan.environment['JUPYTER_PATH']}/kernels/")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_a_quoted_word_stands_for_itself(value: str) -> None:
    """Read back by the rules of the Dockerfile reference: \\ escapes, $ expands, an unescaped quote ends the word."""
    word = render.quoted(value)
    assert word[0] == word[-1] == '"'
    inner = word[1:-1]
    assert re.fullmatch(r'(?:[^\\"$]|\\[\\"$])*', inner)
    assert re.sub(r"\\(.)", r"\1", inner) == value


@pytest.mark.parametrize("value", ["a\nRUN id", "a\r", "\x00", "tab\t"])
def test_a_control_character_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        render.quoted(value)


def test_files_have_pinned_times_and_modes(tmp_path: Path) -> None:
    plan = make_plan(tiny.catalog(), tiny.lock())
    render.write_files(plan, tmp_path / "files")
    found = {path.relative_to(tmp_path / "files"): path for path in (tmp_path / "files").rglob("*")}
    assert {str(path) for path in found} >= {"etc/editor.conf", "etc/dsvm/manifest.json", "usr/local/bin/dsvm-start"}
    assert {int(path.stat().st_mtime) for path in found.values()} == {plan.epoch}
    assert {path.stat().st_mode & 0o7777 for path in found.values() if path.is_dir()} == {0o755}
    assert found[Path("usr/local/bin/dsvm-start")].stat().st_mode & 0o777 == 0o755
    kernel = tmp_path / "files/usr/local/share/jupyter/kernels/nets/kernel.json"
    assert '"/usr/local/bin/dsvm-python"' in kernel.read_text()


# --- virtual machines ----------------------------------------------------------------------------------------


def test_a_container_does_not_change_by_what_only_machines_have() -> None:
    catalog = tiny.machine_catalog()
    lock = tiny.lock(catalog, "tiny-machine")
    container, machine = make_plan(catalog, lock), make_plan(catalog, lock, "qcow2")
    same = {"variant": "tiny-machine", "summary": container.summary}
    alone = make_plan(tiny.catalog(), tiny.lock())
    # the name is in the lock, whose digest is in the plan
    expected = tiny.lock().model_copy(update={"variant": "tiny-machine"}).digest
    assert container == alone.model_copy(update={**same, "lock_digest": expected, "left_out": container.left_out})
    assert [left.tool for left in container.left_out] == ["hub"]
    assert "hub" not in render.main_text(container)
    assert {tool.name for tool in machine.tools} == {tool.name for tool in container.tools} | {"hub"}
    assert machine.stages[-1].parent == "image"
    assert {"machine", "env-hub"} < {section.id for section in machine.sections}
    inside = image_manifest(machine)["packages"]
    assert {"machine", "env-hub"} < inside.keys()


def test_a_variant_without_machines_is_refused_as_one() -> None:
    with pytest.raises(InputError, match="does not come out as a virtual machine: its formats are docker"):
        make_plan(tiny.catalog(), tiny.lock(), "qcow2")
    catalog = tiny.machine_catalog()
    bare = {name: base.model_copy(update={"machine": None}) for name, base in catalog.bases.items()}
    tools = {name: tool for name, tool in catalog.tools.items() if name != "hub"}
    variants = {"tiny-machine": catalog.variant("tiny-machine").model_copy(update={"tools": tuple(tools)})}
    catalog = replace(catalog, bases=bare, tools=tools, variants=variants)
    with pytest.raises(InputError, match="base 'tiny-12' has no 'machine'"):
        make_plan(catalog, tiny.lock(catalog, "tiny-machine"), "qcow2")


def test_a_place_that_containers_have_too_takes_nothing_that_only_machines_have() -> None:
    catalog = tiny.machine_catalog()
    hub = catalog.tools["hub"].model_copy(update={"env": "nets"})
    catalog = replace(catalog, tools={**catalog.tools, "hub": hub})
    with pytest.raises(InputError, match="hub: only for virtual machines, and env-nets is in containers too"):
        tiny.lock(catalog, "tiny-machine")


def test_environment_files_of_a_machine_say_values_as_they_are() -> None:
    files = _environment_files({"A": 'C:\\x $HOME "q" `id`'})
    assert files["/etc/environment"].text == 'A="C:\\x $HOME "q" `id`"\n'
    assert files["/usr/local/lib/dsvm/environment"].text == 'A="C:\\\\x \\$HOME \\"q\\" \\`id\\`"\n'
    with pytest.raises(InputError, match="environment variable A"):
        _environment_files({"A": "x#y"})
