"""Days that are still to come, of what says when it was written down."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from dsvm.audit.evidence import Evidence, shown
from dsvm.catalog import line_of
from dsvm.model import Finding, Where

DAY = datetime.timedelta(1)  # it may be tomorrow already where somebody lives


def to_come(evidence: Evidence) -> Iterator[Finding]:
    """Nothing says that it is of a day that is still to come"""
    for section in evidence.lock.sections:
        day = datetime.datetime.fromtimestamp(section.epoch, datetime.UTC).date()
        if day > evidence.today + DAY:
            yield _finding(section.id, f"{section.id} says that it was locked", day, evidence.where(section))
    compat, policy = evidence.catalog.compat, evidence.catalog.policy
    for row in (row for table in compat.tables.values() for row in table):
        if row.date > evidence.today + DAY:
            what = f"the row {' '.join(row.key)} of compat.yaml says that it was read"
            yield _finding(f"compat {' '.join(row.key)}", what, row.date, _where(evidence, "compat.yaml", row.date))
    for terms in policy.licenses.terms:
        if terms.date > evidence.today + DAY:
            what = f"the terms {terms.license} of policy.yaml say that they were written down"
            yield _finding(f"terms {terms.license}", what, terms.date, _where(evidence, "policy.yaml", terms.date))


def _finding(id: str, what: str, day: datetime.date, where: Where) -> Finding:
    return Finding(
        rule="to-come",
        id=id[:500],
        level="warning",
        what=f"{what} on {day}, which is still to come",
        where=where,
        why="a date that is wrong says nothing of how old something is",
        action="correct the date, or the clock of this host",
        source=where.file or "",
    )


def _where(evidence: Evidence, name: str, day: datetime.date) -> Where:
    """The last of the catalog's files of this name that says the day."""
    for folder in reversed(evidence.catalog.folders):
        path: Path = folder / name
        if path.is_file() and str(day) in path.read_text(encoding="utf-8"):
            return Where(file=shown(path), line=line_of(path, str(day)))
    return Where()
