"""PowerShell as a real parser reads it: tree-sitter with its grammar, of which there is one without Windows."""

from __future__ import annotations

from collections.abc import Iterator

import tree_sitter_pwsh
from tree_sitter import Language, Node, Parser

PARSER = Parser(Language(tree_sitter_pwsh.language()))
QUOTES = "'\u2018\u2019\u201a\u201b"


def parse(text: str) -> Node:
    return PARSER.parse(text.encode()).root_node


def nodes(root: Node, *kinds: str) -> Iterator[Node]:
    """All nodes of some kinds below `root`, in the order in which they stand."""
    if root.type in kinds:
        yield root
    for child in root.children:
        yield from nodes(child, *kinds)


def text_of(node: Node) -> str:
    return (node.text or b"").decode()


def faults(text: str) -> list[str]:
    """`line: what` for everything that is no PowerShell."""
    return [f"{node.start_point.row + 1}: {text_of(node)[:60]!r}" for node in _broken(parse(text))]


def _broken(node: Node) -> Iterator[Node]:
    if node.is_error or node.is_missing:
        yield node
    for child in node.children:
        yield from _broken(child)


def value_of(literal: str) -> str:
    """What a single-quoted literal stands for, by the rules of PowerShell's reference.

    Any two of its five single quotes in a row stand for the second of them, and one alone ends the literal.
    """
    assert literal[0] in QUOTES and literal[-1] in QUOTES
    inner, value = iter(literal[1:-1]), ""
    for character in inner:
        if character in QUOTES:
            following = next(inner, "")
            assert following in QUOTES and following, f"{literal!r} ends early"
            character = following
        value += character
    return value
