"""Numbers as a page shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from dsvm.diff import unsigned
from dsvm.model import Finding

MOST_TOOLS = 5  # that are named
MOST_SOURCE = 200  # characters: an artefact may say a whole licence

__all__ = ["day", "duration", "megabytes", "moment", "place", "plural", "unsigned"]


def megabytes(size: int | None, digits: int = 1) -> str:
    """MB alone, for columns that say so: '1,749.1'; '' where it is not known."""
    return f"{size / 1e6:,.{digits}f}" if size is not None else ""


def duration(seconds: float) -> str:
    """For example '4 min 50 s', or '3.2 s'."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(time: datetime) -> str:
    """For example '27 Nov 2026, 10:24 UTC'."""
    return f"{day(time)}, {time.astimezone(UTC):%H:%M} UTC"


def day(time: datetime) -> str:
    """For example '27 Nov 2026'."""
    return f"{time.astimezone(UTC):%-d %b %Y}"


def plural(count: int, word: str, several: str | None = None) -> str:
    """For example '1 check', '1,185 packages'."""
    return f"{count:,} {word if count == 1 else several or f'{word}s'}"


def place(finding: Finding) -> str:
    """Where a finding is, and who says so, in one line."""
    where = finding.where
    said = [f"{where.file}:{where.line}" if where.file and where.line else where.file or "", where.path or ""]
    said += [f"in {where.section}" if where.section else "", where.pin or ""]
    if where.tools:
        more = " and others" if len(where.tools) > MOST_TOOLS else ""
        said.append(f"brought by {', '.join(where.tools[:MOST_TOOLS])}{more}")
    if finding.source:
        source = " ".join(finding.source.split())
        short = source if len(source) <= MOST_SOURCE else f"{source[:MOST_SOURCE].rstrip()} …"
        said.append(f"by {short}{f', {finding.date}' if finding.date else ''}")
    return " · ".join(filter(None, said))
