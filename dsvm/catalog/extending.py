"""Variants that extend another one, made whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dsvm.catalog.words import line_of, near
from dsvm.model import Variant


def extend(
    variants: dict[str, Variant], origin: Mapping[tuple[str, str], Path], broken: set[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Make every variant that extends another one whole, in `variants`; one that cannot be becomes `broken`.

    Yields the name of each variant that has a fault, and the fault.
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
        *steps, whole = chain
        for one in reversed(steps):
            yield from ((name, fault) for fault in (_without(one, whole, where) if one is variant else ()))
            whole = one.extended(whole)
        variants[name] = whole


def _without(variant: Variant, base: Variant, where: Path) -> Iterator[str]:
    """What is wrong with the tools that `variant` takes out of those of `base`."""
    for tool in variant.without:
        line = line_of(where, tool)
        if tool in variant.tools:
            yield f"{where}:{line}: tool '{tool}' stands under 'tools' and under 'without'"
        elif tool not in base.tools:
            yield f"{where}:{line}: variant '{base.variant}' has no tool '{tool}'{near(tool, base.tools)} to go without"
