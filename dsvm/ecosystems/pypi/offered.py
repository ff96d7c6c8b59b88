"""Newer versions of Python packages: what the indexes have, what locking again brings, and what uv says of the rest."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from dsvm.ecosystems.protocol import Context, Offered, Request
from dsvm.ecosystems.pypi.indexes import packages_of
from dsvm.ecosystems.pypi.platforms import markers, wheel_tags
from dsvm.host import Host
from dsvm.model import DsvmError, Index, LockError, Pin, Section, StoreError

Solve = Callable[[Request, Context], Sequence[Pin]]
Allowed = Callable[[str, str], bool]

MOST_ASKED = 100  # packages of a section that the solver is asked about, one by one
# 'notebooks==1.0 depends on arrays>=1,<2', 'all versions of notebooks depend on arrays<2'
NEEDS = re.compile(
    r"(?P<who>[a-z0-9]+(?:-[a-z0-9]+)*)(?:\[[^\]]*\])?(?:[<>=!~]=?\S*)? depends? on (?P<what>[a-z0-9]+(?:-[a-z0-9]+)*)"
)
PROJECT = ("project", "this-environment")  # what uv calls the request itself
_solving = threading.Semaphore(4)  # programs at once, whatever is asked side by side


@dataclass(frozen=True)
class _File:
    name: str
    python: str | None = None
    yanked: bool = False


def offered(section: Section, request: Request, context: Context, solve: Solve, allowed: Allowed) -> dict[str, Offered]:
    """What the indexes offer of each pin; `allowed` says whether the request lets a version of a package in."""
    tags = frozenset(wheel_tags(context.base))
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda pin: _newest(pin, tags, context), section.pins)
        found = {pin.name: answer for pin, answer in zip(section.pins, answers, strict=True)}
    locked = {pin.name: Version(pin.version) for pin in section.pins}
    behind = [name for name, one in found.items() if one.newest and Version(one.newest) > locked[name]]
    if not behind:
        return found
    try:
        with _solving:
            again = {pin.name: pin.version for pin in solve(request, context)}
    except DsvmError as error:
        return found | {
            name: replace(found[name], words=f"locking again finds no solution: {error.message}") for name in behind
        }
    found |= {name: replace(found[name], again=again.get(name)) for name in behind}
    open = [name for name in behind if again.get(name) != found[name].newest and allowed(name, _version(found[name]))]

    def why(name: str) -> Offered:
        holders, words = _held(name, _version(found[name]), again, request, context, solve)
        return replace(found[name], holders=holders, words=words)

    with ThreadPoolExecutor(4) as pool:
        return found | dict(zip(open[:MOST_ASKED], pool.map(why, open[:MOST_ASKED]), strict=True))


def _version(one: Offered) -> str:
    return one.newest or ""


def _held(
    name: str, version: str, again: Mapping[str, str], request: Request, context: Context, solve: Solve
) -> tuple[tuple[str, ...], str]:
    """Which packages do not go with this version of a package, and how uv says it."""
    wanted = replace(request, section=f"{request.section}-{name}", exact={**request.exact, name: version})
    try:
        with _solving:
            pins = solve(wanted, context)
    except LockError as error:
        words = "\n".join(error.message.splitlines()[1:]).strip() or error.message
        return holders(words, name), words
    except DsvmError as error:
        return (), error.message
    down = [
        (pin.name, pin.version, again[pin.name])
        for pin in pins
        if pin.name in again and Version(pin.version) < Version(again[pin.name])
    ]
    said = ", ".join(f"{other} {older} instead of {newer}" for other, older, newer in down)
    return tuple(other for other, *_ in down), f"it goes only with {said}" if down else ""


def holders(words: str, name: str) -> tuple[str, ...]:
    """Packages that, as uv explains it, keep others from the one called `name`: those that need it themselves first."""
    text = " ".join(words.split())
    found = [(match["who"], match["what"]) for match in NEEDS.finditer(text)]
    direct = [who for who, what in found if what == name]
    others = [] if direct else [who for who, _ in found]
    return tuple(dict.fromkeys(who for who in (*direct, *others) if who not in (name, *PROJECT)))


# --- what the indexes have ---------------------------------------------------------------------------------


def _newest(pin: Pin, tags: frozenset[Tag], context: Context) -> Offered:
    """The newest version of a package in all places that it may come from."""
    index = context.indexes.get(pin.registry)
    files: list[_File] = []
    faults: list[str] = []
    for read in _places(pin, index, context.host):
        try:
            files += read()
        except StoreError as error:
            faults.append(error.message)
    newest = _best(pin, files, index, tags, context)
    if newest is not None and (newest > Version(pin.version) or not faults):
        return Offered(str(newest))
    return Offered(None, words="; ".join(faults) or "no index has a version of it that fits")


def _places(pin: Pin, index: Index | None, host: Host) -> Iterator[Callable[[], Sequence[_File]]]:
    pages = host.source(pin.registry) or ((index.url,) if index else host.pypi_indexes)
    for page in pages:
        yield lambda page=page: _page(host, f"{page.rstrip('/')}/{pin.name}/")  # type: ignore[misc]
    for link in host.find_links:
        if link.startswith("http"):
            yield lambda link=link: _page(host, link)  # type: ignore[misc]
        else:
            yield lambda link=link: _folder(Path(unquote(urlsplit(link).path)))  # type: ignore[misc]


@lru_cache(maxsize=8192)
def _page(host: Host, page: str) -> tuple[_File, ...]:
    """What a page of an index says, asked once by a run."""
    return tuple(_File(one.filename, one.requires_python, one.is_yanked) for one in packages_of(host, page))


def _folder(path: Path) -> Sequence[_File]:
    try:
        return [_File(one.name) for one in path.iterdir()]
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _best(
    pin: Pin, files: Sequence[_File], index: Index | None, tags: frozenset[Tag], context: Context
) -> Version | None:
    """The newest version of a package of which there is a file that fits; pre-releases only where one is locked."""
    before = Version(pin.version).is_prerelease
    python = str(markers(context.base)["python_full_version"])
    sdist = not pin.file.endswith(".whl")
    by_version: dict[Version, list[_File]] = {}
    for file in files:
        version = _version_of(file.name, pin.name, sdist=sdist)
        if file.yanked or version is None or (version.is_prerelease and not before):
            continue
        if index is None or not index.local or version.local == index.local:
            by_version.setdefault(version, []).append(file)
    for version in sorted(by_version, reverse=True):
        if any(_fits(file.name, tags) and _allows(file.python, python) for file in by_version[version]):
            return version
    return None


def _version_of(file: str, name: str, *, sdist: bool) -> Version | None:
    """The version that a file's name says; None for one of another package, and for a source where none is wanted."""
    try:
        if file.endswith(".whl"):  # its tags are looked at later: most files are of old versions
            words = file.split("-")
            return Version(words[1]) if canonicalize_name(words[0]) == name and len(words) in (5, 6) else None
        found, version = parse_sdist_filename(file)
    except (InvalidVersion, InvalidSdistFilename):
        return None
    return version if sdist and found == name else None


def _fits(file: str, tags: frozenset[Tag]) -> bool:
    """Whether a file is for the base; a source is for all."""
    try:
        return not file.endswith(".whl") or not parse_wheel_filename(file)[3].isdisjoint(tags)
    except InvalidWheelFilename:
        return False


def _allows(requires: str | None, python: str) -> bool:
    """Whether a file is for this Python; what says it in no form that there is, is for all, as installers have it."""
    try:
        return not requires or SpecifierSet(requires).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True
