"""The commands as people use them: narrow terminals, no colours, hints to copy, faults that stop what they must."""

from __future__ import annotations

import os
import pty
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache

import pytest
import warm
from newcomer import ROOT
from small_world import SmallWorld, tool

from dsvm import catalog as catalogs
from dsvm import lock as locks
from dsvm.screen import console


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    made = SmallWorld(tmp_path_factory.mktemp("commands"))
    made.set_up()
    return made


def on_a_terminal(*words: str, columns: int, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output of a command on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    environ = {key: value for key, value in environ.items() if key != "NO_COLOR"} | {**(env or {})}
    environ |= {"DOCKER_HOST": "unix:///nowhere", "DSVM_ENGINE_DIR": "/nowhere"}
    begun = warm.begin(words, environ, (theirs, theirs, theirs))
    os.close(theirs)
    text = b""
    with suppress(OSError):  # the other end is closed
        while chunk := os.read(ours, 1 << 16):
            text += chunk
    os.close(ours)
    return begun.wait(), text.decode()


@cache
def with_colours(words: tuple[str, ...]) -> str:
    return on_a_terminal(*words, columns=100)[1]


ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize("columns", [80, 100, 140])
@pytest.mark.parametrize("words", [("list",), ("show", "--variant", "cpu-debian"), ("show", "--variant", "gpu-ubuntu")])
def test_nothing_is_cut_off_in_a_narrow_terminal(words: tuple[str, ...], columns: int) -> None:
    code, text = on_a_terminal(*words, columns=columns)
    assert code == 0, text
    lines = ESCAPES.sub("", text).splitlines()
    assert [line for line in lines if len(line) > columns] == []
    assert "…" not in text
    heads = {line.split()[0]: line for line in lines if line.strip()}
    if words == ("list",):
        assert "image" in heads["variant"]
        assert "no engine" in text
    else:
        assert "layers" in heads["stage"]
        assert {"tool", "version", "from", "env"} <= {*heads["tool"].split()}
        assert "license" in text and "Arrays" in text


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("words", [("list",), ("compat", "--explain", "cpu-debian"), ("show", "--variant", "nobody")])
def test_who_wants_no_colours_gets_no_escapes(words: tuple[str, ...], env: Mapping[str, str]) -> None:
    assert "\x1b" in with_colours(words), "else this test could not fail"
    assert "\x1b" not in on_a_terminal(*words, columns=100, env=env)[1]


def test_warnings_and_errors_go_to_standard_error_results_to_standard_output(world: SmallWorld) -> None:
    done = world.invoke("compat", "--explain", "cpu-debian")
    assert "cpu-debian fits together" in done.stdout
    world.write("compat.yaml", {"policy": {"grace": {}}})
    world.write("variants/old.yaml", variant_of("old"))
    done = world.invoke("lock", "--variant", "old")
    world.write("compat.yaml", {"policy": {"grace": dict.fromkeys(("debian", "python"), 36500)}})
    assert done.returncode != 0 or "warning: end-of-life: debian 12" in done.stderr
    assert "warning" not in done.stdout


def variant_of(name: str, *tools: str) -> dict[str, object]:
    return {"variant": name, "base": "debian-12", "accelerator": "cpu", "tools": [*(tools or ("tini",))]}


@pytest.fixture
def broken(world: SmallWorld) -> Iterator[SmallWorld]:
    paths = [
        world.write("variants/good.yaml", variant_of("good")),
        world.write("variants/bad.yaml", {**variant_of("bad", "tiny"), "colour": "red"}),
        world.write("variants/worse.yaml", {"variant": "worse", "extends": "bad"}),
    ]
    yield world
    for path in paths:
        path.unlink()


def test_a_fault_in_one_variant_stops_no_other_one(broken: SmallWorld) -> None:
    done = broken.invoke("show", "--variant", "good")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("bad", "worse"):
        done = broken.invoke("show", "--variant", name)
        assert done.returncode == 2
        assert "variants/bad.yaml:1: unknown key 'colour'" in done.stderr or "unknown key 'colour'" in done.stderr


def test_who_looks_at_all_variants_sees_the_good_ones_and_every_fault(broken: SmallWorld) -> None:
    done = broken.invoke("list")
    assert done.returncode == 2
    assert re.search(r"^good ", done.stdout, re.MULTILINE)
    assert "unknown key 'colour'" in done.stderr
    assert broken.invoke("compat").returncode == 2


def test_a_catalog_of_ones_own_stands_in_every_command_that_is_proposed(world: SmallWorld) -> None:
    world.write("variants/mine.yaml", variant_of("mine"))
    done = world.invoke("show", "--variant", "mine")
    assert f"run: invoke lock --variant mine --catalog {world.mine}\n" in done.stdout
    done = world.invoke("render", "--variant", "mine")
    assert f"Run: invoke lock --variant mine --catalog {world.mine}\n" in done.stderr


def test_a_catalog_of_the_environment_needs_no_option(world: SmallWorld) -> None:
    world.write("variants/mine.yaml", variant_of("mine"))
    env = {**os.environ, "DSVM_CATALOG": str(world.mine), "PYTHONPATH": str(ROOT)}
    done = warm.invoke(("show", "--variant", "mine"), env)
    assert done.returncode == 0, done.stderr
    assert "run: invoke lock --variant mine\n" in done.stdout


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("Run: invoke lock --variant mine", "Run: invoke lock --variant mine --catalog /c"),
        ("(invoke clean), or", "(invoke clean --catalog /c), or"),
        ("invoke stop --variant v, or: docker logs x", "invoke stop --variant v --catalog /c, or: docker logs x"),
        ("until invoke verify --variant v passes", "until invoke verify --variant v --catalog /c passes"),
        ("invoke compat --explain v", "invoke compat --explain v --catalog /c"),
        ("invoke lock --only apt && invoke fetch", "invoke lock --only apt --catalog /c && invoke fetch --catalog /c"),
        ("invoke list --catalog /other", "invoke list --catalog /other"),
        ("it was invoked", "it was invoked"),
    ],
)
def test_where_the_catalog_goes_in_a_sentence(text: str, completed: str) -> None:
    @console.plain_errors
    def command(catalog: list[str]) -> str:
        return console.with_catalog(text)

    assert command(catalog=["/c"]) == completed
    assert command(catalog=[]) == text


