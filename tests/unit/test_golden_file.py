"""A golden file that is no longer what is made fails with the difference, and with the command that updates it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import golden_file
import pytest

TEST = """\
from pathlib import Path
import golden_file
import pytest

@pytest.mark.parametrize("name", ["it's one.txt", "two.txt"])
def test_text(name):
    golden_file.check(Path(__file__).parent / "golden" / name, "first\\nä %s\\nlast" % name)
"""


def run(folder: Path, command: str) -> tuple[int, str]:
    """Exit code and output of a command of the shell."""
    # with CI set, pytest's summary repeats the whole message
    others = ("PYTEST_", "DSVM_", "CI", "BUILD_NUMBER")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["PYTHONPATH"] = str(Path(golden_file.__file__).parent)
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_the_command_that_a_failure_prints_updates_this_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(TEST)
    one, two = (tmp_path / "golden" / name for name in ("it's one.txt", "two.txt"))
    one.parent.mkdir()
    one.write_text("first\nold\nlast\n")
    code, said = run(tmp_path, "pytest -q")
    assert code == 1
    assert f"--- {one}\n+++ made now\n" in said
    assert "-old\n-last\n+ä it's one.txt\n+last\n\\ No newline at end of file\n" in said
    assert f"{two} is not there\n" in said
    assert "Traceback" not in said and "def check" not in said
    command, other = re.findall(r"^If this is meant: (.*)$", said, re.MULTILINE)
    assert other == "DSVM_UPDATE_GOLDEN=1 pytest 'test_it.py::test_text[two.txt]'"

    assert run(tmp_path, command)[0] == 0
    assert one.read_text() == "first\nä it's one.txt\nlast"
    assert not two.exists()
    assert run(tmp_path, other)[0] == 0
    assert run(tmp_path, "pytest -q")[0] == 0


def test_a_file_that_another_command_writes_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSVM_UPDATE_GOLDEN", "1")
    path = tmp_path / "schema.json"
    path.write_text("{}\n")
    with pytest.raises(pytest.fail.Exception, match=r"(?s)-\{\}\n\+\[\]\n.*If this is meant: invoke schema$"):
        golden_file.check(path, "[]\n", update="invoke schema")
    assert path.read_text() == "{}\n"


def test_the_last_bytes_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DSVM_UPDATE_GOLDEN", raising=False)
    path = tmp_path / "script.ps1"
    path.write_bytes(b"a\r\nb\n")
    golden_file.check(path, "a\r\nb\n")
    for text in ("a\nb\n", "a\r\nb"):
        with pytest.raises(pytest.fail.Exception):
            golden_file.check(path, text)
