"""The one comparison of a golden file, a text that someone read and found good, with what is made now."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import pytest


def check(path: Path, text: str, *, update: str = "") -> None:
    """Fail the running test where the UTF-8 file `path` is not `text`, to the last byte, or is not there.

    The failure shows the difference and the command that writes the file anew: `update`, or this test with
    DSVM_UPDATE_GOLDEN=1 in its environment, which makes this function write instead of failing.
    """
    if not update and os.environ.get("DSVM_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    golden = path.read_bytes().decode() if path.exists() else ""
    if text != golden:
        difference = "".join(unified_diff([*_lines(golden)], [*_lines(text)], str(path), "made now"))
        message = f"{difference}\nIf this is meant: {update or _command()}"
        pytest.fail(message if path.exists() else f"{path} is not there\n{message}", pytrace=False)


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines(keepends=True):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _command() -> str:
    # "tests/golden/test_golden.py::test_name[case] (call)"
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    return f"DSVM_UPDATE_GOLDEN=1 pytest {shlex.quote(test)}"
