"""The catalog: all manifests, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dsvm import ROOT
from dsvm.catalog.words import near
from dsvm.model import Base, Compat, Index, InputError, Policy, Repository, Retired, Tool, Variant

MANIFESTS = ROOT / "manifests"


@dataclass(frozen=True)
class Catalog:
    """All manifests, loaded and checked."""

    tools: Mapping[str, Tool]
    bases: Mapping[str, Base]
    variants: Mapping[str, Variant]
    indexes: Mapping[str, Index]
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    # where each thing was written, (kind, name) -> file, for messages
    origin: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    folders: tuple[Path, ...] = (MANIFESTS,)
    compat: Compat = field(default_factory=Compat)
    policy: Policy = field(default_factory=Policy)
    # tools that their makers have ended, by name and by every other name that people ask for them by
    retired: Mapping[str, Retired] = field(default_factory=dict)
    # variants that cannot be used, with what is wrong with each: they stop nobody who asks for another one
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def variant(self, name: str) -> Variant:
        """The variant called `name`; InputError with its faults, or with the known names when there is none."""
        if name in self.broken:
            raise InputError(self.broken[name])
        if name not in self.variants:
            known = ", ".join(sorted(self.variants))
            if not name:
                raise InputError("no variant is named", hint=f"Name one: --variant NAME. Known variants: {known}")
            raise InputError(f"unknown variant '{name}'{near(name, self.variants)}", hint=f"Known variants: {known}")
        return self.variants[name]

    def with_dependents(self, tools: Iterable[str], variant: Variant) -> list[str]:
        """`tools`, and the other tools of `variant` that need one of them, directly or not."""
        found = dict.fromkeys(tools)
        # whoever needs a tool may stand before or after what needs it in turn
        for _ in variant.tools:
            needing = (name for name in variant.tools if not found.keys().isdisjoint(self.tools[name].requires))
            found |= dict.fromkeys(needing)
        return [*found]

    def refuse_broken(self) -> None:
        """Raise InputError with the faults of all variants that cannot be used."""
        if self.broken:
            raise InputError(self.faults)

    @property
    def faults(self) -> Mapping[str, tuple[str, ...]]:
        """Each fault, once -> the variants that cannot be used because of it."""
        found: dict[str, tuple[str, ...]] = {}
        for variant, faults in self.broken.items():
            for fault in dict.fromkeys(faults):
                found[fault] = (*found.get(fault, ()), variant)
        return found

    @property
    def registries(self) -> Mapping[str, Index | Repository]:
        """Indexes and repositories by name, which no two of them share: a lock names its registries so."""
        return {**self.indexes, **self.repositories}

    def no_tool(self, name: str) -> str:
        """What to say of a name that no tool has: since when it is retired, or which name is near."""
        row = self.retired.get(name.lower())
        if row is None:
            return f"unknown tool '{name}'{near(name, self.tools)}"
        return (
            f"tool '{name}' is retired since {row.since}: {row.why} ({row.source}); "
            f"in its place: {', '.join(row.successors)}"
        )

    def refuse_retired(self, names: Iterable[str]) -> None:
        """Raise InputError for every name that once was a tool."""
        faults = [self.no_tool(name) for name in names if name not in self.tools and name.lower() in self.retired]
        if faults:
            raise InputError(faults)

    def file(self, relative: str) -> Path:
        """A file inside the manifests folders, the latest overlay first; InputError when there is none."""
        for folder in reversed(self.folders):
            path = folder / relative
            if path.is_file():
                return path
        raise InputError(f"{relative}: no such file in {', '.join(map(str, self.folders))}")
