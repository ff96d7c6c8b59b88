"""How commands end: what they hold is cleaned up, and the exit code says why."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HOLDING = """
import pathlib, sys, tempfile, time
from dsvm.console import plain_errors

@plain_errors
def command():
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        pathlib.Path(folder, "held").touch()
        time.sleep(60)

command()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_a_command_finds_nothing_of_it(how: signal.Signals, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    argv: list[str | Path] = [sys.executable, "-c", HOLDING, held]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        end = time.monotonic() + 30
        while not list(held.glob("*/held")) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(how)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + how
    assert "interrupted; what was fetched and built so far is kept" in errors
    assert not list(held.iterdir())
