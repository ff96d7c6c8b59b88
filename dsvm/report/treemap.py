"""Where the bytes are: groups of tools, their tools, and the packages of each, as rectangles within each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import squarify

from dsvm.catalog import Catalog
from dsvm.model import Lock
from dsvm.plan import own_pin
from dsvm.sbom import Bill, Component

MOST_TILES = 40  # in one rectangle; what is smaller is one tile
SMALLEST = 0.0015  # of a rectangle
FRONT = 0.012  # of the whole: what is smaller shows nothing of what is in it
# Width and height of the two canvases: a desktop's, and a phone's
CANVASES: Mapping[str, tuple[int, int]] = {"w": (1000, 520), "t": (600, 860)}
HEAD = 24  # units of a canvas above what is shown inside a rectangle
SHARED = "shared"
SYSTEM = "operating system"


@dataclass
class Node:
    """A rectangle: bytes of its own, or those of what is in it."""

    name: str
    size: int = 0
    children: dict[str, Node] = field(default_factory=dict)

    def add(self, path: Sequence[str], size: int) -> None:
        self.size += size
        if path:
            self.children.setdefault(path[0], Node(path[0])).add(path[1:], size)

    @property
    def sorted(self) -> list[Node]:
        """Its children, the largest first; those that nobody could see as one."""
        found = sorted((one for one in self.children.values() if one.size), key=lambda one: (-one.size, one.name))
        shown = [one for one in found[:MOST_TILES] if one.size >= SMALLEST * self.size]
        rest = found[len(shown) :]
        if len(rest) > 1:
            return [*shown, Node(f"{len(rest)} smaller ones", sum(one.size for one in rest))]
        return found


def tree_of(bill: Bill, catalog: Catalog, lock: Lock) -> Node:
    """Bytes to download of everything in an image."""
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
    return known.group.replace("-", " ") if known is not None else "other"


def to_json(root: Node) -> dict[str, Any]:
    """What the page draws: names, bytes and rectangles in thousandths of their canvas, for each kind of screen.

    `w` and `t` hold where a node is when its parent fills the canvas, `wi` and `ti` where it is inside its parent when
    the one above that does.
    """
    return _described(root, dict.fromkeys(CANVASES))


def _described(node: Node, boxes: Mapping[str, tuple[float, float] | None]) -> dict[str, Any]:
    """`boxes` is the room that the node's own rectangle has for its children, where there is any."""
    made: dict[str, Any] = {"n": node.name, "s": node.size}
    children = node.sorted
    if not children:
        return made
    sizes = [one.size for one in children]
    whole = {kind: rectangles(sizes, canvas) for kind, canvas in CANVASES.items()}
    inner = {kind: rectangles(sizes, box) if box else None for kind, box in boxes.items()}
    made["c"] = []
    for number, child in enumerate(children):
        room = {kind: _room(whole[kind][number], CANVASES[kind]) for kind in CANVASES}
        said = _described(child, room)
        for kind in CANVASES:
            said[kind] = whole[kind][number]
            if (within := inner[kind]) is not None:
                said[f"{kind}i"] = within[number]
        made["c"].append(said)
    return made


def _room(rectangle: Sequence[int], canvas: tuple[int, int]) -> tuple[float, float] | None:
    _, _, width, height = (part / 1000 for part in rectangle)
    if width * height < FRONT:
        return None
    box = width * canvas[0], height * canvas[1] - HEAD
    return box if min(box) > HEAD else None


def rectangles(sizes: Sequence[int], canvas: tuple[float, float]) -> list[list[int]]:
    """Left, top, width and height, in thousandths of the canvas, for sizes that stand the largest first."""
    width, height = canvas
    found = squarify.squarify(squarify.normalize_sizes(sizes, width, height), 0, 0, width, height)
    edges = []
    for one in found:
        left, top = one["x"] / width, one["y"] / height
        right, bottom = left + one["dx"] / width, top + one["dy"] / height
        # edges are rounded, not widths: neighbours touch
        x, y = round(left * 1000), round(top * 1000)
        edges.append([x, y, round(right * 1000) - x, round(bottom * 1000) - y])
    return edges
