"""How commands end: what they hold is cleaned up, and the exit code says why."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsvm.host import run
from dsvm.model import InputError, ProgramError
from dsvm.screen import console

HOLDING = """
import pathlib, sys, tempfile, time
from dsvm.screen import plain_errors

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


# --- text of others ------------------------------------------------------------------------------------------

HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\rd\u202ee\u200bf"
SHOWN = "a\\x1b[2Jb\\x1b]0;title\\x07c\\rd\\u202ee\\u200bf"


def test_nothing_of_foreign_text_reaches_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.echo(HOSTILE)
    console.warn(HOSTILE)
    console.table("T", ["one"], [[HOSTILE]])
    console.paragraph(HOSTILE)
    console.echo_marked(HOSTILE, "red", HOSTILE)
    told = capsys.readouterr()
    assert told.out.count(SHOWN) == 5 and told.err.count(SHOWN) == 1
    assert not {"\x1b", "\r", "\x07", "\u202e", "\u200b"} & {*told.out, *told.err}


def test_an_error_shows_foreign_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    @console.plain_errors
    def command() -> None:
        raise InputError(HOSTILE, hint=HOSTILE)

    with pytest.raises(SystemExit):
        command()
    assert capsys.readouterr().err.count(SHOWN) == 2


@given(st.text())
def test_what_everybody_sees_stays_and_lines_do(text: str) -> None:
    shown = console.visible(text)
    assert not [one for one in shown if one not in "\n\t" and unicodedata.category(one) in console.UNSEEN]
    if not [one for one in text if unicodedata.category(one) in console.UNSEEN]:
        assert shown == text
