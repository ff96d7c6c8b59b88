"""An ecosystem and tools from outside, by the commands that a newcomer types: CONTRIBUTING.md's own examples."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from newcomer import OUTSIDE, contributing, fill, install, served
from small_world import ROOT, SmallWorld

from dsvm import lock as locks
from dsvm.container.layouts import write_layout
from dsvm.ecosystems import layout_folder, outside
from dsvm.ecosystems.registered import registry
from dsvm.host import bundled
from dsvm.model import Base, InputError
from dsvm.store import Store

VARIANT = "outside-unit"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("scratch"))


@pytest.fixture
def world(tmp_path: Path, installed: Path) -> Iterator[SmallWorld]:
    world = SmallWorld(tmp_path, python_path=(installed,))
    world.set_up()
    world.add_wheel("networkx", "3.4.2")
    shutil.copytree(OUTSIDE / "catalog", world.mine, dirs_exist_ok=True)
    variant = (world.mine / "variants/outside.yaml").read_text()
    (world.mine / "variants/outside.yaml").unlink()
    world.write(f"variants/{VARIANT}.yaml", variant.replace("variant: outside", f"variant: {VARIANT}"))
    for name, text in contributing().items():
        world.write(name, text)
    with served(fill(tmp_path / "shelf")) as url:
        world.sources["shelf"] = url
        yield world
    shutil.rmtree(ROOT / "build" / VARIANT, ignore_errors=True)


def test_a_tool_and_an_ecosystem_from_outside_go_all_the_way_to_a_dockerfile(world: SmallWorld, tmp_path: Path) -> None:
    listed = world.invoke("list")
    assert listed.returncode == 0, listed.stderr
    rows = {line.split()[0]: line for line in listed.stdout.splitlines() if line.startswith(" ")}
    assert [name for name in ("greeter", "networkx") if "wanted" not in rows[name]] == []

    locked = world.invoke("lock", "--variant", VARIANT)
    assert locked.returncode == 0, locked.stderr
    text = (world.mine / f"locks/{VARIANT}.json").read_text()
    assert "127.0.0.1" not in text, "a lock names no host"
    lock = locks.read(world.mine / f"locks/{VARIANT}.json")
    (shelf,) = (section for section in lock.sections if section.ecosystem == "shelf")
    assert {pin.name: pin.version for pin in shelf.pins} == {"greeter": "1.2", "phrases": "3"}
    assert shelf.request["items"] == [["greeter"]]

    # the base of three packages would not run: what was made of it stands there as after an earlier run
    (base,) = (section for section in lock.sections if section.id == "base")
    manifest = Base.model_validate(yaml.safe_load((world.mine / "bases/debian-12.yaml").read_text()))
    made = layout_folder(manifest, base, world.store)
    packed = tmp_path / "empty.tar"
    packed.write_bytes(bytes(10240))
    digest = write_layout(made, packed, base=manifest, epoch=0)
    (made / "digest").write_text(digest + "\n")
    fetched = world.invoke("fetch", "--variant", VARIANT)
    assert fetched.returncode == 0, fetched.stderr
    assert all(Store(world.store).has(pin.sha256, pin.size) for section in lock.sections for pin in section.pins)

    rendered = world.invoke("render", "--variant", VARIANT)
    assert rendered.returncode == 0, rendered.stderr
    build = ROOT / "build" / VARIANT
    dockerfile = (build / "Dockerfile").read_text()
    assert '["/dsvm/bin/install-shelf", "env-shelf"]' in dockerfile
    assert "COPY --link --from=env-shelf /out/ /" in dockerfile
    assert "--mount=type=bind,from=scripts,source=/install-shelf,target=/dsvm/bin/install-shelf" in dockerfile
    script = build / "scripts/install-shelf"
    assert script.read_text().startswith("#!/bin/bash\n")
    assert script.stat().st_mode & 0o111
    subprocess.run([bundled("shellcheck"), script], check=True)
    plan = json.loads((build / "plan.json").read_text())
    assert plan["scripts"]["install-shelf"] == hashlib.sha256(script.read_bytes()).hexdigest()
    assert [tool["version"] for tool in plan["tools"] if tool["name"] == "greeter"] == ["1.2"]


def test_what_it_refuses_has_file_and_line_in_its_own_words(world: SmallWorld) -> None:
    tool = world.mine / "tools/greeter.yaml"
    good = tool.read_text()
    for wrong, said in (
        ("- shelf: [greeter, Phrases!]", "greeter.yaml:7: 'Phrases!' is no package of a shelf: NAME, or NAME VERSION"),
        ("- shelf: []", "greeter.yaml:7: sources.0.shelf: tuple should have at least 1 item"),
        ("- shelve: [greeter]", "greeter.yaml:7: unknown key 'shelve' (did you mean 'shelf'?)"),
        ("- {pypi: [x], build: {shelf: [X]}}", "greeter.yaml:7: build.shelf: 'X' is no package of a shelf"),
    ):
        tool.write_text(good.replace("- shelf: [greeter]", wrong))
        done = world.invoke("lock", "--variant", VARIANT)
        assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
    tool.write_text(good.replace("shelf: [greeter]", "shelf: [greeter 7]"))
    done = world.invoke("lock", "--variant", VARIANT)
    assert done.returncode == 3, done.stderr
    assert (
        "tool 'greeter' cannot be had from any of its sources:\n    shelf: the shelf has no greeter 7\n" in done.stderr
    )
    assert not (world.mine / "locks").exists(), "nothing is written"


def test_without_its_distribution_the_key_is_unknown(world: SmallWorld) -> None:
    world.python_path = ()
    done = world.invoke("list")
    assert done.returncode == 2
    assert f"{world.mine}/tools/greeter.yaml:7: unknown key 'shelf'" in done.stderr


def test_the_schemas_for_editors_know_it(world: SmallWorld) -> None:
    done = world.invoke("schema")
    assert done.returncode == 0, done.stderr
    schema = json.loads((world.mine / "schema/tool.json").read_text())
    source = schema["$defs"]["Source"]["properties"]["shelf"]
    assert source["description"].startswith("Packages from a shelf")
    assert source["anyOf"][0] == {"items": {"type": "string"}, "minItems": 1, "type": "array"}
    ours = json.loads((ROOT / "manifests/schema/tool.json").read_text())
    del schema["$defs"]["Source"]["properties"]["shelf"]
    assert "greeter" in schema["properties"]["requires"]["items"]["anyOf"][0]["enum"]
    assert without_names(schema) == without_names(ours), "and nothing else is different but the names to choose from"


def without_names(schema: Any) -> Any:
    """A schema without the known names that it offers: `{"enum": names}`."""
    if isinstance(schema, list):
        return [without_names(one) for one in schema if not (isinstance(one, dict) and one.keys() == {"enum"})]
    return {key: without_names(one) for key, one in schema.items()} if isinstance(schema, dict) else schema


# --- one that is none ----------------------------------------------------------------------------------------


def distribution(folder: Path, code: str) -> None:
    """What an installed distribution consists of: a module, and metadata with its entry point."""
    (folder / "broken_shelf.py").write_text(code)
    info = folder / "broken_shelf-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-shelf\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[dsvm.ecosystems]\nbroken = broken_shelf:ECOSYSTEM\n")


SOUND = (OUTSIDE / "our_dsvm_shelf.py").read_text()
BROKEN: Mapping[str, tuple[str, str, str]] = {
    "a module that does not load": ("import re\n", "import nowhere\n", "cannot be loaded: ModuleNotFoundError"),
    "no such object": ("ECOSYSTEM = Shelf()", "", "cannot be loaded: AttributeError"),
    "a class": ("ECOSYSTEM = Shelf()", "ECOSYSTEM = Shelf", "it is the class Shelf"),
    "members that are missing": ("def locate", "def where", "it has no locate"),
    "a name of ours": ('name = "shelf"', 'name = "pypi"', "an ecosystem 'pypi' already, dsvm.ecosystems.pypi"),
    "another key of a source": ('name = "shelf"', 'name = "index"', "'index' is another key of a source"),
    "an attribute of a source": ('name = "shelf"', 'name = "requests"', "'requests' is another key of a source"),
    "a name that is none": ('name = "shelf"', 'name = "Our Shelf"', "its name 'Our Shelf' is none"),
    "another placement": ('= "image"', '= "user"', "'user' is none of system, image, env, tool"),
    "a type that is none": ("request_type = Annotated", "request_type = RunInImage  # ", "is no type of pydantic's"),
    "the name of a script of ours": ('{"install-shelf"', '{"install-url"', "must be called install-shelf"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_object_that_is_no_ecosystem_is_refused_with_the_reason(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, said = BROKEN[case]
    assert SOUND.count(old) == 1
    distribution(tmp_path, SOUND.replace(old, new))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_shelf", raising=False)
    with pytest.raises(InputError) as caught:
        outside.load(registry())
    (fault,) = caught.value.faults
    assert fault.startswith("ecosystem broken_shelf:ECOSYSTEM of broken-shelf 0.1")
    assert said in fault
    monkeypatch.delitem(sys.modules, "broken_shelf", raising=False)


def test_a_broken_one_ends_every_command_without_a_traceback(tmp_path: Path) -> None:
    distribution(tmp_path, "import nowhere\n")
    world = SmallWorld(tmp_path, python_path=(tmp_path,))
    world.write("tools/.keep", "")
    done = world.invoke("list")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ecosystem broken_shelf:ECOSYSTEM of broken-shelf 0.1 cannot be loaded")
    assert "uninstall" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_documents_name_every_member() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert set(outside.members()) <= set(re.findall(r"`(\w+)", table))
