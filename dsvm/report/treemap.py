"""Where the bytes of an image are, as rectangles within each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import squarify

from dsvm.sbom import Node

MOST_TILES = 40  # in one rectangle; what is smaller is one tile
SMALLEST = 0.0015  # of a rectangle
FRONT = 0.012  # of the whole: what is smaller shows nothing of what is in it
# Width and height of the two canvases: a desktop's, and a phone's
CANVASES: Mapping[str, tuple[int, int]] = {"w": (1000, 520), "t": (600, 860)}
HEAD = 24  # units of a canvas above what is shown inside a rectangle


def to_json(root: Node) -> dict[str, Any]:
    """What the page draws: names, bytes and rectangles in thousandths of their canvas, for each kind of screen.

    `w` and `t` hold where a node is when its parent fills the canvas, `wi` and `ti` where it is inside its parent when
    the one above that does.
    """
    groups = {name: replace(group, name=name.replace("-", " ")) for name, group in root.children.items()}
    return _described(replace(root, children=groups), dict.fromkeys(CANVASES))


def _described(node: Node, boxes: Mapping[str, tuple[float, float] | None]) -> dict[str, Any]:
    """`boxes` is the room that the node's own rectangle has for its children, where there is any."""
    made: dict[str, Any] = {"n": node.name, "s": node.size}
    children = _sorted(node)
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


def _sorted(node: Node) -> list[Node]:
    """The children of a node, the largest first; those that nobody could see as one."""
    found = sorted((one for one in node.children.values() if one.size), key=lambda one: (-one.size, one.name))
    shown = [one for one in found[:MOST_TILES] if one.size >= SMALLEST * node.size]
    rest = found[len(shown) :]
    if len(rest) > 1:
        return [*shown, Node(f"{len(rest)} smaller ones", sum(one.size for one in rest))]
    return found


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
