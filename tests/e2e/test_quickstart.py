"""The commands that a newcomer types, and that they do nothing twice."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from workbench import BIG, ROOT, Done, Invoke, image, run


def test_the_image_is_built_and_every_check_passed(cpu_debian: Done) -> None:
    found = image(f"dsvm/{BIG}")
    assert found is not None
    report = json.loads((ROOT / "build" / BIG / "report.json").read_text())
    assert found["Config"]["Labels"]["org.dsvm.lock"] == report["lock"]
    assert {result["outcome"] for result in report["results"]} <= {"passed", "not exercised"}
    assert len(report["results"]) > 100


def test_quickstart_does_nothing_twice(cpu_debian: Done, tmp_path: Path) -> None:
    """Programs that would change something are watched from the PATH."""
    run([ROOT / "scripts" / "quickstart"]).passed()
    called = tmp_path / "called"
    for program in ("apt-get", "docker", "mmdebstrap"):
        spy, real = tmp_path / program, shutil.which(program)
        assert real is not None
        spy.write_text(f'#!/bin/sh\necho "{program} $*" >> {called}\nexec {real} "$@"\n')
        spy.chmod(0o755)
    stamps = {path: path.stat().st_mtime_ns for path in (ROOT / ".venv").glob(".installed-*")}
    built = image(f"dsvm/{BIG}")

    done = run([ROOT / "scripts" / "quickstart"], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}).passed()

    assert f"dsvm/{BIG}:latest is up to date" in done.out
    assert "installing" not in done.text
    assert stamps == {path: path.stat().st_mtime_ns for path in (ROOT / ".venv").glob(".installed-*")}
    commands = called.read_text().splitlines()
    reading = ("docker info", "docker buildx version", "docker image inspect", "docker context inspect")
    assert [command for command in commands if not command.startswith(reading)] == []
    assert image(f"dsvm/{BIG}") == built


def not_warnings(done: Done) -> list[str]:
    """What was said beside what the calendar decides, and which sources answer."""
    beside = ("warning: end-of-life: ", f"lock: {BIG}: still out of reach: ")
    return [line for line in done.out.splitlines() if not line.startswith(beside)]


def test_build_again(cpu_debian: Done, invoke: Invoke) -> None:
    done = invoke("build", "--variant", BIG).passed()
    assert not_warnings(done) == [f"dsvm/{BIG}:latest is up to date"]


def test_build_again_without_a_network(cpu_debian: Done, invoke: Invoke) -> None:
    done = invoke("build", "--variant", BIG, "--offline").passed()
    assert not_warnings(done) == [f"dsvm/{BIG}:latest is up to date"]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("--list",), ("build", "verify", "start", "doctor")),
        (("list",), (BIG, "pytorch", "code-server")),
        (("show", "--variant", BIG), ("env-pytorch", "jupyterlab", "debian-12")),
        (("doctor", "--variant", BIG), ("engine", "buildx", "disk")),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_look_around(cpu_debian: Done, invoke: Invoke, words: tuple[str, ...], shown: tuple[str, ...]) -> None:
    done = invoke(*words).passed()
    assert [word for word in shown if word not in done.out] == []
    assert done.err == ""


@pytest.mark.parametrize(
    "command",
    ["build", "lock", "fetch", "render", "verify", "start", "stop", "list", "show", "doctor", "clean", "schema"],
)
def test_help(invoke: Invoke, command: str) -> None:
    assert f" {command} " in invoke(command, "--help").passed().out
