"""`invoke new`: manifests to begin with, from real wheels of an index in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from small_world import SmallWorld
from test_pypi import wheel

from dsvm.catalog import load

VARIANT = {"variant": "small", "base": "debian-12", "accelerator": "cpu", "tools": ["numpy"]}
METADATA = """\
Metadata-Version: 2.4
Name: Graph.Things
Version: 3.4.2
Summary: Graphs: "quoted",
        # and {odd} \x07 words
Project-URL: Homepage, https://graphs.example/
License-Expression: BSD-3-Clause
"""


@pytest.fixture
def world(tmp_path: Path) -> SmallWorld:
    world = SmallWorld(tmp_path / "world")
    world.folder.mkdir()
    world.set_up()
    world.write("variants/small.yaml", VARIANT)
    files = {"*.dist-info/METADATA": METADATA, "graph_things/__init__.py": "", "helpers.py": ""}
    file, data = wheel("graph_things", "3.4.2", files=files)
    (world.wheels / file).write_bytes(data)
    world.add_wheel("silent", "0.9")
    return world


def test_a_tool_has_what_its_package_says_and_passes(world: SmallWorld) -> None:
    done = world.invoke("new", "tool", "graphs", "--package", "Graph.Things", "--like", "small")
    path = world.mine / "tools/graphs.yaml"
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"new tool graphs: {path}" in done.stdout
    told = yaml.safe_load(path.read_text())
    assert told["summary"] == 'Graphs: "quoted", # and {odd} words'
    assert (told["homepage"], told["license"]) == ("https://graphs.example/", "BSD-3-Clause")
    assert told["sources"] == [{"pypi": ["graph-things ~= 3.4"]}]
    assert told["checks"][1]["run"] == 'python -c "import graph_things; print(graph_things.__name__)"'
    assert load([world.mine]).tools["graphs"].summary == told["summary"]
    lines = path.read_text().splitlines()
    for place in ("group: more", "  - run: "):
        number = next(number for number, line in enumerate(lines, start=1) if line.startswith(place))
        assert f"line {number}: " in done.stdout, "what is to be filled in is said with its line"


def test_what_a_package_does_not_say_is_to_be_filled_in(world: SmallWorld) -> None:
    done = world.invoke("new", "tool", "silent", "--like", "small")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (world.mine / "tools/silent.yaml").read_text()
    assert text.count("# fill in: its package does not say") == 3
    assert load([world.mine]).tools["silent"].license == "LicenseRef-to-be-filled-in"


def test_a_variant_extends_another_one(world: SmallWorld) -> None:
    done = world.invoke("new", "variant", "ours", "--like", "small")
    assert done.returncode == 0, done.stdout + done.stderr
    assert load([world.mine]).variants["ours"].tools == ("numpy",)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("tool", "numpy"), "numpy.yaml: there is a tool 'numpy' already"),
        (("variant", "small"), "small.yaml: there is a variant 'small' already"),
        (("tool", "Graph_Things"), "'Graph_Things' is no name of a tool"),
        (("tool", "../graphs"), "'../graphs' is no name of a tool"),
        (("tool", "cntk"), "tool 'cntk' is retired since 2019"),
        (("tol", "graphs"), "'tol' cannot be begun (did you mean 'tool'?)"),
        (("tool", "graphs", "--package", "no such"), "'no such' is no name of a Python package"),
        (("variant", "ours", "--like", "smal"), "unknown variant 'smal' (did you mean 'small'?)"),
    ],
)
def test_what_cannot_be_begun_is_told(world: SmallWorld, words: tuple[str, ...], what: str) -> None:
    before = sorted(world.mine.rglob("*"))
    done = world.invoke("new", *words, *([] if "--like" in words else ["--like", "small"]))
    assert (done.returncode, what in done.stderr) == (2, True), done.stderr
    assert sorted(world.mine.rglob("*")) == before, "nothing is written"


def test_a_package_that_is_not_there(world: SmallWorld) -> None:
    done = world.invoke("new", "tool", "nowhere", "--like", "small")
    assert done.returncode not in (0, 2)
    assert "nowhere" in done.stderr
    assert not (world.mine / "tools").exists()
