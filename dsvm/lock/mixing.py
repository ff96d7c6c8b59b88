"""Locks between two: with some of the changes from an old lock to a new one, and not with others."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from dsvm import ecosystems
from dsvm.catalog import Catalog
from dsvm.ecosystems import Context, HeedsVersions
from dsvm.lock.requests import wanted_sections
from dsvm.lock.resolver import extra_of, made_section
from dsvm.model import TOOLS, WHOLE, Lock, Section


@dataclass(frozen=True, order=True)
class Move:
    """One change between two locks that can be made alone: a package, or all of a section where its solver decides.

    `old` and `new` are versions, "" for one that is not there.
    """

    section: str
    package: str
    old: str = ""
    new: str = ""

    @property
    def name(self) -> str:
        """For people: pandas 2.3.0 -> 2.3.1 of env-base."""
        if self.section == TOOLS:
            return "the tools that came in or went"
        if self.package == WHOLE:
            return f"all that moved in {self.section}"
        return f"{self.package} {self.old or '(none)'} -> {self.new or '(none)'} of {self.section}"


def moves(old: Lock, new: Lock, *, base_ecosystem: str) -> list[Move]:
    """What can be tried alone of all that differs between two locks.

    System packages are solved on top of the base: where that moved, they move with it, as one. So do the sections of
    tools that only one of the locks has, or that have another source.
    """
    before = {section.id: section for section in old.sections}
    after = {section.id: section for section in new.sections}
    groups = _groups(before, after, base_ecosystem, tools=_tools(old) != _tools(new))
    found = [Move(group, WHOLE) for group in groups]
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name) and not any(name in names for names in groups.values()):
            found += _of_section(name, before.get(name), after.get(name))
    return found


def _tools(lock: Lock) -> tuple[object, ...]:
    return ({(one.tool, one.source) for one in lock.choices}, {one.tool for one in lock.left_out})


def _groups(
    before: Mapping[str, Section], after: Mapping[str, Section], base_ecosystem: str, *, tools: bool
) -> dict[str, set[str]]:
    """Sections that move as one, by what their move is called."""
    every = before.keys() | after.keys()
    of_base = {name for name in every if (after.get(name) or before[name]).ecosystem == base_ecosystem}
    of_tools = {name for name in every if _input(before.get(name)) != _input(after.get(name))} if tools else set()
    moved = _pins(before.get("base")) != _pins(after.get("base"))
    if moved and not of_base.isdisjoint(of_tools):
        return {TOOLS: of_base | of_tools}
    return {**({"base": of_base} if moved else {}), **({TOOLS: of_tools} if of_tools else {})}


def _input(section: Section | None) -> str | None:
    return section.input if section is not None else None


def _pins(section: Section | None) -> dict[str, str]:
    return {pin.name: pin.sha256 for pin in section.pins} if section is not None else {}


def _of_section(name: str, old: Section | None, new: Section | None) -> list[Move]:
    if old is not None and new is not None and _can_mix(old, new):
        versions = ({pin.name: pin.version for pin in old.pins}, {pin.name: pin.version for pin in new.pins})
        # what only came along goes or comes by itself with whatever needs it
        both = sorted(versions[0].keys() & versions[1].keys())
        found = [Move(name, one, versions[0][one], versions[1][one]) for one in both]
        if found := [one for one in found if one.old != one.new]:
            return found
    return [Move(name, WHOLE)]


def _can_mix(old: Section, new: Section) -> bool:
    """Whether a solver can be asked for what lies between two states of a section."""
    return old.input == new.input and isinstance(ecosystems.get(new.ecosystem), HeedsVersions)


def mix(catalog: Catalog, old: Lock, new: Lock, taken: Collection[Move], context: Context) -> Lock:
    """The old lock with these moves, and what the solver moves with them. Raises LockError where that cannot be."""
    base = catalog.bases[new.base]
    before = {section.id: section for section in old.sections}
    after = {section.id: section for section in new.sections}
    all_moves = moves(old, new, base_ecosystem=base.ecosystem)
    sections = dict(before)
    taken_of: dict[str, list[Move]] = {}
    for move in taken:
        taken_of.setdefault(move.section, []).append(move)
    groups = _groups(before, after, base.ecosystem, tools=_tools(old) != _tools(new))
    for group in groups.keys() & taken_of.keys():
        for name in groups[group]:
            _put(sections, name, after.get(name))
    requests = {one.id: one.request for one in wanted_sections(catalog, catalog.variant(new.variant), new.choices)}
    for name, own in taken_of.items():
        every = {one for one in all_moves if one.section == name}
        if name in groups:
            continue
        if every == set(own) or any(one.package == WHOLE for one in own):
            _put(sections, name, after.get(name))
            continue
        exact = {one.package: one.new for one in own}
        prefer = {pin.name: pin.version for pin in before[name].pins if pin.name not in exact}
        request = replace(requests[name], exact=exact, prefer=prefer)
        pins, extra = ecosystems.get(before[name].ecosystem).resolve(request, context)
        extra = extra_of(name, request, extra)
        kind = after[name]
        sections[name] = made_section(
            name, kind.ecosystem, kind.tools, kind.request, kind.input, pins, extra, before, int(time.time())
        ).model_copy(update={"formats": kind.formats})
    whole = set(taken) >= set(all_moves)
    of_new = whole or (TOOLS in taken_of if TOOLS in groups else before.keys() != sections.keys())
    return (new if whole else old).model_copy(
        update={
            "choices": new.choices if of_new else old.choices,
            "left_out": new.left_out if of_new else old.left_out,
            "sections": tuple(sorted(sections.values(), key=lambda section: section.id)),
        }
    )


def _put(sections: dict[str, Section], name: str, section: Section | None) -> None:
    if section is None:
        sections.pop(name, None)
    else:
        sections[name] = section
