"""What nobody maintains any more, by the project's own rows and its own locks, on days before and after."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from dsvm import lock as locks
from dsvm.audit import Evidence
from dsvm.audit.ends import end_of_life, tool_ended
from dsvm.catalog import load
from dsvm.model import Finding, Retired
from dsvm.store import Store


def found(tmp_path: Path, variant: str, day: str) -> dict[tuple[str, str], Finding]:
    """(rule, id) -> finding, of a committed lock on a day."""
    catalog = load()
    lock = locks.find(catalog, variant)
    assert lock is not None
    evidence = Evidence(catalog, lock, Store(tmp_path / "store"), datetime.date.fromisoformat(day))
    return {(one.rule, one.id): one for rule in (end_of_life, tool_ended) for one in rule(evidence)}


@pytest.mark.parametrize(
    ("variant", "day", "rule", "id", "level", "words"),
    [
        ("cpu-debian", "2026-11-27", "end-of-life", "debian 12", "warning", "long-term support ends 2028-06-30"),
        ("cpu-debian", "2026-11-27", "end-of-life", "python 3.11", None, ""),
        ("cpu-debian", "2027-11-30", "end-of-life", "python 3.11", "warning", "support ended 2027-10-31"),
        ("cpu-debian", "2028-11-30", "end-of-life", "python 3.11", "error", "support ended 2027-10-31"),
        ("gpu-ubuntu", "2026-11-27", "end-of-life", "nvidia-driver 580", None, ""),
        ("gpu-ubuntu", "2028-09-01", "end-of-life", "nvidia-driver 580", "warning", "support ended 2028-08-04"),
        ("gpu-ubuntu", "2030-09-01", "end-of-life", "nvidia-driver 580", "error", "support ended 2028-08-04"),
        ("gpu-ubuntu", "2028-05-01", "tool-ended", "nodejs", "error", "support ended 2028-04-30"),
        ("gpu-ubuntu", "2026-09-01", "tool-ended", "cuda-toolkit", None, ""),
        ("gpu-ubuntu", "2026-11-27", "tool-ended", "cuda-toolkit", "warning", "support ends 2027-03-24"),
        ("gpu-ubuntu", "2029-04-01", "tool-ended", "cuda-toolkit", "error", "support ended 2027-03-24"),
        # the distribution goes on to mend what it has
        ("cpu-ubuntu", "2028-12-01", "tool-ended", "postgresql", "note", "support ended 2028-11-09; the distribution"),
        ("cpu-debian", "2026-11-27", "tool-ended", "r", "note", "support ended 2023-04-21; the distribution"),
    ],
)
def test_ends_are_told_by_the_rows(
    tmp_path: Path, variant: str, day: str, rule: str, id: str, level: str | None, words: str
) -> None:
    one = found(tmp_path, variant, day).get((rule, id))
    assert (one.level if one else None) == level
    if one is not None:
        assert words in one.what and one.source and one.action and one.where.file


def test_what_no_row_speaks_of_is_unknown(tmp_path: Path) -> None:
    catalog = load()
    lock = locks.find(catalog, "cpu-debian")
    assert lock is not None
    compat = catalog.compat.model_copy(update={"ends": ()})
    evidence = Evidence(replace(catalog, compat=compat), lock, Store(tmp_path / "store"), datetime.date(2026, 11, 27))
    assert {(one.id, one.level) for one in end_of_life(evidence)} == {
        ("debian 12", "unknown"), ("python 3.11", "unknown")
    }  # fmt: skip


def test_a_tool_that_is_retired_is_found_with_its_successors(tmp_path: Path) -> None:
    row = Retired(
        tool="editor", since="2025", why="its makers have closed the shop", successors=("arrays", "notebooks"),
        source="https://example.invalid/end",
    )  # fmt: skip
    catalog = replace(tiny.catalog(), retired={"editor": row})
    evidence = Evidence(catalog, tiny.lock(), Store(tmp_path / "store"), datetime.date(2026, 11, 27))
    (one,) = tool_ended(evidence)
    assert one.what == "editor is retired since 2025: its makers have closed the shop"
    assert (one.id, one.level, one.action) == ("editor", "warning", "take arrays or notebooks instead")
    assert one.where.file and one.where.file.endswith("tools/editor.yaml")
