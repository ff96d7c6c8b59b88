"""A state of a Julia registry, and which versions of its packages fit together.

https://pkgdocs.julialang.org/v1/registries/ and src/Registry/registry_instance.jl of Pkg, which decides.
"""

from __future__ import annotations

import difflib
import itertools
import re
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible
from resolvelib.resolvers import Resolution, ResolutionTooDeep

from dsvm.ecosystems.julia.versions import ANY, Ranges, Version, allowed, registry_range, registry_ranges
from dsvm.model import LockError

ROUNDS = 20_000
NAME = r"[A-Za-z][A-Za-z0-9_]*"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TREE = r"[0-9a-f]{40}"
# The first Julia that knows weak dependencies; older ones have only the others.
WEAK = Version("1.9.0")
# What is said of dependencies -> the file of a package's folder that says it
TABLES = {"deps": "Deps", "compat": "Compat", "weak": "WeakDeps", "weak compat": "WeakCompat"}


class Need(NamedTuple):
    """A package by its UUID, in certain versions."""

    uuid: str
    name: str
    versions: Ranges = ANY

    def __str__(self) -> str:
        said = ", ".join(map(str, self.versions))
        return self.name if said == "*" else f"{self.name} {said}"


@dataclass(frozen=True)
class Release:
    """One version of a package. `tree` is the git hash of its files; a part of Julia itself has none.

    `needs` are its dependencies, `weak` those that only have to fit if somebody else needs them.
    Raises ValueError for what can be none, for all of it becomes paths.
    """

    uuid: str
    name: str
    version: Version
    tree: str | None = None
    needs: tuple[Need, ...] = ()
    weak: tuple[Need, ...] = ()
    julia: Ranges = ANY

    def __post_init__(self) -> None:
        for text, form in ((self.uuid, UUID), (self.name, NAME), (self.tree or "0" * 40, TREE)):
            if not re.fullmatch(form, text):
                raise ValueError(f"{self.name!r}: {text!r} is not of the form {form}")

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, eq=False)
class Registry:
    """The files of a registry, by path."""

    files: Mapping[str, bytes] = field(repr=False)
    read: dict[str, Sequence[Release]] = field(default_factory=dict, repr=False)

    @cached_property
    def about(self) -> Mapping[str, Any]:
        return self._toml("Registry.toml")

    @cached_property
    def names(self) -> Mapping[str, Sequence[str]]:
        """Name -> UUIDs of the packages that have it: nearly always one."""
        found: dict[str, list[str]] = {}
        for uuid, entry in self.about["packages"].items():
            found.setdefault(entry["name"], []).append(uuid)
        return found

    def no_package(self, name: str) -> str:
        """What to say of a name that no package has."""
        close = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
        near = f" (did you mean '{close[0]}'?)" if close else ""
        return f"{name}: not in the registry {self.about.get('name', '')}{near}"

    def releases(self, uuid: str) -> Sequence[Release]:
        """All versions of a package that were not taken back, the newest first; none for an unknown UUID.

        Raises LockError for files that are not a registry's.
        """
        entry = self.about["packages"].get(uuid)
        if entry is None:
            return ()
        if uuid not in self.read:
            try:
                self.read[uuid] = self._releases(uuid, entry["name"], entry["path"])
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise LockError(f"Julia registry: {entry}: {type(error).__name__}: {error}") from error
        return self.read[uuid]

    def _releases(self, uuid: str, name: str, path: str) -> Sequence[Release]:
        tables = {
            key: [
                (registry_range(versions), entries)
                for versions, entries in self._toml(f"{path}/{file}.toml", missing=True).items()
            ]
            for key, file in TABLES.items()
        }

        def read(version: Version, tree: str) -> Release:
            said = {
                key: {one: value for range, entries in table if version in range for one, value in entries.items()}
                for key, table in tables.items()
            }

            def needs(deps: str, ranges: str) -> tuple[Need, ...]:
                return tuple(
                    Need(other, one, registry_ranges(said[ranges].get(one, "*")))
                    for one, other in sorted(said[deps].items())
                )

            return Release(
                uuid=uuid,
                name=name,
                version=version,
                tree=tree,
                needs=needs("deps", "compat"),
                weak=needs("weak", "weak compat"),
                julia=registry_ranges(said["compat"].get("julia", "*")),
            )

        listed = self._toml(f"{path}/Versions.toml", missing=True)
        found = [
            read(Version(version), entry["git-tree-sha1"])
            for version, entry in listed.items()
            if not entry.get("yanked", False)
        ]
        return sorted(found, key=lambda one: one.version, reverse=True)

    def _toml(self, path: str, *, missing: bool = False) -> Mapping[str, Any]:
        if missing and path not in self.files:
            return {}
        return tomllib.loads(self.files[path].decode())


