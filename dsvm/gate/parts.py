"""The packages that rules compare with rows: as manifests promise them, or as they are locked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from dsvm import ecosystems
from dsvm.gate.asked import place_of_source, requirements, system_packages
from dsvm.gate.cuda import (
    LOCAL,
    MAJOR_IN_NAME,
    NUMBERED_AS_CUDA,
    Cuda,
    cuda_version,
    marks,
    system_marks,
    system_versions,
)
from dsvm.gate.locked import all_marks, env_sections, exactly, place_of
from dsvm.gate.tables import Tables, has_python, major_of, offered_by
from dsvm.gate.words import some_of
from dsvm.model import Base, FrameworkRow, Index, Lock, Pin, Variant

ANY = SpecifierSet()


@dataclass(frozen=True)
class Part:
    """One package of one tool, or a tool that promises CUDA: what rules compare with rows."""

    tool: str
    place: str  # env-NAME, system, or TOOL-ECOSYSTEM for a tool with a prefix of its own
    package: str | None = None
    versions: SpecifierSet = ANY
    # what speaks for versions that may be chosen, the oldest first; None for versions without a row
    spoken: tuple[FrameworkRow | None, ...] = ()
    python: str | None = None
    promised: Cuda | None = None
    # what it may carry: any of these; none at all when empty; not known when None
    cuda: frozenset[Cuda] | None = frozenset()

    @property
    def name(self) -> str:
        """For messages: 'pytorch (torch ~=2.13)', or 'jax ==0.12.0' where tool and package have one name."""
        asked = f"{self.package or ''} {self.versions}".strip()
        return (
            asked if self.package in (None, self.tool) and asked else f"{self.tool} ({asked})" if asked else self.tool
        )

    @property
    def rows(self) -> tuple[FrameworkRow, ...]:
        return tuple(row for row in self.spoken if row is not None)

    @property
    def newest_known(self) -> bool:
        """Whether a row speaks for the newest version that this Python can have: the one that a solver prefers."""
        fitting = [row for row in self.spoken if row is None or self.python is None or has_python(row, self.python)]
        return (fitting or [*self.spoken, None])[-1] is not None

    @property
    def usable(self) -> tuple[FrameworkRow, ...]:
        """The rows for versions that this Python can have; all of them where it can have none."""
        if self.python is None:
            return self.rows
        return tuple(row for row in self.rows if has_python(row, self.python)) or self.rows


def promised_parts(
    tables: Tables, variant: Variant, base: Base, tool: str, env: str, source: Any, index: Index | None
) -> Iterator[Part]:
    """Parts of a source that is not locked yet."""
    promised = cuda_version(source.cuda) if source.cuda else None
    place = place_of_source(tool, env, source)
    own = any(
        ecosystems.get(name).placement == "env" and "python" in ecosystems.get(name).runtimes
        for name in source.requests()
    )
    python = (base.python or None) if own else None
    parts = []
    for requirement in requirements(source):
        package = canonicalize_name(requirement.name)
        told = _told(tables, requirement, index)
        known = package in tables.spans
        if not known and (told is None or promised is not None):
            continue
        spoken = tables.find(package, requirement.specifier) if known else ()
        part = Part(
            tool, place, package, requirement.specifier, spoken, python if known else None, promised or told
        )  # fmt: skip
        cuda: frozenset[Cuda] | None = frozenset()
        if variant.accelerator == "gpu":
            if told is not None:
                cuda = frozenset({told})
            elif promised is not None and (not part.newest_known or offered_by(part.rows, None)):
                cuda = frozenset({promised})
            else:
                cuda = offered_by(part.usable, requirement.extras) if part.newest_known else None
        parts.append(replace(part, cuda=cuda))
    yield from parts
    promises = {promised} if promised is not None else {*system_versions(system_packages(source)).values()}
    for one in sorted(promises) if not any(part.cuda for part in parts) else ():
        yield Part(tool, place, promised=one, cuda=frozenset({one}))


def _told(tables: Tables, requirement: Requirement, index: Index | None) -> Cuda | None:
    """The CUDA version that a requirement itself tells: by a local label (its own, or its index's), name or number."""
    name = canonicalize_name(requirement.name)
    labels = [one.version.partition("+")[2] for one in requirement.specifier]
    labels += [index.local] if index is not None and index.local is not None and name in index.packages else []
    if label := next((found for label in labels if (found := LOCAL.match(label))), None):
        return int(label[1]), int(label[2])
    if NUMBERED_AS_CUDA.match(name):
        majors = [
            row.cuda
            for row in tables.cuda
            if requirement.specifier and not requirement.specifier.is_disjoint(major_of(row.cuda))
        ]
        return (majors[0],) if len(majors) == 1 else None
    named = MAJOR_IN_NAME.search(name)
    return (int(named[1]),) if named else None


def locked_parts(tables: Tables, base: Base, lock: Lock, chosen: Sequence[tuple[str, str, Any]]) -> Iterator[Part]:
    """Parts of a lock: every pin that rows know, whoever asked for it, then promises of what is no such pin."""
    promises = {tool: cuda_version(source.cuda) for tool, _, source in chosen if source.cuda}
    asked = {
        (f"env-{env}", canonicalize_name(requirement.name)): (tool, requirement.extras)
        for tool, env, source in chosen
        for requirement in requirements(source)
    }
    kept: set[str] = set()
    parts: list[Part] = []
    for section in env_sections(lock):
        place = place_of(section)
        present = marks(section.pins)
        runtime = section.pin("python")
        python = runtime.version if runtime is not None else base.python or None
        for pin in section.pins:
            package = canonicalize_name(pin.name)
            if package not in tables.spans:
                continue
            tool, _ = asked.get((place, package), (", ".join(section.tools[:3]), None))
            part = Part(
                tool, place, package, exactly(pin), tables.find(package, exactly(pin)), python, promises.get(tool)
            )
            cuda = _carried(pin, part.rows, present)
            kept |= {tool} if cuda else set()
            parts.append(replace(part, cuda=cuda))
    parts += [
        Part(tool, place_of_source(tool, env, source), promised=promises[tool], cuda=frozenset({promises[tool]}))
        for tool, env, source in chosen
        if tool in promises and tool not in kept
    ]
    yield from parts
    yield from _unasked(lock, parts)


def _unasked(lock: Lock, parts: Sequence[Part]) -> Iterator[Part]:
    """CUDA that lies in a lock though no part of its place is known to carry it, one part for each version."""
    system = lock.section("system")
    told = {**all_marks(lock), "system": system_marks(system.pins) if system is not None else {}}
    for place, found in told.items():
        majors = {one[0] for part in parts if part.place == place for one in part.cuda or ()}
        for cuda in sorted({one for one in found.values() if one[0] not in majors}):
            names = some_of(name for name, one in found.items() if one == cuda)
            yield Part(f"{names} in {place}", place, cuda=frozenset({cuda}))


def _carried(pin: Pin, rows: Sequence[FrameworkRow], present: Mapping[str, Cuda]) -> frozenset[Cuda] | None:
    """The CUDA that a locked package carries: by its label, else by what lies beside it."""
    own = present.get(canonicalize_name(pin.name))
    if own is not None:
        return frozenset({own})
    if pin.version.partition("+")[2] == "cpu" or (rows and not offered_by(rows, None)):
        return frozenset()
    if rows and not any(row.cuda for row in rows):
        # it carries CUDA only when asked: then what brings it is named after it, as jax-cuda12-plugin
        present = {name: cuda for name, cuda in present.items() if name.startswith(f"{canonicalize_name(pin.name)}-")}
        return frozenset(present.values())
    # one version for each major: the runtime's where it is there, else the most exact
    best: dict[int, Cuda] = {}
    for _, cuda in sorted(present.items(), key=lambda one: ("runtime" not in one[0], -len(one[1]), one[0])):
        best.setdefault(cuda[0], cuda)
    return frozenset(best.values()) if best else None
