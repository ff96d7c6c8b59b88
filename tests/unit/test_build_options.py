"""Options that cannot be meant are refused before anything else, whatever the format."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE = """#!/bin/sh
case "$*" in
    *"buildx inspect"*) echo "ERROR: no builder" >&2; exit 1 ;;
    *) echo '{"ID": "x", "ServerVersion": "29.0", "DriverStatus": [], "DockerRootDir": "/nowhere"}' ;;
esac
"""


def build(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(FAKE)
    docker.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{docker.parent}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path),
        "DSVM_STORE": str(tmp_path / "store"),
        "DOCKER_HOST": "unix:///nowhere",
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "invoke", "build", "--variant", "cpu-debian", *options]
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("format", ["docker", "qcow2", "azure"])
@pytest.mark.parametrize("other", ["--locked", "--offline"])
def test_options_that_undo_each_other_are_refused(tmp_path: Path, format: str, other: str) -> None:
    done = build(tmp_path, "--format", format, other, "--update-stale")
    assert done.returncode == 2 and f"{other} forbids to resolve" in done.stderr


@pytest.mark.parametrize("format", ["docker", "qcow2"])
def test_a_builder_that_is_not_there_is_refused(tmp_path: Path, format: str) -> None:
    done = build(tmp_path, "--format", format, "--builder", "nosuch")
    assert done.returncode and "no builder 'nosuch'" in done.stderr


@pytest.mark.parametrize("option", [("--no-cache",), ("--builder", "one")])
def test_what_a_cloud_knows_nothing_of_is_refused(tmp_path: Path, option: tuple[str, ...]) -> None:
    done = build(tmp_path, "--format", "azure", *option)
    assert done.returncode == 2 and f"{option[0]} is for BuildKit" in done.stderr


def test_gpus_that_are_none_are_refused(tmp_path: Path) -> None:
    done = build(tmp_path, "--gpu", "")
    assert done.returncode == 2 and "--gpu names nothing" in done.stderr
