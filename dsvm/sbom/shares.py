"""Where the bytes of an image are: groups of tools, their tools, and the packages of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dsvm.catalog import Catalog
from dsvm.model import Lock
from dsvm.plan import own_pin
from dsvm.sbom.bill import Bill, Component

SHARED = "shared"
SYSTEM = "operating system"


@dataclass
class Node:
    """Bytes of something, or of all that is in it."""

    name: str
    size: int = 0
    children: dict[str, Node] = field(default_factory=dict)

    def add(self, path: Sequence[str], size: int) -> None:
        self.size += size
        if path:
            self.children.setdefault(path[0], Node(path[0])).add(path[1:], size)


def tree_of(bill: Bill, catalog: Catalog, lock: Lock) -> Node:
    """Packed bytes of everything in an image; a package of two environments counts twice."""
    root = Node(bill.variant)
    owner = _owners(bill, _own(bill, catalog, lock))
    for one in bill.components:
        if one.size:
            name = one.name if one.section == "base" else f"{one.name} {one.version}"
            root.add([*_place(one, owner.get(one.ref), catalog), name], one.size)
    for group in root.children.values():
        for node in group.children.values():
            if len(node.children) == 1:  # nothing to go into
                node.children.clear()
    return root


def _own(bill: Bill, catalog: Catalog, lock: Lock) -> dict[str, set[str]]:
    """Tool -> refs of what it is, and of what it alone asks for."""
    asked = Counter(ref for product in bill.tools for ref in product.needs)
    own = {product.name: {ref for ref in product.needs if asked[ref] == 1} for product in bill.tools}
    refs = {(one.section, one.sha256): one.ref for one in bill.components}
    for name in own:
        tool = catalog.tools.get(name)
        pin = own_pin(catalog, lock, tool) if tool is not None else None
        if pin is not None and (ref := refs.get((pin[0].id, pin[1].sha256))) is not None:
            for others in own.values():
                others.discard(ref)
            own[name].add(ref)
    return own


def _owners(bill: Bill, own: Mapping[str, set[str]]) -> dict[str, str]:
    """Ref -> the tool without which nothing would need it; the nearest of several."""
    edges = {one.ref: one.needs or () for one in bill.components}
    starts = {ref for product in bill.tools for ref in product.needs}
    every = _reached(edges, starts, set())
    found: dict[str, str] = {}
    kept = {tool: every - _reached(edges, starts, mine) for tool, mine in own.items()}
    for tool, refs in sorted(kept.items(), key=lambda one: (-len(one[1]), one[0])):
        found |= dict.fromkeys(refs, tool)
    for tool, mine in own.items():
        found |= dict.fromkeys(mine, tool)
    return found


def _reached(edges: Mapping[str, Iterable[str]], starts: Iterable[str], without: set[str]) -> set[str]:
    """All that `starts` lead to by ways that do not pass through `without`."""
    waiting = [ref for ref in starts if ref not in without]
    seen = set(waiting)
    while waiting:
        for ref in edges.get(waiting.pop(), ()):
            if ref not in seen and ref not in without:
                seen.add(ref)
                waiting.append(ref)
    return seen


def _place(one: Component, owner: str | None, catalog: Catalog) -> tuple[str, str]:
    """Group and tool that a package counts for: the one that needs it, or alone brings it."""
    if one.section == "base":
        return SYSTEM, one.section
    if owner is None and len(one.tools) == 1:
        owner = one.tools[0]
    if owner is not None:
        return _group(owner, catalog), owner
    groups = {_group(tool, catalog) for tool in one.tools}
    return (groups.pop() if len(groups) == 1 else SHARED), f"{SHARED} in {one.section}"


def _group(tool: str, catalog: Catalog) -> str:
    known = catalog.tools.get(tool)
    return known.group if known is not None else "other"
