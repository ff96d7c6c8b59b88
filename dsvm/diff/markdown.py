"""A difference as Markdown, for a changelog or a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from dsvm.audit import plain
from dsvm.diff.words import other_groups, section_title, signed, tool_where
from dsvm.model import Difference, Side


def to_markdown(difference: Difference) -> str:
    """The headline, then a table of tools, and one of packages for each section; ends in a newline."""
    return "\n".join(_lines(difference)).rstrip("\n") + "\n"


def _lines(difference: Difference) -> Iterator[str]:
    old, new = difference.old, difference.new
    yield f"## {plain(difference.headline)}"
    yield ""
    yield f"From {_side(old)} to {_side(new)}."
    yield ""
    if difference.tools:
        yield "### Tools"
        yield ""
        yield from _table(
            ("tool", "change", "from", "to"),
            ([one.tool, one.change, *tool_where(one)] for one in difference.tools),
        )
    for _, members in groupby(difference.packages, key=lambda one: one.section):
        changes = [*members]
        yield f"### {plain(section_title(changes))}"
        yield ""
        yield from _table(
            ("package", "change", "from", "to", "download"),
            (
                [
                    one.name,
                    one.change,
                    one.old.version if one.old else "",
                    one.new.version if one.new else "",
                    signed(one.size) if one.size is not None else "",
                ]
                for one in changes
            ),
        )
    for title, lines in other_groups(difference):
        if lines:
            yield f"### {title}"
            yield ""
            yield from (f"- {plain(line)}" for line in lines)
            yield ""


def _side(side: Side) -> str:
    base = f"{side.base}, {side.base_kind}" if side.base_kind else side.base
    return plain(f"{side.name} ({side.what}; base {base}; lock {side.lock[:12]})")


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = [*columns]
    yield f"| {' | '.join(heads)} |"
    yield "|" + " --- |" * len(heads)
    for row in rows:
        yield f"| {' | '.join(plain(cell) for cell in row)} |"
    yield ""
