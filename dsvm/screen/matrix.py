"""The tables of `invoke list`: the variants, and the matrix of every tool in every variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from dsvm.model import answers
from dsvm.report import words
from dsvm.screen.console import echo, paragraph, table, terminal_width
from dsvm.screen.forms import shown_as
from dsvm.screen.variants import list_answer
from dsvm.session import Session

CELL = 7  # characters of a cell, so that eight variants fit a terminal of 100
DESCRIBED = 30  # characters that a description of a tool needs beside them
# what stands in a cell that has no version, and for the image of a variant that has none
WORDS: Mapping[answers.ToolPlace, str] = {
    "wanted": "wanted",
    "left_out": "out",
    "no_source": "none",
    "machines_only": "VM only",
    "gpu_only": "for GPU",
    "cpu_only": "for CPU",
    "not_named": "-",
}
IMAGES = {"absent": "-", "unknown": "no engine"}
TOTAL = "all"
SIZES = (
    "Packages as registries have them, in MB; one that two environments have counts twice. A group has what its tools "
    "bring and no other group needs; the rest, and what is not in the store yet, is shared. Single tools: "
    "--format json, or the picture of invoke report."
)
LEGEND = (
    f"A version: in its lock ({WORDS['wanted']}: not locked yet). "
    f"{WORDS['no_source']}: no source for this base and accelerator.\n"
    f"{WORDS['machines_only']}: only for formats of virtual machines. "
    f"{WORDS['gpu_only']} or {WORDS['cpu_only']}: only for such variants.\n"
    f"{WORDS['left_out']}: left out, see below. {WORDS['not_named']}: this variant could have it and does not name it."
)


def show_list(session: Session, form: str = "table", *, sizes: bool = False) -> None:
    """What there is and what state it is in, as tables or JSON; then raises InputError where a variant has faults.

    `sizes`: in place of the versions of tools, how much each group of them is.
    """
    show = shown_as(form, _show_sizes if sizes else _show)
    show(list_answer(session, sizes=sizes))
    session.catalog.refuse_broken()


def _show_sizes(answer: answers.ListAnswer) -> None:
    groups = sorted({group for one in answer.variants for group in one.sizes or ()})
    for variants, _ in _columns(answer.variants, max(map(len, (*groups, TOTAL)))):
        totals = [{group: sum(tools.values()) for group, tools in (one.sizes or {}).items()} for one in variants]
        rows = [
            [group.replace("-", " "), *(words.megabytes(one.get(group), 0) or "-" for one in totals)]
            for group in groups
        ]
        rows.append([TOTAL, *(words.megabytes(sum(one.values()) or None, 0) or "-" for one in totals)])
        heads = ["\n".join(_head(one.variant)) for one in variants]
        table("Sizes", ["", *heads], rows, right=tuple(range(1, len(variants) + 1)))
        echo("")
    paragraph(SIZES)


def _show(answer: answers.ListAnswer) -> None:
    rows = [
        [
            *(one.variant, one.base, one.accelerator, ", ".join(one.formats), *_lock_cells(one.lock)),
            IMAGES.get(one.image, one.image),
        ]
        for one in answer.variants
    ]
    table("Variants", ["variant", "base", "for", "formats", "lock", "download", "image"], rows, wraps=(3,))
    for variants, described in _columns(answer.variants, max(len(tool.tool) for tool in answer.tools)):
        echo("")
        heads = ["\n".join(_head(one.variant)) for one in variants]
        rows = []
        for group, members in groupby(answer.tools, key=lambda tool: tool.group):
            rows.append([f"{group.replace('-', ' ')}:", *[""] * len(variants), *([""] if described else [])])
            rows += [
                [
                    f" {tool.tool}",
                    *(cell(word(one.tools[tool.tool])) for one in variants),
                    *([tool.summary] if described else []),
                ]
                for tool in members
            ]
        table("Tools", ["", *heads, *(["\nwhat it is"] if described else [])], rows)
    paragraph(f"\n{LEGEND}")
    for line in (*_left_out_lines(answer.variants), *ecosystem_lines(answer.bases)):
        paragraph(line)


def _lock_cells(lock: answers.LockState | None) -> tuple[str, str]:
    if lock is None:
        return "none", "-"
    return "stale" if lock.state == "stale" else lock.digest[:12], f"{lock.size / 1e6:.0f} MB"


def _columns(
    variants: Sequence[answers.ListedVariant], widest: int
) -> Iterator[tuple[Sequence[answers.ListedVariant], bool]]:
    """The variants in tables that fit the terminal, each with whether there is room to describe the tools."""
    room = terminal_width() - widest - 1
    part: list[answers.ListedVariant] = []
    left = room
    for one in variants:
        width = max(CELL, *map(len, _head(one.variant))) + 2
        if part and width > left:
            yield part, left >= DESCRIBED
            part, left = [], room
        part.append(one)
        left -= width
    if part:
        yield part, left >= DESCRIBED


def _head(name: str) -> tuple[str, str]:
    """A variant's name in two lines, each short enough for a column where that is possible."""
    first, _, second = name.partition("-")
    return (first, second) if second else ("", first)


def word(tool: answers.ToolState) -> str:
    """A tool's locked version, or a word for why it has none."""
    return tool.version if tool.version is not None else WORDS[tool.state]


def cell(state: str) -> str:
    """A state as it is; of a long version as many of its numbers as fit."""
    while len(state) > CELL and "." in state:
        state = state.rpartition(".")[0]
    return state[:CELL]


def _left_out_lines(variants: Sequence[answers.ListedVariant]) -> Iterator[str]:
    """What is left out and why, one line for all tools and variants for which that is the same."""
    variants_of: dict[tuple[str, str], list[str]] = {}
    for one in variants:
        for left in one.left_out:
            variants_of.setdefault((left.reason, left.tool), []).append(one.variant)
    tools: dict[tuple[str, str], list[str]] = {}
    for (reason, tool), names in sorted(variants_of.items()):
        tools.setdefault((", ".join(names), reason), []).append(tool)
    for (where, reason), left_out in tools.items():
        yield f"left out of {where}: {', '.join(left_out)} ({reason})"


def ecosystem_lines(bases: Sequence[answers.ListedBase]) -> Iterator[str]:
    """Which ecosystems have nothing for a base that takes some of them only."""
    for base in bases:
        if base.excluded and base.variants:
            yield (
                f"{', '.join(base.variants)}: tools come from {' and '.join(base.ecosystems)} alone; "
                f"{', '.join(base.excluded)} have nothing for {base.summary}"
            )
