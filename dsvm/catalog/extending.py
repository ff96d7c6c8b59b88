"""Variants made whole: those that extend another one, and those that name groups of tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dsvm.catalog.grouping import Groups
from dsvm.catalog.words import line_of, near
from dsvm.model import GROUP, Variant


def extend(
    variants: dict[str, Variant], groups: Groups, origin: Mapping[tuple[str, str], Path], broken: set[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Make every variant whole, in `variants`: with all of the one it extends, and with tools where groups stand.

    One that cannot be made whole becomes `broken`. Yields the name of each variant that has a fault, and the fault.
    """
    written = dict(variants)
    reported = frozenset(broken)
    for name, variant in written.items():
        chain = [variant]
        while (other := chain[-1].extends) in written and written[other] not in chain:
            chain.append(written[other])
        where = origin["variants", name]
        if other is not None:
            del variants[name]
            broken.add(("variants", name))
            if other == name:
                way = " -> ".join((*(one.variant for one in chain), name))
                yield name, f"{where}:{line_of(where, 'extends')}: variant '{name}' extends itself: {way}"
            elif len(chain) == 1 and ("variants", other) not in reported:
                line = line_of(where, "extends")
                yield name, f"{where}:{line}: extends unknown variant '{other}'{near(other, written)}"
            continue
        place = _place(chain)
        yield from ((name, f"{where}:{line_of(where, word)}: {fault}") for word, fault in groups.faults(variant, place))
        *steps, root = chain
        whole = groups.spread(root, place)
        if not steps:
            yield from ((name, fault) for fault in _without(variant, None, groups, where))
        for one in reversed(steps):
            yield from ((name, fault) for fault in (_without(one, whole, groups, where) if one is variant else ()))
            whole = groups.spread(one, place).extended(whole)
        variants[name] = whole


def _place(chain: Sequence[Variant]) -> Variant:
    """The base, accelerator and formats of a variant, of which `chain` is all that it extends, the nearest first."""
    *steps, place = chain
    for one in reversed(steps):
        said = {key: getattr(one, key) for key in one.model_fields_set - {"tools", "without"}}
        place = place.model_copy(update=said)
    named = tuple(tool for one in chain for tool in one.tools if not tool.startswith(GROUP))
    return place.model_copy(update={"tools": named})


def _without(variant: Variant, base: Variant | None, groups: Groups, where: Path) -> Iterator[str]:
    """What is wrong with the tools that `variant` takes out of those of `base`, or of its own groups."""
    grouped = [tool for word in variant.tools if word.startswith(GROUP) for tool in groups.members(word)]
    there = [*(base.tools if base is not None else ()), *grouped]
    has = f"variant '{base.variant}' has no tool" if base is not None else "no group under 'tools' has a tool"
    for word in variant.without:
        line = line_of(where, word)
        if word in variant.tools:
            what = f"group '{word.removeprefix(GROUP)}'" if word.startswith(GROUP) else f"tool '{word}'"
            yield f"{where}:{line}: {what} stands under 'tools' and under 'without'"
        elif not word.startswith(GROUP) and word not in there:
            yield f"{where}:{line}: {has} '{word}'{near(word, there)} to go without"
        elif word.startswith(GROUP) and (members := groups.members(word)) and not set(members) & set(there):
            yield f"{where}:{line}: {has} of group '{word.removeprefix(GROUP)}' to go without"
