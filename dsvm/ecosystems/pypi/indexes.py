"""Indexes of Python packages: their pages, which of them a package came from, and who else has its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from dsvm.ecosystems.protocol import Context
from dsvm.host import ACCESS_HINT, PORTAL, Host, redact
from dsvm.model import AccessError, Index, Pin, StoreError

if TYPE_CHECKING:
    import httpx
    from pypi_simple import DistributionPackage

# Registries of what no index's manifest names: the machine's ordinary index, and those that it has beside that
ORDINARY, EXTRA = "pypi", "pypi-extra"
# How a page of an index says that it is one: https://packaging.python.org/en/latest/specifications/simple-repository-api/
SIMPLE = "pypi:repository-version"


def page_files(host: Host, page: str) -> Iterator[tuple[str, str, str | None]]:
    """(file name, URL, SHA-256 if it is given) of every file on a page of a package index; none for a missing page.

    Raises StoreError when the index cannot be asked.
    """
    for file in packages_of(host, page):
        yield file.filename, file.url, (file.digests or {}).get("sha256")


def packages_of(host: Host, page: str) -> Sequence[DistributionPackage]:
    """Everything that a page of a package index says of its files; nothing for a missing page.

    https://packaging.python.org/en/latest/specifications/simple-repository-api/
    Raises StoreError when the index cannot be asked.
    """
    answer = _answer(host, page)
    return () if answer is None else _packages(page, answer)


def digests_of(host: Host, page: str) -> Sequence[tuple[str, str | None]]:
    """(file name, SHA-256 if it is given) of every file on a page: in a tenth of the time, where that is JSON.

    Raises StoreError when the index cannot be asked.
    """
    answer = _answer(host, page)
    if answer is None:
        return ()
    if not _is_json(answer):
        return [(file.filename, (file.digests or {}).get("sha256")) for file in _packages(page, answer)]
    try:
        found = [(one["filename"], one.get("hashes", {}).get("sha256")) for one in answer.json()["files"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{redact(page)}: {error!r}") from error
    return [(name, sha256) for name, sha256 in found if isinstance(name, str)]


def _answer(host: Host, page: str) -> httpx.Response | Path | None:
    """What an index says when it is asked for a page, or its file; None for a missing one. Raises StoreError."""
    from pypi_simple import ACCEPT_ANY

    if page.startswith("file:"):
        path = Path(unquote(urlsplit(page).path)) / "index.html"
        return path if path.is_file() else None
    answer = host.get(page, accept=ACCEPT_ANY)
    if answer.status_code in (404, 410):
        return None
    if answer.status_code >= 400:
        raise StoreError(f"{redact(page)}: HTTP {answer.status_code}")
    return answer


def _is_json(answer: httpx.Response | Path) -> TypeGuard[httpx.Response]:
    return not isinstance(answer, Path) and "json" in answer.headers.get("content-type", "")


def _packages(page: str, answer: httpx.Response | Path) -> Sequence[DistributionPackage]:
    """Raises StoreError for what is no page of an index."""
    from pypi_simple import ProjectPage, UnsupportedRepoVersionError

    project = urlsplit(page).path.rstrip("/").rsplit("/", 1)[-1]
    try:
        if isinstance(answer, Path):
            found = ProjectPage.from_html(project, answer.read_text(encoding="utf-8"), base_url=page)
        elif _is_json(answer):
            found = ProjectPage.from_json_data(answer.json(), base_url=str(answer.url))
        else:
            found = ProjectPage.from_html(project, answer.text, base_url=str(answer.url))
            if not any(file.package_type for file in found.packages) and SIMPLE not in answer.text:
                raise AccessError(f"{redact(page)}: {PORTAL}", hint=ACCESS_HINT)
    except (UnsupportedRepoVersionError, ValueError, TypeError, KeyError, OSError) as error:
        raise StoreError(f"{redact(page)}: {error}") from error
    return found.packages


def in_folders(links: Iterable[str], filename: str) -> Iterator[str]:
    """Where `filename` lies in the find-links that are folders of this host."""
    for link in links:
        if not link.startswith("http"):
            path = Path(unquote(urlsplit(link).path)) / filename
            if path.is_file():
                yield path.as_uri()


def index_places(indexes: Sequence[Index], context: Context) -> Iterator[Mapping[str, tuple[str, bool]]]:
    """Where named indexes may be found, as index -> (place, flat): as configured, then in find-links folders."""
    if not indexes:
        yield {}
        return
    host = context.host
    yield {index.index: ((host.source(index.index) or (index.url,))[0], False) for index in indexes}
    for link in host.find_links:
        yield {index.index: (link, True) for index in indexes}


def refuse_closed(host: Host, names: Iterable[str]) -> None:
    """Raise AccessError when an index of the machine lets nobody in for one of `names`: that is no missing package."""
    for index in host.pypi_indexes:
        for name in dict.fromkeys(names) if index.startswith("http") else ():
            try:
                list(page_files(host, f"{index.rstrip('/')}/{name}/"))
            except AccessError:
                raise
            except StoreError as error:
                if "HTTP 403" in error.message:
                    raise AccessError(f"{error.message} Forbidden", hint=ACCESS_HINT) from error


# --- which index it was ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Something that the machine's Python packages come from, and what it has of a package's name."""

    url: str
    files: Callable[[str], Sequence[tuple[str, str | None]]]