def read_registry(archive: Path, uuid: str) -> Registry:
    """The registry `uuid` in a tarball. LockError when the archive holds something else."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                if member.isreg() and member.name.endswith(".toml") and (stream := tar.extractfile(member)):
                    files[member.name.removeprefix("./")] = stream.read()
        registry = Registry(files)
        found = registry.about["uuid"]
        _ = registry.names
    except (tarfile.TarError, OSError, EOFError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise LockError(f"not a Julia registry: {type(error).__name__}: {error}") from error
    if found != uuid:
        raise LockError(f"this is the Julia registry {found}, not {uuid}")
    return registry


# --- solving -----------------------------------------------------------------------------------------------


# A need, and the release that has it; None for what is asked for.
Cause = tuple[Need, Release | None]


@dataclass(frozen=True)
class Julia:
    """The Julia that packages are for, and what it brings: by UUID, each in the one version that it has."""

    version: Version
    library: Mapping[str, Release]


def solve(wanted: Sequence[tuple[str, Ranges]], registry: Registry, julia: Julia) -> Mapping[str, Release]:
    """UUID -> release of all that `wanted`, names with versions, stands for; parts of Julia itself among them.

    The newest versions that fit. Raises LockError that names each unknown package, or what conflicts.
    """
    asked = list(_asked(wanted, registry, julia))
    present: frozenset[str] = frozenset()
    while True:
        found = _solve(asked, registry, julia, present)
        # a weak dependency counts as soon as something else brings it
        more = {need.uuid for one in found.values() for need in one.weak} & found.keys()
        if more <= present:
            return found
        present |= more


def _asked(wanted: Sequence[tuple[str, Ranges]], registry: Registry, julia: Julia) -> Iterator[Need]:
    faults = []
    own = {one.name for one in julia.library.values()}
    for name, versions in wanted:
        uuids = registry.names.get(name, ())
        if name in own:
            faults.append(f"{name}: a part of Julia {julia.version} itself, and in every image that has that")
        elif len(uuids) == 1:
            yield Need(uuids[0], name, versions)
        elif uuids:
            faults.append(f"{name}: {len(uuids)} packages have this name: {', '.join(uuids)}")
        else:
            faults.append(registry.no_package(name))
    if faults:
        raise LockError(
            "Julia packages cannot be had:\n" + "\n".join(f"    {fault}" for fault in faults),
            hint="Correct the name, or name a later state of the registry (manifests/indexes)",
        )


def _solve(asked: Sequence[Need], registry: Registry, julia: Julia, present: frozenset[str]) -> Mapping[str, Release]:
    provider = _Provider(registry, julia, present)
    found, causes = _resolve(asked, provider)
    if found is None:
        # Where packages need each other, resolvelib can forget what one of them needs after it went back and forth,
        # or find nothing, or no end, where there is something.
        found = _search(asked, {}, provider, itertools.count())
    if found is None:
        raise provider.impossible(causes)
    return found


def _resolve(asked: Sequence[Need], provider: _Provider) -> tuple[Mapping[str, Release] | None, Sequence[Cause]]:
    """What resolvelib finds; None, and which needs were in the way, when it finds nothing or what does not fit."""
    try:
        pinned = Resolution(provider, BaseReporter()).resolve(asked, max_rounds=ROUNDS).mapping
    except ResolutionImpossible as error:
        return None, [(cause.requirement, cause.parent) for cause in error.causes]
    except ResolutionTooDeep:
        return None, [(need, None) for need in asked]
    # What it gave up on its way stays pinned. Not its Resolver, whose own clearing up never ends where such packages
    # need each other.
    found: dict[str, Release] = {}
    waiting = [need.uuid for need in asked]
    while waiting:
        uuid = waiting.pop()
        if uuid not in found:
            found[uuid] = pinned[uuid]
            waiting += [need.uuid for need in provider.get_dependencies(pinned[uuid])]
    missed: list[Cause] = [
        (need, one)
        for one in found.values()
        for need in provider.get_dependencies(one)
        if not provider.is_satisfied_by(need, found[need.uuid])
    ]
    return (None, missed) if missed else (found, ())


def _search(
    needs: Sequence[Need], chosen: Mapping[str, Release], provider: _Provider, rounds: Iterator[int]
) -> Mapping[str, Release] | None:
    """All choices in their order, the newest first, until one meets all `needs`; None when none does."""
    if next(rounds) >= ROUNDS:
        raise _too_deep()
    if any(need.uuid in chosen and not provider.is_satisfied_by(need, chosen[need.uuid]) for need in needs):
        return None
    open_ = next((need.uuid for need in needs if need.uuid not in chosen), None)
    if open_ is None:
        return chosen
    for one in provider.offered(open_):
        if not all(provider.is_satisfied_by(need, one) for need in needs if need.uuid == open_):
            continue
        found = _search([*needs, *provider.get_dependencies(one)], {**chosen, open_: one}, provider, rounds)
        if found is not None:
            return found
    return None


def _too_deep() -> LockError:
    return LockError(
        f"no versions of Julia packages that fit together were found in {ROUNDS} rounds",
        hint="Ask for narrower versions",
    )


class _Provider(AbstractProvider[Need, Release, str]):
    """What resolvelib asks about packages; `present` are those whose weak dependencies count."""

    def __init__(self, registry: Registry, julia: Julia, present: frozenset[str]) -> None:
        self.registry = registry
        self.julia = julia
        self.present = present
        self.offered = cache(self._offered)

    def _offered(self, uuid: str) -> Sequence[Release]:
        """Every version that is for this Julia, the newest first."""
        if uuid in self.julia.library:
            return [self.julia.library[uuid]]
        fitting = [one for one in self.registry.releases(uuid) if allowed(one.julia, self.julia.version)]
        return [_as_seen_by(self.julia.version, one) for one in fitting]

    def identify(self, requirement_or_candidate: Need | Release) -> str:
        return requirement_or_candidate.uuid

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Release],
        candidates: Mapping[str, Iterator[Release]],
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> tuple[bool, bool, str]:
        asked = any(one.parent is None for one in information[identifier])
        in_question = {one.uuid for cause in backtrack_causes for one in cause if one is not None}
        return identifier not in in_question, not asked, identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Need]],
        incompatibilities: Mapping[str, Iterator[Release]],
    ) -> Sequence[Release]:
        ranges = [need.versions for need in requirements[identifier]]
        refused = {one.version for one in incompatibilities[identifier]}
        return [
            one
            for one in self.offered(identifier)
            if one.version not in refused and all(allowed(versions, one.version) for versions in ranges)
        ]

    def is_satisfied_by(self, requirement: Need, candidate: Release) -> bool:
        return allowed(requirement.versions, candidate.version)

    def get_dependencies(self, candidate: Release) -> Iterable[Need]:
        return [*candidate.needs, *(need for need in candidate.weak if need.uuid in self.present)]

    def impossible(self, needs: Iterable[Cause]) -> LockError:
        """The error for needs that cannot all be met, each with whose it is."""
        lines = dict.fromkeys(line for need, parent in needs for line in self.echo(need, parent))
        return LockError(
            "no versions of these Julia packages fit together:\n" + "\n".join(f"    {line}" for line in lines),
            hint="Loosen a version, or leave a tool out: --leave-out TOOL",
        )

    def echo(self, need: Need, parent: Release | None) -> Iterator[str]:
        """A need that could not be met, with whose it is and what there is."""
        yield f"{need}, which {parent} needs" if parent else f"{need}, which is asked for"
        offered, all_of_it = self.offered(need.uuid), self.registry.releases(need.uuid)
        julia = f"Julia {self.julia.version}"
        if need.uuid in self.julia.library:
            yield f"{julia} brings {self.julia.library[need.uuid]}"
        elif offered:
            yield f"{need.name} has versions {offered[-1].version} to {offered[0].version} for {julia}"
        elif all_of_it:
            yield f"{need.name} has no version for {julia}: {all_of_it[0].version} is for {_say(all_of_it[0].julia)}"
        else:
            yield f"{need.name} ({need.uuid}) is neither in the registry nor a part of {julia}"


def _as_seen_by(julia: Version, release: Release) -> Release:
    """For old versions of Julia packages name a dependency twice, as a weak one and as one of the others."""
    if julia < WEAK:
        return replace(release, weak=())
    weak = {need.uuid for need in release.weak}
    return replace(release, needs=tuple(need for need in release.needs if need.uuid not in weak))


def _say(ranges: Ranges) -> str:
    return ", ".join(map(str, ranges))
