"""Newer versions of R packages: what today's state of a repository has, where the locked one is of a day."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsvm.ecosystems.protocol import Offered
from dsvm.model import Index, LockError, Section

MOST_DAYS = 5  # that a server of snapshots may be late

Packages = Mapping[str, Sequence[Any]]


def offered(
    section: Section,
    index: Index,
    today: datetime.date,
    read: Callable[[Index], Packages],
    again: Callable[[], Mapping[str, str]],
    best: Callable[[Sequence[Any]], str | None],
) -> dict[str, Offered]:
    """What the repository offers now of each pin.

    `read` gives the packages of a state, `again` the versions that locking again brings from the index's own, and
    `best` the newest version among packages that is for the base's R.
    """
    packages = _now(index, today, read)
    found = {}
    for pin in section.pins:
        newest = best(packages.get(pin.name, ()))
        found[pin.name] = Offered(newest, words="" if newest else "the repository has no version of it that fits")
    if any(one.newest not in (None, pin.version) for pin, one in zip(section.pins, found.values(), strict=True)):
        chosen = again()
        for name, one in found.items():
            held = index.index if index.date and chosen.get(name) != one.newest else ""
            found[name] = Offered(one.newest, chosen.get(name), words=one.words, snapshot=held)
    return found


def _now(index: Index, today: datetime.date, read: Callable[[Index], Packages]) -> Packages:
    """The state of today, or of the last days that there is one of."""
    faults = []
    for days in range(MOST_DAYS if index.date else 1):
        date = today - datetime.timedelta(days)
        try:
            return read(index.model_copy(update={"date": date}) if index.date else index)
        except LockError as error:
            faults.append(error)
    raise faults[0]