def test_a_variant_without_its_option_is_understood_well_enough_to_say_the_command(world: SmallWorld) -> None:
    for words, meant in (
        (("build", "cpu-debian"), "invoke build --variant cpu-debian"),
        (("lock", "cpu-debian", "--upgrade"), "invoke lock --variant cpu-debian --upgrade"),
        (("compat", "gpu-ubuntu"), "invoke compat --explain gpu-ubuntu"),
    ):
        done = world.invoke(*words)
        assert done.returncode == 2
        assert f"Write: {meant}" in done.stderr
    assert world.invoke("build", "--variant", "nobody").returncode == 2, "an option's value is no stray word"


def test_tools_out_of_reach_are_left_out_by_one_command_that_is_written_out(world: SmallWorld) -> None:
    gone = {"apt": ["not-in-this-archive"]}
    for name in ("away-one", "away-two"):
        world.write(f"tools/{name}.yaml", tool(name, gone))
    world.write("tools/needs-one.yaml", tool("needs-one", {"apt": ["tini"]}, requires=["away-one"]))
    world.write("variants/far.yaml", variant_of("far", "away-one", "away-two", "needs-one", "tini"))
    done = world.invoke("lock", "--variant", "far")
    assert done.returncode == 3, done.stderr
    assert "tool 'away-one' cannot be had from any of its sources" in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "invoke lock --variant far" in line)
    options = {"--leave-out away-one", "--leave-out away-two", "--leave-out needs-one"}
    assert {option for option in options if option in line} == options
    done = world.invoke("lock", "--variant", "far", "--leave-out-unreachable")
    assert done.returncode == 0, done.stderr
    lock = locks.find(catalogs.load([world.mine]), "far")
    assert lock is not None
    assert {left.tool: left.reason for left in lock.left_out} == {
        **dict.fromkeys(("away-one", "away-two"), "not within reach when this was locked"),
        "needs-one": "it needs away-one, which is left out",
    }
