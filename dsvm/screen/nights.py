"""What a night came to, on the terminal and in files."""

from __future__ import annotations

from pathlib import Path

from dsvm.host import write_whole
from dsvm.model import Night, canonical_json
from dsvm.nightly import about, minutes, size, title, to_markdown
from dsvm.screen.console import echo, paragraph, table


def show_night(night: Night) -> None:
    """The verdict, a table of variants, and what broke."""
    echo("")
    paragraph(title(night))
    if night.release is not None:
        paragraph(f"released to {night.registry}, {', '.join(night.channels)}: {night.release}")
    rows = [
        [
            one.variant,
            one.verdict,
            "" if one.passed is None else f"{one.passed} of {one.passed + (one.failed or 0)}",
            size(one.size),
            size(one.pull),
            minutes(one),
        ]
        for one in night.variants
    ]
    table("", ["variant", "night", "checks", "size", "to pull", "time"], rows, right=(3, 4), wraps=(5,))
    for one in night.variants:
        if one.verdict != "unchanged":
            paragraph(f"{one.variant}: {about(one)}")
        for culprit in one.culprits:
            paragraph(f"  {', together with '.join(culprit.moves)} breaks {', '.join(culprit.checks)}")
        for hold in one.holds:
            paragraph(f"  held back: {hold.name}, until {hold.expires}: {hold.reason}")
        for hold in one.dropped:
            paragraph(f"  held no longer: {hold.name}")
        for name in one.flaky:
            paragraph(f"  flaky: {name}")


def write_night(night: Night, record: Path, summary: Path | None) -> None:
    """Write the record as JSON, and a summary as Markdown."""
    write_whole(record, canonical_json(night.model_dump(mode="json", by_alias=True)))
    if summary is not None:
        with summary.open("a", encoding="utf-8") as file:  # a CI's page has what others wrote there
            file.write(to_markdown(night))
