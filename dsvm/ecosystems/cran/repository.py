"""Repositories in CRAN's form: their places and what their indexes say."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dsvm.ecosystems.cran.packages import (
    NAME,
    VERSION,
    Need,
    Package,
    parse_need,
)
from dsvm.ecosystems.protocol import (
    Context,
)
from dsvm.host import Host, redact
from dsvm.model import (
    AccessError,
    Index,
    LockError,
    StoreError,
)

if TYPE_CHECKING:
    pass


MOST_INDEX = 256 << 20  # bytes of an index


def repositories(registry: str, context: Context) -> tuple[str, ...]:
    """URLs that may hold the snapshot: the machine's own for it or for `cran`, else the one in its manifest."""
    index = context.indexes.get(registry)
    host = context.host
    urls = host.source(registry) or host.source("cran") or ((index.url,) if index else ())
    return tuple(index.at(url) if index else url for url in urls)


def packages_of(name: str, context: Context) -> Mapping[str, tuple[Package, ...]]:
    """The index of the first repository that can be read."""
    index: Index = context.indexes[name]
    faults = []
    for repository in repositories(name, context):
        try:
            return read_index(context.host, repository)
        except AccessError:
            raise
        except StoreError as error:
            faults.append(error)
    date = f" of {index.date}" if index.date else ""
    raise LockError(
        f"{name}: the snapshot{date} cannot be read:\n" + "\n".join(f"    {fault.message}" for fault in faults),
        hint=f"{faults[0].hint}\nA mirror of yours: sources: {{{name}: URL}} in DSVM's configuration".strip(),
    )


@lru_cache(maxsize=4)
def read_index(host: Host, repository: str) -> Mapping[str, tuple[Package, ...]]:
    """Name -> its packages in the source index of a repository. StoreError when there is none."""
    refused: list[str] = []
    for name in ("PACKAGES.gz", "PACKAGES"):
        url = f"{repository}/src/contrib/{name}"
        content = _document(host, url, refused)
        if content is not None:
            break
    else:
        fault = refused[0] if refused else f"{redact(repository)}: no R repository: it has no src/contrib/PACKAGES"
        raise StoreError(fault)
    try:
        text = (_unpacked(content) if content.startswith(b"\x1f\x8b") else content).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise StoreError(f"{redact(url)}: not an index of R packages: {error}") from error
    found: dict[str, list[Package]] = {}
    for package in parse_index(text):
        found.setdefault(package.name, []).append(package)
    if not found:
        raise StoreError(f"{redact(url)}: not an index of R packages")
    return {name: tuple(packages) for name, packages in found.items()}


def _unpacked(content: bytes) -> bytes:
    """Raises OSError for what unpacks to more than any index."""
    data = gzip.GzipFile(fileobj=BytesIO(content)).read(MOST_INDEX + 1)
    if len(data) > MOST_INDEX:
        raise OSError(f"it unpacks to more than {MOST_INDEX >> 20} MiB")
    return data


def _document(host: Host, url: str, refused: list[str]) -> bytes | None:
    """A small file, or None when its place says that there is none, or refuses it: then what it says is in `refused`.

    Places in a cloud's storage refuse whatever they do not have.
    """
    if url.startswith("file:"):
        path = Path(unquote(urlsplit(url).path))
        return path.read_bytes() if path.is_file() else None
    answer = host.get(url)
    if answer.status_code == 403:
        refused.append(f"{redact(url)}: HTTP 403 Forbidden")
    if answer.status_code in (403, 404, 410):
        return None
    if answer.status_code >= 400:
        raise StoreError(f"{redact(url)}: HTTP {answer.status_code}")
    return answer.content


def parse_index(text: str) -> Iterator[Package]:
    """The packages of a PACKAGES file; entries that say nothing usable are passed over."""
    from debian.deb822 import Deb822

    for entry in Deb822.iter_paragraphs(text.splitlines(), use_apt_pkg=False):
        name, version = entry.get("Package", ""), entry.get("Version", "")
        folder = entry.get("Path", "")
        safe = not folder.startswith("/") and ".." not in folder.split("/") and re.fullmatch(r"[\w./+-]*", folder)
        if not re.fullmatch(NAME, name) or not re.fullmatch(VERSION, version) or not safe:
            continue
        file = f"{name}_{version}.tar.gz"
        yield Package(
            name=name,
            version=version,
            file=f"{folder.rstrip('/')}/{file}" if folder else file,
            md5=entry.get("MD5sum"),
            needs=tuple(needs_in(",".join(entry.get(field, "") for field in ("Depends", "Imports", "LinkingTo")))),
        )


def needs_in(text: str) -> Iterator[Need]:
    for one in text.split(","):
        try:
            yield parse_need(one)
        except ValueError:
            continue  # nothing between two commas, or R (>= r12345), a state of R's own repository
