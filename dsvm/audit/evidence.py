"""What an audit looks at: one locked variant, and what its artefacts say."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast

from dsvm import ROOT
from dsvm.catalog import Catalog, line_of, near
from dsvm.ecosystems import Context
from dsvm.host import Host
from dsvm.lock import find_path
from dsvm.model import LEVELS, Base, InputError, Level, Lock, Pin, Section, Variant, Where
from dsvm.store import Store

T = TypeVar("T")
LONGEST = 500  # characters of a line
VEX = "vex"


@dataclass(frozen=True)
class Evidence:
    """A lock, the manifests that it answers, and the store with what it names; read, never written but for caches."""

    catalog: Catalog
    lock: Lock
    store: Store
    today: datetime.date
    # folders or zip files with advisories in OSV form
    advisories: tuple[Path, ...] = ()
    # folders, zip files or files with VEX statements, beside those of the catalog
    vex: tuple[Path, ...] = ()
    # whether registries and advisory services may be asked
    online: bool = False
    # takes a line about what takes a while
    echo: Callable[[str], None] = lambda line: None
    # None when nothing may be asked
    host: Host | None = None
    # a folder for a while, in which solvers work; None when nothing may be asked
    work: Path | None = None
    # what rules found out, by what it is: they share it, and so do the variants of one run
    cache: dict[str, object] = field(default_factory=dict)

    def once(self, what: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once in a run for all rules and variants; `what` says exactly what it is."""
        if what not in self.cache:
            self.cache[what] = make()
        return cast("T", self.cache[what])

    @property
    def variant(self) -> Variant:
        return self.catalog.variant(self.lock.variant)

    @property
    def base(self) -> Base:
        """The base that was locked, or what the variant names now where that is gone."""
        return self.catalog.bases.get(self.lock.base) or self.catalog.bases[self.variant.base]

    @cached_property
    def vex_places(self) -> tuple[Path, ...]:
        """Where VEX statements are: the folder `vex` of each folder with manifests, then those that were named."""
        folders = (folder / VEX for folder in self.catalog.folders)
        return (*(one for one in folders if one.exists()), *self.vex)

    def context(self) -> Context:
        """What ecosystems work with who ask registries. Only where something may be asked."""
        assert self.host is not None and self.work is not None  # noqa: S101 - for the type checker
        return Context(
            base=self.base,
            host=self.host,
            store=self.store,
            work=self.work,
            accelerator=self.variant.accelerator,
            indexes=self.catalog.indexes,
            repositories=self.catalog.repositories,
        )

    def pins(self) -> Iterator[tuple[Section, Pin]]:
        """Every pin with its section, in the order of the lock."""
        for section in self.lock.sections:
            for pin in section.pins:
                yield section, pin

    @cached_property
    def lock_file(self) -> Path | None:
        return find_path(self.catalog, self.lock.variant)

    @cached_property
    def artefacts(self) -> Mapping[str, Pin]:
        """SHA-256 -> pin of every artefact."""
        return {pin.sha256: pin for _, pin in self.pins()}

    def where(self, section: Section, pin: Pin | None = None, *tools: str) -> Where:
        """Where a section, or a pin of it, comes from: the manifest of the only tool that asks for it, or the lock."""
        named = tools or section.tools
        place = ("tools", named[0]) if len(named) == 1 else None
        file = self.catalog.origin.get(place) if place else self.lock_file
        return Where(
            file=shown(file) if file else None,
            line=line_of(file, pin.name if pin is not None else section.id) if file else None,
            section=section.id,
            pin=f"{pin.name} {pin.version}"[:LONGEST] if pin is not None else None,
            tools=tuple(named),
        )

    def where_tool(self, tool: str, key: str = "tool") -> Where:
        """Where a tool is asked for: its manifest, and the line of a key in it."""
        file = self.catalog.origin.get(("tools", tool))
        return Where(file=shown(file) if file else None, line=line_of(file, key) if file else None, tools=(tool,))


@dataclass(frozen=True)
class AuditOptions:
    """What is asked of an audit, beside the variants."""

    today: datetime.date
    fail_on: Level | None = None
    advisories: tuple[Path, ...] = ()
    # the built image too, and not only the lock
    image: bool = False
    vex: tuple[Path, ...] = ()

    @classmethod
    def of(
        cls, *, fail_on: str | None, advisories: Sequence[str], image: bool = False, vex: Sequence[str] = ()
    ) -> AuditOptions:
        """Options as people write them. Raises InputError."""
        level = next((one for one in LEVELS if one == fail_on), None)
        if fail_on is not None and level is None:
            raise InputError(f"unknown level '{fail_on}'{near(fail_on, LEVELS)}", hint=f"Levels: {', '.join(LEVELS)}")
        places = tuple(Path(one).absolute() for one in advisories)
        statements = tuple(Path(one).absolute() for one in vex)
        if gone := [str(place) for place in places if not place.exists()]:
            raise InputError(f"no such folder or file: {', '.join(gone)}", hint="Name what OSV publishes for download")
        if gone := [str(place) for place in statements if not place.exists()]:
            raise InputError(f"no such folder or file: {', '.join(gone)}", hint="Name files with VEX statements")
        return cls(datetime.datetime.now(datetime.UTC).date(), level, places, image, statements)


def shown(path: Path) -> str:
    """A path as people know it: below the checkout, or as it is."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()