def told_apart(pins: Sequence[Pin], section: str, context: Context) -> list[Pin]:
    """The same pins, those of an extra index under a registry of their own.

    The machine's indexes count the same, as pip has it, so whoever can publish a name in one of them can have it taken
    from there (dependency confusion). What stands in several is said.
    """
    host = context.host
    links = [_links(host, link) for link in host.find_links]
    pages = [_pages(host, url) for url in host.pypi_indexes]
    ordinary, others = (pages[:1], [*pages[1:], *links]) if pages else (links, [])
    if not others:
        return list(pins)

    def look(pin: Pin) -> tuple[Pin, str | None]:
        beside = [place for place in others if place.files(pin.name)]
        if pin.registry != ORDINARY or not beside:
            return pin, None
        usual = [file for place in ordinary for file in place.files(pin.name)]
        if any(name == pin.file and sha256 in (None, pin.sha256) for name, sha256 in usual):
            also = ", ".join(redact(place.url) for place in beside)
            return pin, f"{pin.name}: {also} has this name too; {pin.version} of the ordinary index was taken"
        served = next(
            (place for place in beside if any(name == pin.file for name, _ in place.files(pin.name))), beside[0]
        )
        taken = f"{pin.name}: {pin.version} of {redact(served.url)} was taken"
        warning = f"{taken}, and the ordinary index has this name too" if usual else None
        return pin.model_copy(update={"registry": EXTRA}), warning

    with ThreadPoolExecutor(8) as pool:
        looked = list(pool.map(look, pins))
    if extra := [pin.name for pin, _ in looked if pin.registry == EXTRA]:
        context.echo(f"{section}: {len(extra)} of {len(pins)} packages come from extra indexes: {', '.join(extra)}")
    if said := [warning for _, warning in looked if warning]:
        context.warn(
            f"{section}: names that stand in several indexes:\n"
            + "\n".join(f"    {line}" for line in said)
            + "\n    An index in manifests/indexes with 'packages' and 'everywhere: true' says who may serve a name"
        )
    return [pin for pin, _ in looked]


def _pages(host: Host, url: str) -> _Place:
    """An index, page by page; one that cannot be asked has nothing."""

    def files(name: str) -> Sequence[tuple[str, str | None]]:
        try:
            return digests_of(host, f"{url.rstrip('/')}/{name}/")
        except StoreError:
            return []

    return _Place(url, _remembered(files))


def _links(host: Host, link: str) -> _Place:
    """A folder, or a page, of files of all names."""
    try:
        if link.startswith("http"):
            every = [(file, sha256) for file, _, sha256 in page_files(host, link)]
        else:
            every = [(path.name, None) for path in Path(unquote(urlsplit(link).path)).iterdir()]
    except (StoreError, OSError):
        every = []
    known: dict[str, list[tuple[str, str | None]]] = {}
    for file, sha256 in every:
        try:
            name, *_ = parse_wheel_filename(file) if file.endswith(".whl") else parse_sdist_filename(file)
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue
        known.setdefault(name, []).append((file, sha256))
    return _Place(link, lambda name: known.get(name, []))


def _remembered(
    files: Callable[[str], Sequence[tuple[str, str | None]]],
) -> Callable[[str], Sequence[tuple[str, str | None]]]:
    known: dict[str, Sequence[tuple[str, str | None]]] = {}

    def ask(name: str) -> Sequence[tuple[str, str | None]]:
        if name not in known:
            known[name] = files(name)
        return known[name]

    return ask
