"""Whether an advisory speaks of a version: https://ossf.github.io/osv-schema/#evaluation"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

from dsvm.audit.advisories import Affected, Event, Range

Order = Callable[[str], Any]
EARLIEST = "0"  # an `introduced` that is before every version
ORDERED = ("ECOSYSTEM", "SEMVER")  # types of ranges; GIT has commits and no versions


@dataclass(frozen=True)
class Match:
    """`fixed` is the first version after ours, in the range that ours is in, that is not affected any more."""

    fixed: str | None = None


@dataclass(frozen=True)
class Unclear:
    """An advisory that names a package, and from which nobody can tell whether a version is affected."""

    why: str


def match(entry: Affected, version: str, order: Order) -> Match | Unclear | None:
    """Whether `version` is in a range of `entry`, or in its list; None when it is not.

    `order` makes of a version what sorts as versions do, and raises ValueError for what is none.
    """
    unclear: Unclear | None = None
    found: Match | None = None
    ranges = [one for one in entry.ranges if one.type in ORDERED]
    try:
        ours = order(version)
    except ValueError as error:
        return Unclear(str(error)) if version not in entry.versions else Match()
    for one in ranges:
        try:
            hit = in_range(one, ours, order)
        except (ValueError, TypeError) as error:
            unclear = Unclear(f"a range has what is no version: {error}")
            continue
        if hit is not None and (found is None or found.fixed is None):
            found = hit
    if found is None and version in entry.versions:
        found = Match()
    if found is None and any(_same(one, ours, order) for one in entry.versions):
        found = Match()
    if found is None and not ranges and not entry.versions:
        unclear = Unclear("it names commits or nothing, and no versions")
    return found or unclear


def in_range(one: Range, ours: Any, order: Order) -> Match | None:
    """Whether what `order` made of a version is in a range. Raises ValueError for a bound that is no version."""
    limits = [event.limit for event in one.events if event.limit is not None]
    if limits and not any(limit == "*" or ours < order(limit) for limit in limits):
        return None
    bounds = list(_bounds(one, order))
    inside = not any(bound.event.introduced is not None for bound in bounds)  # else nothing could be in it
    for bound in bounds:
        event, reached = bound.event, not bound.after(ours)
        if event.introduced is not None and reached:
            inside = True
        elif (event.fixed is not None and reached) or (event.last_affected is not None and bound.before(ours)):
            inside = False
    if not inside or not bounds:
        return None
    later = (bound.event.fixed for bound in bounds if bound.event.fixed is not None and bound.after(ours))
    return Match(next(later, None))


@dataclass(frozen=True)
class _Bound:
    event: Event
    # None is before every version
    place: Any

    def after(self, version: Any) -> bool:
        return self.place is not None and version < self.place

    def before(self, version: Any) -> bool:
        return self.place is None or self.place < version


def _bounds(one: Range, order: Order) -> Iterator[_Bound]:
    """The events of a range in the order of versions; those of one version in the order in which they stand there."""
    found = []
    for event in one.events:
        text = next((text for text in (event.introduced, event.fixed, event.last_affected) if text is not None), None)
        if text is not None:
            earliest = event.introduced == EARLIEST
            found.append(_Bound(event, None if earliest else order(text)))
    return iter(sorted(found, key=cmp_to_key(_compared)))


def _compared(one: _Bound, other: _Bound) -> int:
    if one.place is None or other.place is None:
        return (one.place is not None) - (other.place is not None)
    return -1 if one.place < other.place else int(other.place < one.place)


def _same(text: str, ours: Any, order: Order) -> bool:
    try:
        return bool(order(text) == ours)
    except (ValueError, TypeError):
        return False
