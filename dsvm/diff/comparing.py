"""Two contents -> what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar

from dsvm import ecosystems
from dsvm.diff.contents import Contents
from dsvm.diff.words import headline
from dsvm.ecosystems import OrdersVersions
from dsvm.model import (
    Artefact,
    Change,
    Difference,
    LeftOutChange,
    PackageChange,
    SectionChange,
    ToolChange,
    ToolState,
)

Value = TypeVar("Value")
SAME = "no package differs"


def difference(old: Contents, new: Contents) -> Difference:
    """What differs from `old` to `new`, in an order that depends on nothing else."""
    tools = tuple(_tools(old.tools, new.tools))
    packages = tuple(_packages(old, new))
    left_out = tuple(
        LeftOutChange(tool=tool, change=_simple(was, now), old=was, new=now)
        for tool, was, now in _paired(old.left_out, new.left_out)
        if was != now
    )
    sections = tuple(_sections(old, new))
    size = new.side.size - old.side.size if old.side.size is not None and new.side.size is not None else None
    said = headline(old.side, new.side, tools, packages, size)
    if not said:
        others = [f"{len(left_out)} left out otherwise"] if left_out else []
        others += [f"{len(sections)} section{'s' if sections[1:] else ''} asked otherwise"] if sections else []
        said = ", ".join([SAME, *others])
    return Difference(
        schema="dsvm.diff/1",
        headline=said,
        old=old.side,
        new=new.side,
        size=size,
        tools=tools,
        packages=packages,
        left_out=left_out,
        sections=sections,
    )


def direction(ecosystem: str | None, old: str, new: str) -> Change:
    """up or down, by the order of the ecosystem; changed where it has none that both versions are in."""
    known = ecosystems.registry().get(ecosystem) if ecosystem is not None else None
    if isinstance(known, OrdersVersions):
        try:
            before, after = known.order(old), known.order(new)
            if before < after:
                return "up"
            if after < before:
                return "down"
        except (ValueError, TypeError):
            pass
    return "changed"


def _paired(old: Mapping[str, Value], new: Mapping[str, Value]) -> Iterator[tuple[str, Value | None, Value | None]]:
    for name in sorted(old.keys() | new.keys()):
        yield name, old.get(name), new.get(name)


def _simple(old: object, new: object) -> Literal["added", "removed", "changed"]:
    return "added" if old is None else "removed" if new is None else "changed"


def _tools(old: Mapping[str, ToolState], new: Mapping[str, ToolState]) -> Iterator[ToolChange]:
    for name, was, now in _paired(old, new):
        change: Change
        if was is None or now is None:
            change = "added" if was is None else "removed"
        elif _elsewhere(was, now):
            change = "moved"
        elif was.version is not None and now.version is not None and was.version != now.version:
            change = direction(now.ecosystem, was.version, now.version)
        else:
            continue
        yield ToolChange(tool=name, change=change, old=was, new=now)


def _elsewhere(old: ToolState, new: ToolState) -> bool:
    """Whether a tool has another ecosystem, environment or registry, as far as both sides know theirs."""
    if None not in (old.ecosystem, new.ecosystem) and (old.ecosystem, old.env) != (new.ecosystem, new.env):
        return True
    return None not in (old.registry, new.registry) and old.registry != new.registry


def _sections(old: Contents, new: Contents) -> Iterator[SectionChange]:
    for name, was, now in _paired(old.sections, new.sections):
        if was is None or now is None:
            yield SectionChange(section=name, change=_simple(was, now))
        elif old.is_lock and new.is_lock:
            before, after = old.asked[name], new.asked[name]
            if what := tuple(key for key in before if before[key] != after[key]):
                yield SectionChange(section=name, change="changed", what=what)


def _packages(old: Contents, new: Contents) -> Iterator[PackageChange]:
    """Package by package, those of one section first; then what left one section for another."""
    found: list[PackageChange] = []
    gone: dict[tuple[str, str], list[Artefact]] = {}
    come: dict[tuple[str, str], list[Artefact]] = {}
    inside = old.inside | new.inside

    def add(name: str, ecosystem: str, change: Change, was: Artefact | None, now: Artefact | None) -> None:
        there = any(one.section in inside for one in (was, now) if one is not None)
        found.append(
            PackageChange(name=name, ecosystem=ecosystem, change=change, inside=there, old=was, new=now)
        )  # fmt: skip

    for section, name in sorted(old.packages.keys() | new.packages.keys()):
        before = dict(old.packages.get((section, name), {}))
        after = dict(new.packages.get((section, name), {}))
        here, there = old.sections.get(section), new.sections.get(section)
        if here is not None and there is not None and here == there:
            for version in sorted(before.keys() & after.keys()):
                was, now = before.pop(version), after.pop(version)
                if change := _same_version(was, now):
                    add(name, here, change, was, now)
            if len(before) == len(after) == 1:
                (was,), (now,) = before.values(), after.values()
                add(name, here, direction(here, was.version, now.version), was, now)
                continue
        gone.setdefault((str(here), name), []).extend(before.values())
        come.setdefault((str(there), name), []).extend(after.values())
    for ecosystem, name in sorted(gone.keys() | come.keys()):
        left, entered = gone.get((ecosystem, name), []), come.get((ecosystem, name), [])
        if len(left) == len(entered) == 1 and left[0].section != entered[0].section:
            add(name, ecosystem, "moved", left[0], entered[0])
            continue
        for one in left:
            add(name, ecosystem, "removed", one, None)
        for one in entered:
            add(name, ecosystem, "added", None, one)
    yield from sorted(found, key=_place)


def _same_version(old: Artefact, new: Artefact) -> Change | None:
    """What differs of a package that has the same version; nothing when a side does not know."""
    if None not in (old.registry, new.registry) and old.registry != new.registry:
        return "moved"
    return "rebuilt" if None not in (old.sha256, new.sha256) and old.sha256 != new.sha256 else None


def _place(change: PackageChange) -> tuple[str, str, str, str]:
    old, new = (one.version if one is not None else "" for one in (change.old, change.new))
    return change.section, change.name, old, new
