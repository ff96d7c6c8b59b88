"""Nights of a small image: nothing moved, all is well, and one of eleven upgrades is broken."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import test_pypi
import yaml
from docker_registry import DockerRegistry, docker_registry
from workbench import INVOKE, Catalog, Done, Invoke, Running, docker, forget, small_catalog

from dsvm.host import Host
from dsvm.model import Lock, Release
from dsvm.release import Home

NIGHT = "e2e-night"
# tool -> its packages, all in an environment of their own
TOOLS = {"early": ("ea", "eb", "ec", "ed", "ee"), "late": ("la", "lb", "lc", "ld", "le", "lf")}
PACKAGES = tuple(name for names in TOOLS.values() for name in names)
GUEST = "guest"  # a tool that comes in later, and its package
GOOD = "def works():\n    return True\n"
BROKEN = "def works():\n    raise RuntimeError('{name} is broken')\n"


def write(catalog: Catalog, name: str, data: object) -> None:
    path = catalog.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(data))


def write_variant(catalog: Catalog, *tools: str) -> None:
    found = {"variant": NIGHT, "base": "debian-12", "accelerator": "cpu", "tools": [*tools, "tini"]}
    write(catalog, f"variants/{NIGHT}.yaml", found)


@dataclass
class World:
    """A catalog whose Python packages come from an index in a folder."""

    catalog: Catalog
    invoke: Invoke
    index: Path
    registry: DockerRegistry
    wheels: dict[str, bytes] = field(default_factory=dict)

    def publish(self, name: str, version: str, module: str = GOOD) -> None:
        file, data = test_pypi.wheel(name, version, files={f"{name}.py": module + f"__version__ = '{version}'\n"})
        self.wheels[file] = data
        self._write()

    def withdraw(self, name: str, version: str) -> None:
        self.wheels = {file: data for file, data in self.wheels.items() if not file.startswith(f"{name}-{version}-")}
        self._write()

    def clear(self) -> None:
        forget(NIGHT)

    def _write(self) -> None:
        shutil.rmtree(self.index, ignore_errors=True)
        test_pypi.index(self.index, *self.wheels.items())

    def night(self, *words: str) -> tuple[Done, dict[str, Any]]:
        """A night, and its record."""
        record = self.catalog.folder / "night.json"
        record.unlink(missing_ok=True)
        place = ("--registry", f"{self.registry.host}/night")
        done = self.invoke("nightly", *self.catalog.words, *place, "--record", str(record), *words)
        return done, json.loads(record.read_text()) if record.exists() else {}

    def locked(self) -> dict[str, str]:
        (section,) = (one for one in self.catalog.read()["sections"] if one["id"] == "env-night")
        return {pin["name"]: pin["version"] for pin in section["pins"] if pin["name"] in PACKAGES}

    def released(self, channel: str) -> Release | None:
        """What a channel of the registry names."""
        folder = self.catalog.folder / "store"
        return Home.of(f"{self.registry.host}/night", Host(environ={}, etc=folder), folder).release(channel)

    @property
    def holds(self) -> Path:
        return self.catalog.folder / "locks" / f"{NIGHT}.holds.yaml"


def _tool(name: str, packages: tuple[str, ...], env: str = "night") -> dict[str, Any]:
    python = f"/opt/envs/{env}/bin/python"
    works = "; ".join(f"import {one}; {one}.works()" for one in packages)
    return {
        "tool": name, "summary": "s", "homepage": "https://example.invalid", "license": "MIT", "group": "g",
        "env": env, "sources": [{"pypi": list(packages), "index": "nights"}],
        "checks": [
            {"version": f'{python} -c "import {packages[0]} as one; print(one.__version__)"'},
            {"run": f'{python} -c "{works}; print(1)"', "expect": "^1$"},
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def world(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("night")
    catalog = small_catalog(folder / "catalog", NIGHT)
    index = folder / "index"

    for name, packages in TOOLS.items():
        write(catalog, f"tools/{name}.yaml", _tool(name, packages))
    url = (index / "simple").as_uri()
    write(
        catalog,
        "indexes/nights.yaml",
        {"index": "nights", "url": url, "packages": [*PACKAGES, GUEST], "everywhere": True},
    )
    write_variant(catalog, *TOOLS)
    # what is known of a small catalog's own end is none of these tests
    write(catalog, "policy.yaml", {"levels": {"end-of-life": "note", "vulnerability": "note", "license": "note"}})
    with docker_registry(folder / "registry") as registry:
        world = World(catalog, invoke, index, registry)
        for name in PACKAGES:
            world.publish(name, "1.0")
        try:
            yield world
        finally:
            world.clear()


@pytest.fixture
def yesterday(world: World) -> None:
    """A green night, whichever tests ran before: the slow ones run without the others."""
    if world.released("latest") is None:
        world.night()[0].passed()


def test_the_first_night_is_green(world: World) -> None:
    done, night = world.night()
    done.passed()
    (variant,) = night["variants"]
    assert (night["verdict"], variant["verdict"], variant["failed"]) == ("green", "green", 0)
    assert world.locked() == dict.fromkeys(PACKAGES, "1.0")
    assert "All that moved is out" in done.out
    for channel in ("nightly", "latest"):
        found = world.released(channel)
        assert found is not None and [one.variant for one in found.images] == [NIGHT]
    assert night["release"].startswith("sha256:")


def test_a_night_on_which_nothing_moved_builds_nothing(world: World) -> None:
    done, night = world.night()
    done.passed()
    assert night["verdict"] == "unchanged"
    assert {step["step"] for step in night["variants"][0]["steps"]} == {"lock"}
    assert "Nothing moved" in done.out


def test_one_broken_of_eleven_is_found_and_held_and_the_others_go_out(world: World) -> None:
    for name in PACKAGES:
        world.publish(name, "2.0", BROKEN.format(name=name) if name == "lc" else GOOD)
    summary = world.catalog.folder / "summary.md"
    done, night = world.night("--summary", str(summary))
    done.passed()
    (variant,) = night["variants"]
    assert night["verdict"] == "held"
    (culprit,) = variant["culprits"]
    assert culprit["moves"] == ["lc 1.0 -> 2.0 of env-night"]
    assert [one for one in culprit["checks"] if one.startswith("late: run:")]
    assert "lc is broken" in culprit["output"]
    assert len(culprit["trials"]) <= 5
    assert world.locked() == {**dict.fromkeys(PACKAGES, "2.0"), "lc": "1.0"}
    (hold,) = yaml.safe_load(world.holds.read_text())["holds"]
    assert (hold["package"], hold["version"], hold["broken"], hold["owner"]) == ("lc", "1.0", "2.0", "nightly")
    assert variant["pull"] < variant["size"] / 10, "only what differs is fetched"
    text = summary.read_text()
    assert "**lc 1.0 " in text and "Held back: lc 1.0 of env" in text
    assert "10 packages up" in text


def test_the_next_night_tries_what_is_held_and_then_leaves_it(world: World) -> None:
    done, night = world.night()
    done.passed()
    assert night["verdict"] == "unchanged", done.text  # without the hold it was built, and broke again
    assert "without its holds" in done.text
    assert world.locked()["lc"] == "1.0"
    done, night = world.night()
    assert (night["verdict"], {step["step"] for step in night["variants"][0]["steps"]}) == ("unchanged", {"lock"})


def test_a_hold_is_dropped_when_a_newer_one_passes(world: World) -> None:
    world.publish("lc", "3.0")
    done, night = world.night()
    done.passed()
    (variant,) = night["variants"]
    assert night["verdict"] == "green"
    assert [one["package"] for one in variant["dropped"]] == ["lc"]
    assert world.locked() == {**dict.fromkeys(PACKAGES, "2.0"), "lc": "3.0"}
    assert not world.holds.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("yesterday")
def test_two_that_break_only_together_are_both_named_and_one_is_held(world: World) -> None:
    before = world.locked()
    other = "import ea\ndef works():\n    if ea.__version__ == '4.0': raise RuntimeError('not with ea 4')\n"
    for name in ("ea", "eb", "ec", "lb"):
        world.publish(name, "4.0", other if name == "eb" else GOOD)
    done, night = world.night()
    done.passed()
    (culprit,) = night["variants"][0]["culprits"]
    assert {move.split()[0] for move in culprit["moves"]} == {"ea", "eb"}
    assert night["verdict"] == "held"
    found = world.locked()
    assert (found["ec"], found["lb"]) == ("4.0", "4.0")
    assert (found["ea"], found["eb"]) in ((before["ea"], "4.0"), ("4.0", before["eb"]))
    world.publish("eb", "4.1")  # which works with ea 4.0
    world.holds.unlink()


@pytest.mark.slow
@pytest.mark.usefixtures("yesterday")
def test_a_package_that_its_index_has_dropped_stays_and_is_named(world: World) -> None:
    kept = dict(world.wheels)
    for version in ("1.0", "2.0"):
        world.withdraw("ld", version)
    done, night = world.night()
    done.passed()
    (variant,) = night["variants"]
    assert "ld" in variant["stayed"]["env-night"]
    world.wheels = kept
    world._write()


def test_without_holding_a_red_night_changes_nothing(world: World) -> None:
    before = world.catalog.lock.read_bytes()
    out = world.released("latest")
    image = docker("image", "inspect", "--format", "{{.Id}}", f"dsvm/{NIGHT}:latest")
    world.publish("la", "5.0", BROKEN.format(name="la"))
    done, night = world.night("--no-hold")
    assert done.code == 6 and "la is broken" in done.err
    assert night["verdict"] == "red" and night["variants"][0]["broke"] == "verify"
    assert world.catalog.lock.read_bytes() == before
    assert not world.holds.exists()
    assert world.released("latest") == out
    assert docker("image", "inspect", "--format", "{{.Id}}", f"dsvm/{NIGHT}:latest") == image


@pytest.mark.slow
@pytest.mark.usefixtures("yesterday")
def test_a_search_ends_with_its_budget(world: World) -> None:
    world.publish("la", "5.0", BROKEN.format(name="la"))
    world.publish("le", "5.0")  # with one change alone nothing is tried
    done, night = world.night("--budget", "0")
    assert done.code == 6 and "la is broken" in done.err
    assert "the time for searching is over" in done.err
    assert night["variants"][0]["culprits"] == []
    world.withdraw("la", "5.0")


@pytest.mark.slow
@pytest.mark.usefixtures("yesterday")
def test_a_night_whose_registry_is_gone_is_red_and_the_next_one_releases_it(world: World) -> None:
    before = world.catalog.lock.read_bytes()
    world.publish("la", "6.0")
    world.registry.kill()
    done, _ = world.night()
    assert done.code != 0 and "Traceback" not in done.text
    assert world.catalog.lock.read_bytes() == before
    world.registry.start()
    done, night = world.night()
    done.passed()
    assert (night["verdict"], world.locked()["la"]) == ("green", "6.0")


@pytest.mark.slow
@pytest.mark.usefixtures("yesterday")
@pytest.mark.parametrize("step", ["lock:", "trial 1", "releasing", "comparing"])
def test_a_night_that_is_killed_is_taken_up_by_the_next_one(step: str, world: World, tmp_path: Path) -> None:
    number = ["lock:", "trial 1", "releasing", "comparing"].index(step)
    world.holds.unlink(missing_ok=True)
    world.publish("lb", f"7.{number}", BROKEN.format(name="lb") if step == "trial 1" else GOOD)
    world.publish("ec", f"7.{number}")
    place = ("--registry", f"{world.registry.host}/night")
    night = Running([INVOKE, "nightly", *world.catalog.words, *place], tmp_path / "killed.log")
    night.wait_for(step)
    os.killpg(night.process.pid, signal.SIGKILL)
    done, record = world.night()
    done.passed()
    assert record["verdict"] == ("held" if step == "trial 1" else "green")
    assert world.locked()["ec"] == f"7.{number}"
    found = world.released("latest")
    lock = Lock.model_validate_json(world.catalog.lock.read_text())
    assert found is not None and found.images[0].lock == lock.of("docker").digest


@pytest.mark.slow
@pytest.mark.usefixtures("yesterday")
def test_two_nights_at_once_are_one_after_the_other(world: World, tmp_path: Path) -> None:
    world.publish("ed", "8.0")
    place = ("--registry", f"{world.registry.host}/night")
    first = Running([INVOKE, "nightly", *world.catalog.words, *place], tmp_path / "first.log")
    first.wait_for("lock:")
    done, night = world.night()
    assert "waiting for process" in done.text
    assert first.end().code == 0
    assert (done.code, night["verdict"]) == (0, "unchanged")


@pytest.mark.slow
@pytest.mark.usefixtures("yesterday")
def test_a_tool_that_came_in_broken_stays_out_until_it_is_mended_and_the_rest_goes_on(world: World) -> None:
    write(world.catalog, f"tools/{GUEST}.yaml", _tool(GUEST, (GUEST,), env=GUEST))
    write_variant(world.catalog, *TOOLS, GUEST)
    world.invoke("lock", *world.catalog.words, "--leave-out-unreachable").passed()
    world.publish(GUEST, "1.0", BROKEN.format(name=GUEST))
    world.publish("ea", "9.0")
    done, night = world.night()
    done.passed()
    (variant,) = night["variants"]
    assert night["verdict"] == "held"
    (culprit,) = variant["culprits"]
    assert culprit["moves"] == ["the tools that came in or went"]
    (hold,) = yaml.safe_load(world.holds.read_text())["holds"]
    assert (hold["section"], hold["package"], hold["check"][:6]) == ("tools", GUEST, f"{GUEST}:")
    assert world.locked()["ea"] == "9.0"
    assert [left["tool"] for left in world.catalog.read()["left_out"]] == [GUEST]
    world.invoke("build", *world.catalog.words).passed()
    assert [left["tool"] for left in world.catalog.read()["left_out"]] == [GUEST], "a build does not bring it"
    world.publish(GUEST, "1.1")
    done, night = world.night()
    done.passed()
    assert night["verdict"] == "green" and not world.holds.exists()
    assert world.catalog.read()["left_out"] == []
