"""A YAML file as data, with the line of every key and item."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from dsvm.host import read_bounded

Loc = tuple[str | int, ...]
MOST = 4 << 20  # bytes: the largest manifest has a hundredth
MOST_NODES = 100_000  # values of a file, each as often as an alias repeats it
SAFE = 1000  # levels that libyaml composes without an end of its stack
DEEPEST = 50  # tables and lists inside each other
LONGEST_NUMBER = 100  # digits
# What the YAML reader raises for a scalar that is none of its kind, such as the date 2026-13-01, or `!!int` of nothing
NOT_OF_ITS_KIND = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError)

# What libyaml and PyYAML's own parser read differently: blanks that are tabs, tags, keys after a question mark
DIFFERENT = re.compile(r"[\t!?\ufeff]|[|>][-+0-9]*#|---")


def read_yaml(path: Path) -> tuple[Any, dict[Loc, int]] | str:
    """Data of a YAML file and the line of every key and item, or the fault as `file:line: what`."""
    try:
        loader, node = _compose(read_bounded(path, MOST).decode("utf-8"))
    except RecursionError:
        return f"{path}:1: not valid YAML: nested too deeply"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem or error.context}"
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        return f"{path}:1: not valid YAML: {error}".replace("\n", " ")
    except OSError as error:
        return f"{path}: {error.strerror}"
    if node is None:
        return f"{path}:1: empty"
    lines: dict[Loc, int] = {}
    try:
        if fault := _index(node, (), lines):
            return f"{path}:{fault}"
        return loader.construct_document(node), lines
    except RecursionError:
        return f"{path}:1: not valid YAML: nested too deeply"
    except NOT_OF_ITS_KIND:
        scalar = _unreadable(loader, node)
        what = f"'{scalar.value}' is no {scalar.tag.split(':')[-1]}" if scalar is not None else "a tag does not fit"
        return f"{path}:{(scalar or node).start_mark.line + 1}: not valid YAML: {what}"


def _compose(text: str) -> tuple[SafeConstructor, yaml.Node | None]:
    """The nodes of `text` and what makes data of them; by libyaml, ten times as fast, unless something is wrong."""
    # where a file nests deeply enough, libyaml's composer takes the whole process down
    if yaml.__with_libyaml__ and not DIFFERENT.search(text) and _deepest(text) <= SAFE:
        try:
            quick = yaml.CSafeLoader(text)
            return quick, quick.get_single_node()
        except (yaml.YAMLError, UnicodeError):
            pass  # what is wrong, PyYAML says in its own words
    loader = yaml.SafeLoader(text)
    return loader, loader.get_single_node()


def _deepest(text: str) -> int:
    """So many times tables and lists can stand inside each other at most: by brackets, and by columns."""
    return text.count("[") + text.count("{") + max(map(len, text.splitlines()), default=0)


def _unreadable(loader: SafeConstructor, node: yaml.Node) -> yaml.Node | None:
    """The first scalar below `node` that YAML takes for a date or number, and that is none."""
    if isinstance(node, yaml.ScalarNode):
        try:
            loader.construct_document(node)
        except NOT_OF_ITS_KIND:
            return node
        return None
    children = [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
    return next((found for child in children if (found := _unreadable(loader, child)) is not None), None)


def _index(node: yaml.Node, loc: Loc, lines: dict[Loc, int], above: tuple[yaml.Node, ...] = ()) -> str | None:
    """Fill `lines`; returns `line: what` for a key that stands twice or is no text, and for data inside itself."""
    if any(node is one for one in above):
        return f"{node.start_mark.line + 1}: an alias inside what it names"
    if len(above) > DEEPEST:
        return f"{node.start_mark.line + 1}: nested more than {DEEPEST} times"
    if len(lines) > MOST_NODES:
        return f"{node.start_mark.line + 1}: more than {MOST_NODES} values, aliases counted as often as they stand"
    if isinstance(node, yaml.ScalarNode) and len(node.value) > LONGEST_NUMBER and node.tag.endswith((":int", ":float")):
        return f"{node.start_mark.line + 1}: a number of {len(node.value)} digits"
    above = (*above, node)
    lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                return f"{key.start_mark.line + 1}: a key is one word, no list or table"
            child = (*loc, key.value)
            if child in lines:
                return f"{key.start_mark.line + 1}: key '{key.value}' stands twice"
            lines[child] = key.start_mark.line + 1
            if fault := _index(value, child, lines, above):
                return fault
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            if fault := _index(value, (*loc, number), lines, above):
                return fault
    return None
