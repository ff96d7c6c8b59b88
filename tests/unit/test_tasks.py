"""`invoke test` and `invoke lint`: the scripts of the same name, with their words and their exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of tasks.py, beside scripts that say what they were given."""
    shutil.copy2(ROOT / "tasks.py", tmp_path)
    (tmp_path / "scripts").mkdir()
    for name in ("test", "lint"):
        script = tmp_path / "scripts" / name
        script.write_text('#!/bin/sh\necho "${0##*/}" "$@"\nexit 7\n')
        script.chmod(0o755)
    return tmp_path


def invoke(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "invoke", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        ("test", "test all"),
        ("test --which unit", "test unit"),
        ("lint", "lint"),
        ("lint --only mypy", "lint mypy"),
    ],
)
def test_a_task_is_the_script_of_its_name(checkout: Path, words: str, ran: str) -> None:
    done = invoke(checkout, *words.split())
    assert (done.returncode, done.stdout, done.stderr) == (7, f"{ran}\n", "")


@pytest.mark.parametrize(("words", "meant"), [("test unit", "test --which unit"), ("lint mypy", "lint --only mypy")])
def test_a_word_without_its_option_is_understood_well_enough_to_say_the_command(
    checkout: Path, words: str, meant: str
) -> None:
    done = invoke(checkout, *words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Write: invoke {meant}\n" in done.stderr


def test_a_command_with_words_of_its_own_helps_too() -> None:
    assert "the image that it wants" in invoke(ROOT, "pull-size", "--help").stdout
    done = invoke(ROOT, "pull-size", "one")
    assert "did not receive" in done.stderr and done.returncode == 1


def test_the_help_of_lint_names_every_check() -> None:
    listed = subprocess.run([ROOT / "scripts/lint", "--list"], capture_output=True, text=True, check=True)
    said = invoke(ROOT, "lint", "--help").stdout
    assert [name for name in listed.stdout.split() if name not in said] == []
