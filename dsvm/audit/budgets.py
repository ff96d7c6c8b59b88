"""What a tool takes in an image, against what its manifest lets it take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dsvm.audit.evidence import Evidence
from dsvm.audit.vulnerabilities import ways_of
from dsvm.ledger import REST, Account
from dsvm.model import Finding, Section
from dsvm.plan import own_pin
from dsvm.store import megabytes


def size_findings(found: Account, evidence: Evidence) -> Iterator[Finding]:
    """Tools that are larger in the image than the `size` of their manifests."""
    taken = tool_sizes(found.sizes, evidence)
    for choice in evidence.lock.choices:
        tool = evidence.catalog.tools.get(choice.tool)
        if tool is None or tool.size is None or taken.get(tool.tool, 0) <= tool.size:
            continue
        yield Finding(
            rule="size",
            id=tool.tool,
            level="warning",
            what=f"{tool.tool} takes {megabytes(taken[tool.tool])} of the image, and may take {megabytes(tool.size)}",
            where=evidence.where_tool(tool.tool, "size"),
            why="whoever pulls the image waits for it, and every node keeps it",
            action="look at what it brings (invoke report), leave out what nobody needs, or raise 'size'",
            source="the ledger of the image",
        )


def tool_sizes(sizes: Mapping[str, Mapping[str, int]], evidence: Evidence) -> dict[str, int]:
    """Tool -> bytes of the image that are there for it alone; what several tools need counts for none of them."""
    own = {}
    for tool in evidence.catalog.tools.values():
        if (place := own_pin(evidence.catalog, evidence.lock, tool)) is not None:
            own[place[0].id, place[1].name] = tool.tool
    found: dict[str, int] = {}
    for section in evidence.lock.sections:
        for name, size in sizes.get(section.id, {}).items():
            tools = _tools(section, name, evidence)
            mine = own.get((section.id, name)) or (tools[0] if len(tools) == 1 else None)
            if mine is not None:
                found[mine] = found.get(mine, 0) + size
    return found


def _tools(section: Section, name: str, evidence: Evidence) -> tuple[str, ...]:
    """The tools that need a pin, as far as artefacts say so."""
    if name == REST or len(section.tools) == 1:
        return section.tools
    way = ways_of(evidence, section).get(name)
    return way.tools if way is not None else ()
