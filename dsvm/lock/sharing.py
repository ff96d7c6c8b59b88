"""Environments of an image that share packages: where one is bound to an older version, others take that one too.

Each environment is solved alone at first, so that one has CUDA's libraries as PyTorch wants them and another one the
newest: the same gigabytes twice. Those that can take what another one is bound to are solved again.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsvm import ecosystems
from dsvm.ecosystems import HeedsVersions, OrdersVersions, Request
from dsvm.model import LockError, Section

# Bytes of a package. A smaller one stays at its newest: sharing it saves nothing, and it is small packages that mend
# most vulnerabilities.
WORTH = 1_000_000
MOST_SAID = 300  # characters of a solver's words


@dataclass(frozen=True)
class Member:
    """An environment as it was solved alone, or kept."""

    section: Section
    request: Request
    # package -> the version at which it stays as it was locked before
    stays: Mapping[str, str]
    # whether it was solved now; what was kept does not move
    moves: bool

    @property
    def ecosystem(self) -> str:
        return self.section.ecosystem

    @property
    def named(self) -> frozenset[str]:
        """Packages that its tools ask for by name: these stay at the newest that can be had."""
        ecosystem = ecosystems.get(self.ecosystem)
        return frozenset(ecosystem.named(self.request)) if isinstance(ecosystem, HeedsVersions) else frozenset()


def can_share(ecosystem: str) -> bool:
    """Whether sections of an ecosystem are environments that follow one another."""
    found = ecosystems.get(ecosystem)
    return found.placement == "env" and isinstance(found, HeedsVersions) and isinstance(found, OrdersVersions)


def share(
    members: Sequence[Member],
    again: Callable[[Member, Mapping[str, str], Mapping[str, str]], Section],
    echo: Callable[[str], None] = lambda line: None,
) -> dict[str, Section]:
    """Section -> what it is, for those that are other than they were solved alone.

    `again` solves a member anew with packages that it prefers and others that it must have, and raises LockError. One
    environment after the other prefers what those before have, in the order of `in_order`. What its tools ask for by
    name is as new as it is alone, and it takes nothing by which the image would not get smaller.
    """
    found: dict[str, Section] = {}
    said: dict[str, str] = {}
    for ecosystem in dict.fromkeys(member.ecosystem for member in members if can_share(member.ecosystem)):
        ordered = in_order([member for member in members if member.ecosystem == ecosystem])
        for number, member in enumerate(ordered):
            before = [found.get(one.section.id, one.section) for one in ordered[:number]]
            wish = _wish(member, before, ordered[number + 1 :]) if member.moves else {}
            if not wish:
                continue
            alone = {pin.name: pin.version for pin in member.section.pins}
            named = {name: alone[name] for name in member.named if name in alone}
            try:
                section = again(member, alone | wish, named)
            except LockError as error:  # it has a solution, and stays at that
                echo(_refused(member.section, before, wish, error.message))
                continue
            if _bytes([*before, section]) < _bytes([*before, member.section]):
                found[member.section.id] = section
                said[member.section.id] = _taken(section, before, wish)
            if refused := {
                name: version for name, version in wish.items() if _at(section, name) not in (None, version)
            }:
                try:
                    again(member, {}, named | refused)
                    why = "others do not go with it"
                except LockError as error:
                    why = error.message
                echo(_refused(section, before, refused, why))
    solved = {member.section.id: member.section for member in members}
    for name in [*reversed(found)]:  # others that could not follow may have what it had
        without = {one: section for one, section in found.items() if one != name}
        if _bytes((solved | without).values()) <= _bytes((solved | found).values()):
            found = without
    for name in found:
        echo(said[name])
    return found


def in_order(members: Sequence[Member]) -> list[Member]:
    """Members as they follow one another.

    First what does not move, then what containers have, then what only machines do. Of these the one comes first that
    has most bytes of packages older than others have them: solvers take the newest, so it is bound, and others
    may be free.
    """
    order = _order(members)
    newest: dict[str, str] = {}
    for member in members:
        for pin in member.section.pins if not member.section.formats else ():
            newest[pin.name] = max(newest.get(pin.name, pin.version), pin.version, key=order)

    def behind(member: Member) -> int:
        pins = [pin for pin in member.section.pins if pin.size >= WORTH and pin.name in newest]
        return sum(pin.size for pin in pins if order(pin.version) < order(newest[pin.name]))

    return sorted(members, key=lambda one: (one.moves, bool(one.section.formats), -behind(one), one.section.id))


def with_same(members: Sequence[Member], member: Member, name: str) -> list[Member]:
    """Other members, as they follow one another, with the very artefact that `member` has of a package.

    None where it would not follow them: it asks for the package by name, or that is too small.
    """
    pin = member.section.pin(name)
    if pin is None or pin.size < WORTH or name in member.named or not can_share(member.ecosystem):
        return []
    ordered = in_order([one for one in members if one.ecosystem == member.ecosystem])
    return [one for one in ordered if one.section.id != member.section.id and one.section.pin(name) == pin]


def _order(members: Iterable[Member]) -> Callable[[str], Any]:
    ecosystem = ecosystems.get(next(iter(members)).ecosystem)
    assert isinstance(ecosystem, OrdersVersions)  # noqa: S101 - can_share
    return ecosystem.order


def _wish(member: Member, before: Sequence[Section], after: Sequence[Member]) -> dict[str, str]:
    """Package -> an older version that an environment before has, where nobody else has what `member` has itself."""
    order = _order([member])
    named = member.named
    older: dict[str, str] = {}
    for pin in member.section.pins:
        there = [version for one in before if (version := _at(one, pin.name)) is not None]
        # what is asked for by name does not move; a container does not change by what only a machine has
        there_anyway = [
            _at(one.section, pin.name)
            for one in after
            if pin.name in one.named and (member.section.formats or not one.section.formats)
        ]
        if (
            there
            and pin.name not in named
            and member.stays.get(pin.name) != pin.version
            and pin.version not in (*there, *there_anyway)
            and order(there[0]) < order(pin.version)
        ):
            older[pin.name] = there[0]
    large = {pin.name for pin in member.section.pins if pin.size >= WORTH}
    # what is numbered alike before and after belongs together, as the parts of a compiler do
    releases = {(_at(member.section, name), version) for name, version in older.items() if name in large}
    return {
        name: version
        for name, version in older.items()
        if name in large or (_at(member.section, name), version) in releases
    }


def _bytes(sections: Iterable[Section]) -> int:
    """What the artefacts of sections weigh, each once."""
    return sum({pin.sha256: pin.size for section in sections for pin in section.pins}.values())


def _taken(section: Section, before: Sequence[Section], wish: Mapping[str, str]) -> str:
    taken = {name: version for name, version in wish.items() if _at(section, name) == version}
    return f"{section.id} takes what {_who(before, taken)} has: {_listed(taken)}"


def _refused(section: Section, before: Sequence[Section], refused: Mapping[str, str], why: str) -> str:
    words = textwrap.shorten(" ".join(why.splitlines()[1:]) or why, MOST_SAID)
    return f"{section.id} cannot take what {_who(before, refused)} has: {_listed(refused)}: {words}"


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _who(before: Sequence[Section], versions: Mapping[str, str]) -> str:
    """The first section that has each of these."""
    first = (next(one.id for one in before if _at(one, name) == version) for name, version in versions.items())
    return " or ".join(dict.fromkeys(first))


def _at(section: Section, name: str) -> str | None:
    pin = section.pin(name)
    return pin.version if pin is not None else None
