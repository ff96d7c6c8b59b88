"""Locks that a variant shares with: what need not move stays as another variant has it, and so do its layers."""

from __future__ import annotations

from collections.abc import Mapping

from dsvm.catalog import Catalog
from dsvm.lock.files import find
from dsvm.model import Lock, Section


def relative(catalog: Catalog, name: str) -> Lock | None:
    """The lock that variant `name` starts from while it has none of its own; None where no other is like it.

    That of the nearest variant it extends, on the same base; else that of the variant on its base with most of its
    tools. Raises LockError when that lock is broken.
    """
    variant = catalog.variant(name)
    of_base = [other for other in catalog.variants if other != name and catalog.variant(other).base == variant.base]
    chain, extended = [], variant.extends
    while extended is not None:
        chain.append(extended)
        extended = catalog.variant(extended).extends
    tools = set(variant.tools)
    shared = {other: len(tools.intersection(catalog.variant(other).tools)) for other in of_base}
    beside = sorted((other for other in of_base if other not in chain and shared[other]), key=lambda one: -shared[one])
    for other in [*(one for one in chain if one in of_base), *beside]:
        if (lock := find(catalog, other)) is not None and lock.base == variant.base:
            return lock
    return None


def versions(sections: tuple[Section, ...], *, without: str | None = None) -> Mapping[str, Mapping[str, str]]:
    """Section -> package -> the version that is locked, but for the sections of the ecosystem `without`."""
    return {one.id: {pin.plain_name: pin.version for pin in one.pins} for one in sections if one.ecosystem != without}
