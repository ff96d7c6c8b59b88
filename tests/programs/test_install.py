"""Installing from a checkout: editable only, and whoever tries anything else is told at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOOKS = (
    *("get_requires_for_build_wheel", "prepare_metadata_for_build_wheel", "build_wheel"),
    *("get_requires_for_build_sdist", "build_sdist"),
)


def test_pip_install_is_refused_with_the_reason_and_installs_nothing(tmp_path: Path) -> None:
    words = ("--no-index", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site"), str(ROOT))
    argv = [sys.executable, "-m", "pip", "install", *words]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DSVM runs from its checkout and cannot be installed elsewhere" in done.stderr
    assert "scripts/quickstart" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_of_a_wheel_or_a_source_distribution_refuses(hook: str, tmp_path: Path) -> None:
    code = f"import build_backend; build_backend.{hook}({str(tmp_path)!r})"
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=ROOT / "scripts/lib", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("error: DSVM runs from its checkout")) == (1, True)
    assert list(tmp_path.iterdir()) == []
