"""How much of a variant is known exactly: tools that are left out, and sources that were second choice."""

from __future__ import annotations

from collections.abc import Iterator

from dsvm.audit.evidence import Evidence
from dsvm.model import Finding, LeftOut


def left_out(evidence: Evidence) -> Iterator[Finding]:
    """Tools that the variant names and its images lack"""
    for left in evidence.lock.left_out:
        yield Finding(
            rule="left-out",
            id=left.tool,
            level="warning",
            what=f"{left.tool} is left out: {left.reason}",
            where=evidence.where_tool(left.tool),
            why="whoever reads the variant's manifest expects it in the image",
            action=_way_back(evidence.lock.variant, left),
            source="the lock",
        )


def _way_back(variant: str, left: LeftOut) -> str:
    if left.kind == "unreachable":
        return f"lock or build it where its source answers, and it comes in: invoke lock --variant {variant}"
    return f"invoke lock --variant {variant} --put-back {left.tool}"


def second_choice(evidence: Evidence) -> Iterator[Finding]:
    """Sources that were passed over for a later one"""
    for choice in evidence.lock.choices:
        tool = evidence.catalog.tools.get(choice.tool)
        if not choice.passed_over or tool is None or choice.source >= len(tool.sources):
            continue
        source = tool.sources[choice.source]
        remark = f": {source.remark}" if source.remark else ""
        yield Finding(
            rule="second-choice",
            id=choice.tool,
            level="note",
            what=f"{choice.tool} comes from {'+'.join(source.requests())}, not from {', '.join(choice.passed_over)}"
            + remark,
            where=evidence.where_tool(choice.tool),
            why="the first source could not be reached when this was locked",
            action="lock again where it can be reached: invoke lock --upgrade",
            source="the lock",
        )
