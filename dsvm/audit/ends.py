"""What nobody maintains any more, by the rows of compat.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dsvm import gate
from dsvm.audit.evidence import Evidence
from dsvm.model import EndRow, Finding, Level, upstream_version
from dsvm.plan import locked_tools

LEVELS: dict[str, Level] = {"error": "error", "warning": "warning", "not_checked": "unknown"}


def end_of_life(evidence: Evidence) -> Iterator[Finding]:
    """Distribution, languages and drivers are maintained"""
    scene = gate.make_scene(evidence.catalog, evidence.variant, evidence.lock)
    for found in gate.end_of_life(replace(scene, today=evidence.today)):
        if found.level == "ok":
            continue
        yield Finding(
            rule="end-of-life",
            id=found.what.partition(":")[0],
            level=LEVELS[found.level],
            what=found.what,
            where=evidence.where(evidence.lock.sections[0]),
            why="faults that are found from then on stay, and so do the holes",
            action=found.remedy or "add a row to `ends` of a compat.yaml",
            source=found.why,
        )


def tool_ended(evidence: Evidence) -> Iterator[Finding]:
    """Tools whose makers have rows for their ends are maintained, by them or by the distribution"""
    yield from _retired(evidence)
    compat = evidence.catalog.compat
    packaged = {section.ecosystem for section in evidence.lock.sections if section.id in ("base", "system")}
    for tool, planned in locked_tools(evidence.catalog, evidence.lock).items():
        release = upstream_version(planned.version)
        row = next((one for one in compat.ends if one.product == tool and _covers(one, release)), None)
        if row is None:
            continue
        level, what = gate.end_state(compat, row, evidence.today)
        if level == "ok":
            continue
        kept = planned.ecosystem in packaged
        yield Finding(
            rule="tool-ended",
            id=tool,
            level="note" if kept else LEVELS[level],
            what=f"{tool} {release}: {what}" + ("; the distribution goes on to mend it" if kept else ""),
            where=evidence.where_tool(tool),
            why="faults that are found from then on stay, and so do the holes",
            action=f"take a newer {tool}: another source in its manifest, or a newer base",
            source=compat.sources.get(row.source, row.source),
            date=row.date,
        )


def _retired(evidence: Evidence) -> Iterator[Finding]:
    """Tools that are locked, and that a retired.yaml says their makers have ended."""
    for choice in evidence.lock.choices:
        row = evidence.catalog.retired.get(choice.tool.lower())
        if row is not None:
            yield Finding(
                rule="tool-ended",
                id=choice.tool,
                level="warning",
                what=f"{choice.tool} is retired since {row.since}: {row.why}",
                where=evidence.where_tool(choice.tool),
                why="faults that are found from then on stay, and so do the holes",
                action=f"take {' or '.join(row.successors)} instead",
                source=row.source,
            )


def _covers(row: EndRow, release: str) -> bool:
    return release == row.release or release.startswith(f"{row.release}.")
