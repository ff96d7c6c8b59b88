"""Options that cannot be meant are refused before anything else, whatever the format."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_engine import FakeEngine

ROOT = Path(__file__).parents[2]
FAKE = """#!/bin/sh
echo '{"Name": "default", "Driver": "docker"}'
echo '{"Name": "down", "Driver": "remote", "Nodes": [{"Endpoint": "tcp://10.0.0.1:1", "Status": "inactive"}]}'
"""

Build = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def build(tmp_path: Path, engines: Callable[..., FakeEngine]) -> Build:
    """`invoke build` with options, on a host with an engine that has one builder."""
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(FAKE)
    docker.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{docker.parent}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path),
        "DSVM_STORE": str(tmp_path / "store"),
        "DOCKER_HOST": engines().url,
        "PYTHONPATH": str(ROOT),
    }

    def call(*options: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "invoke", "build", "--variant", "cpu-debian", *options]
        return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)

    return call


@pytest.mark.parametrize("format", ["docker", "qcow2", "azure"])
@pytest.mark.parametrize("other", ["--locked", "--offline"])
def test_options_that_undo_each_other_are_refused(build: Build, format: str, other: str) -> None:
    done = build("--format", format, other, "--update-stale")
    assert done.returncode == 2 and f"{other} forbids to resolve" in done.stderr


@pytest.mark.parametrize("format", ["docker", "qcow2"])
def test_a_builder_that_is_not_there_is_refused(build: Build, format: str) -> None:
    done = build("--format", format, "--builder", "nosuch")
    assert done.returncode and "no builder 'nosuch'" in done.stderr


def test_a_builder_that_does_not_answer_is_said(build: Build) -> None:
    done = build("--builder", "down")
    assert done.returncode == 4 and "builder 'down' does not answer at tcp://10.0.0.1:1" in done.stderr


@pytest.mark.parametrize("option", [("--no-cache",), ("--builder", "one")])
def test_what_a_cloud_knows_nothing_of_is_refused(build: Build, option: tuple[str, ...]) -> None:
    done = build("--format", "azure", *option)
    assert done.returncode == 2 and f"{option[0]} is for BuildKit" in done.stderr


def test_gpus_that_are_none_are_refused(build: Build) -> None:
    done = build("--gpu", "")
    assert done.returncode == 2 and "--gpu names nothing" in done.stderr
