"""How commands end: what they hold is cleaned up, and the exit code says why."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsvm.errors import ProgramError
from dsvm.run import run

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


def test_what_leaves_a_program_has_no_passwords(tmp_path: Path) -> None:
    """In the error, and in the log that it names; what is returned is as it was printed."""
    said = "Failed to fetch http://me:sec/ret@host/dists"
    argv = ["sh", "-c", f"echo '{said}'; exit 3"]
    with pytest.raises(ProgramError) as caught:
        run(argv, log=tmp_path / "log")
    shown = f"{caught.value} {caught.value.output} {(tmp_path / 'log').read_text()}"
    assert "sec/ret" not in shown and shown.count("http://me:***@host/dists") == 3
    assert run(argv, check=False).stdout == f"{said}\n"
