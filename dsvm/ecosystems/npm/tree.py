"""Trees of packages, as the lock files of npm tell them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from dsvm.model import Base, LockError, Pin

if TYPE_CHECKING:
    pass


NEEDS = ("dependencies", "optionalDependencies", "peerDependencies")
CPUS = {"amd64": "x64", "arm64": "arm64"}


class Entry(NamedTuple):
    """One package at its place in a tree: `place` is like `lib/vscode/node_modules/ws`."""

    place: str
    name: str
    version: str
    integrity: str | None
    url: str
    bundled: bool


def registry_path(url: str, name: str, version: str) -> str:
    """Path of a tarball below any registry: what `url` says without its host, or else npm's usual form."""
    match = re.search(rf"(?:^|/)({re.escape(name)}/-/[^/]+)$", unquote(urlsplit(url).path))
    return match[1] if match else f"{name}/-/{name.rsplit('/', 1)[-1]}-{version}.tgz"


def without_hosts(lock: Mapping[str, Any]) -> dict[str, Any]:
    """A lock file that says what, not from where."""
    packages = {
        place: {key: value for key, value in entry.items() if key not in ("resolved", "funding")}
        for place, entry in lock["packages"].items()
    }
    return {**lock, "packages": packages}


def needed(lock: Mapping[str, Any], base: Base, *, omit: Iterable[str] = (), root: str = "") -> Iterator[Entry]:
    """The packages of a lock file that `npm ci --omit=dev` installs on `base`, less the optional ones in `omit`.

    Raises LockError for an old lock file and for a package that is not from a registry.
    """
    if lock.get("lockfileVersion", 1) < 2:
        raise LockError(f"{root or 'the package'}: its lock file is of version 1, which names no dependencies")
    packages: Mapping[str, Any] = lock["packages"]
    left_out = set(omit)
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        place = waiting.pop()
        for name, optional in _dependencies(packages[place]):
            target = _find(packages, place, name)
            if target is None or target in seen:
                continue
            entry = packages[target]
            if optional and (name in left_out or not fits(entry, base)):
                continue
            if name in left_out:
                raise LockError(f"{name} cannot be left out: {_name(place, packages[place]) or 'the program'} needs it")
            seen.add(target)
            waiting.append(target)
    for place in sorted(seen):
        entry = packages[place]
        url = entry.get("resolved", "")
        if entry.get("link") or urlsplit(url).scheme not in ("", "http", "https") or "version" not in entry:
            raise LockError(f"{_name(place, entry)} is not from a registry ({url or 'no version'})")
        yield Entry(
            place=f"{root}/{place}".lstrip("/"),
            name=_name(place, entry),
            version=entry["version"],
            integrity=entry.get("integrity"),
            url=url,
            bundled=bool(entry.get("inBundle")),
        )


def _needed_by(
    lock: Mapping[str, Any], base: Base, omit: Iterable[str], top: str
) -> Iterator[tuple[tuple[str, str], str]]:
    """(name, version) of each package of a lock file, with who needs it: `glob 7.2.3: minimatch@^3`."""
    packages = lock["packages"]
    places = {"", *(one.place for one in needed(lock, base, omit=omit))}
    for place in sorted(places):
        entry = packages[place]
        who = f"{_name(place, entry)} {entry['version']}" if place else top
        for name, _ in _dependencies(entry):
            if (target := _find(packages, place, name)) in places and target:
                wanted = next((entry[key][name] for key in NEEDS if name in entry.get(key, {})), "")
                yield (_name(target, packages[target]), packages[target]["version"]), f"{who}: {name}@{wanted}"


def fits(entry: Mapping[str, Any], base: Base) -> bool:
    """Whether a package is for the system and processor of `base`; `!NAME` in its lists excludes."""
    for key, ours in (("os", "linux"), ("cpu", CPUS[base.arch]), ("libc", "glibc")):
        wanted = entry.get(key) or []
        wanted = [wanted] if isinstance(wanted, str) else wanted
        allowed = [word for word in wanted if not word.startswith("!")]
        if f"!{ours}" in wanted or (allowed and ours not in allowed and "any" not in allowed):
            return False
    return True


def labels(found: Set[tuple[str, str]], top: str, version: str) -> dict[str, str]:
    """Label -> version of packages: the plain name where a name has one version, else NAME@VERSION.

    The program itself, `top` at `version`, always has its plain name.
    """
    result = {}
    for name, group in groupby(sorted(found), key=lambda pair: pair[0]):
        versions = [pair[1] for pair in group]
        for one in versions:
            plain = one == version if name == top else len(versions) == 1
            result[name if plain else f"{name}@{one}"] = one
    return result


def label(pins: Sequence[Pin], top: str) -> list[Pin]:
    """The pins under names that are unique in their section, sorted; the first of `pins` is the program itself."""
    names = {
        (bare(name), version): name
        for name, version in labels({(pin.name, pin.version) for pin in pins}, top, pins[0].version).items()
    }
    unique = {names[pin.name, pin.version]: pin for pin in pins}
    return [pin.model_copy(update={"name": name}) for name, pin in sorted(unique.items())]


def bare(label: str) -> str:
    """A label without its version; a scope's own @ stays."""
    return label[0] + label[1:].split("@", 1)[0]


def _name(place: str, entry: Mapping[str, Any]) -> str:
    name: str = entry.get("name") or place.rsplit("node_modules/", 1)[-1]
    return name


def _dependencies(entry: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """(name, optional) of what an installed package needs; npm installs no optional peers for it."""
    optional, peers = entry.get("optionalDependencies", {}), entry.get("peerDependenciesMeta", {})
    yield from ((name, False) for name in entry.get("dependencies", {}) if name not in optional)
    yield from ((name, False) for name in entry.get("peerDependencies", {}) if not peers.get(name, {}).get("optional"))
    yield from ((name, True) for name in optional)


def _find(packages: Mapping[str, Any], place: str, name: str) -> str | None:
    """Where Node.js finds `name` from `place`: the nearest node_modules upwards."""
    while True:
        target = f"{place}/node_modules/{name}".lstrip("/")
        if target in packages:
            return target
        if not place:
            return None
        place = place.rpartition("node_modules/")[0].rstrip("/")
