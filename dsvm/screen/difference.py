"""What differs between two locks, on the terminal."""

from __future__ import annotations

import json
from itertools import groupby

from dsvm.diff import other_groups, section_title, signed, to_markdown, tool_where
from dsvm.model import Difference, PackageChange, Side
from dsvm.screen.console import echo, paragraph, table

DIFF_FORMATS = ("text", "markdown", "json")


def show_difference(difference: Difference, format: str) -> None:
    """Print it in one of DIFF_FORMATS."""
    if format == "json":
        echo(json.dumps(difference.model_dump(mode="json", by_alias=True), indent=1))
    elif format == "markdown":
        echo(to_markdown(difference).rstrip("\n"))
    else:
        _show(difference)


def _show(difference: Difference) -> None:
    paragraph(difference.headline)
    for word, side in (("old", difference.old), ("new", difference.new)):
        paragraph(f"{word}: {_side(side)}")
    if difference.tools:
        echo("")
        rows = [[one.tool, one.change, *tool_where(one)] for one in difference.tools]
        table("Tools", ["tool", "change", "from", "to"], rows, wraps=(0, 2))
    for _, members in groupby(difference.packages, key=lambda one: one.section):
        changes = [*members]
        echo("")
        paragraph(section_title(changes))
        rows = [_row(one) for one in changes]
        table("", ["package", "change", "download", "from", "to"], rows, right=(2,), wraps=(0, 3))
    for _, lines in other_groups(difference):
        if lines:
            echo("")
        for line in lines:
            paragraph(line)


def _side(side: Side) -> str:
    base = f"{side.base} ({side.base_kind})" if side.base_kind else side.base
    return f"{side.name}: {side.what}; base {base}; lock {side.lock[:12]}"


def _row(change: PackageChange) -> list[str]:
    old, new = (_version(change, one.version, one.section, one.registry) if one is not None else ""
                for one in (change.old, change.new))  # fmt: skip
    return [change.name, change.change, signed(change.size) if change.size is not None else "", old, new]


def _version(change: PackageChange, version: str, section: str, registry: str | None) -> str:
    """A version, of what moved with its place."""
    if change.change != "moved":
        return version
    sections = {one.section for one in (change.old, change.new) if one is not None}
    return f"{version} ({section if len(sections) > 1 else f'from {registry}'})"
