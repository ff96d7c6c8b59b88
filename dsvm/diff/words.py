"""Sizes and headlines as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from dsvm.model import CHANGES, Advice, Difference, Layers, PackageChange, Side, ToolChange

MOST = 3  # tools that a headline names
MOST_LAYERS, MOST_NAME = 12, 40  # layers that are named, and characters of a name


def signed(size: int) -> str:
    """Bytes with their sign: +120 MB, -3.5 MB, +12 kB, 0."""
    if size == 0:
        return "0"
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(size) >= one:
            number = size / one
            return f"{number:+.0f} {unit}" if abs(number) >= 99.5 and unit != "GB" else f"{number:+.1f} {unit}"
    return f"{size:+d} bytes"


def unsigned(size: int) -> str:
    """Bytes: 120 MB, 3.5 MB, 0."""
    return signed(size).removeprefix("+")


def headline(
    old: Side, new: Side, tools: Sequence[ToolChange], packages: Sequence[PackageChange], size: int | None
) -> str:
    """What somebody wants to know first: base, the largest tools, how many packages, and the download.

    '' when there is none of it to say.
    """
    said = [f"{old.base} -> {new.base}"] if old.base != new.base else []
    named = sorted(tools, key=lambda one: (one.change in ("added", "removed"), -_weight(one), one.tool))
    said += [tool_words(one) for one in named[:MOST]]
    if len(named) > MOST:
        said.append(f"{len(named) - MOST} more tools" if len(named) > MOST + 1 else "1 more tool")
    said += counted(one.change for one in packages if one.inside)
    if building := sum(not one.inside for one in packages):
        said.append(f"{building} only for building")
    if size is not None and (size or packages):
        said.append(signed(size) if size else "the same download")
    return ", ".join(said)


def further_words(difference: Difference) -> list[str]:
    """For example ['2 advisories fixed, 1 new', '1 licence differs']."""
    said = []
    known = difference.vulnerabilities
    if known is not None and (known.fixed or known.new):
        fixed, new = len(known.fixed), len(known.new)
        word = "advisory" if (fixed or new) == 1 else "advisories"
        rest = f", {new} new" if new else ""
        said.append(f"{fixed} {word} fixed{rest}" if fixed else f"{new} new {word}")
    if count := len(difference.licenses):
        said.append(f"{count} licence{'s differ' if count > 1 else ' differs'}")
    return said


def tool_words(change: ToolChange) -> str:
    """For example 'pytorch 2.13.0 -> 2.14.1'."""
    old, new = change.old, change.new
    if old is None or new is None:
        there = new or old
        version = f" {there.version}" if there is not None and there.version else ""
        return f"{change.tool}{version} {change.change}"
    if old.version != new.version:
        return f"{change.tool} {old.version or '?'} -> {new.version or '?'}"
    return f"{change.tool} {change.change}"


def counted(changes: Iterable[str]) -> list[str]:
    """For example ['41 packages up', '2 added']."""
    count = Counter(changes)
    words = [f"{count[name]} {name}" for name in CHANGES if count[name]]
    if words:
        number, name = words[0].split()
        words[0] = f"{number} package{'' if number == '1' else 's'} {name}"
    return words


def _weight(change: ToolChange) -> int:
    """Bytes of the tool's own package."""
    return max(one.size or 0 for one in (change.old, change.new) if one is not None)


def section_title(changes: Sequence[PackageChange]) -> str:
    """Of changes in one section: 'env-pytorch (pypi): 3 packages up, 1 added, +12.0 MB'."""
    first = changes[0]
    sizes = [one.size for one in changes if one.size is not None]
    said = [*counted(one.change for one in changes), *([signed(sum(sizes))] if len(sizes) == len(changes) else [])]
    return f"{first.section} ({first.ecosystem}{'' if first.inside else ', only for building'}): {', '.join(said)}"


def tool_where(change: ToolChange) -> tuple[str, str]:
    """A tool on both sides: its version, and of one that moved what else differs."""
    old, new = change.old, change.new
    said = [(one.version or "?") if one is not None else "" for one in (old, new)]
    if old is not None and new is not None and change.change == "moved":
        for name, word in (("ecosystem", "{}"), ("env", "environment {}"), ("registry", "from {}")):
            was, now = getattr(old, name), getattr(new, name)
            if was != now:
                said = [f"{text}, {word.format(one or 'none')}" for text, one in zip(said, (was, now), strict=True)]
    return said[0], said[1]


def layer_words(layers: Layers) -> str:
    """How many layers change, which ones, and what that is in bytes."""
    count = len(layers.changed)
    names = [one.layer.removeprefix("sha256:")[:MOST_NAME] for one in layers.changed]
    more = f" and {count - MOST_LAYERS} more" if count > MOST_LAYERS else ""
    said = f"layers: {count} of {count + layers.same} differ: {', '.join(names[:MOST_LAYERS])}{more}"
    if layers.fetch is None:
        return said
    if layers.unpacked:
        return f"{said}; the new ones unpack to {unsigned(layers.fetch)}"
    here = f", of which the store has {unsigned(layers.here)}" if layers.here is not None and layers.fetch else ""
    return f"{said}; {unsigned(layers.fetch)} of new artefacts{here}"


def other_groups(difference: Difference) -> Iterator[tuple[str, list[str]]]:
    """What differs beside tools and packages: titles, each with lines."""
    known = difference.vulnerabilities
    if known is not None:
        both = {"fixed": known.fixed, "new": known.new}
        said = [_advice(word, one) for word, advices in both.items() for one in advices]
        yield "Known vulnerabilities", [*said, f"{known.still} vulnerabilities are on both sides, by {known.source}"]
    terms = [f"licence of {one.section}/{one.name}: {one.old} -> {one.new}" for one in difference.licenses]
    yield "Licences", terms
    layers = difference.layers
    yield "Layers", [layer_words(layers)] if layers is not None and layers.changed else []
    lines = [
        f"left out: {left.tool} ({left.new})" if left.new is not None else f"no longer left out: {left.tool}"
        for left in difference.left_out
    ]
    for section in difference.sections:
        what = f" ({', '.join(section.what)})" if section.what else ""
        lines.append(f"section {section.section}: {section.change}{what}")
    yield "Locked otherwise", lines


def _advice(word: str, one: Advice) -> str:
    return f"{word}: {one.id} ({one.level}) in {one.package}: {one.what}"
