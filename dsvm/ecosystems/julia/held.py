"""The files of Julia packages and artifacts: what their archives hold, where a depot has them, what is made of them."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from dsvm.ecosystems.protocol import Generated
from dsvm.host import unpacked
from dsvm.model import Entry, LockError, Section


def contents(artefact: Path) -> Iterator[tuple[str, Entry]]:
    """Paths of an archive, whose tree hash was compared when it was locked. Raises LockError."""
    try:
        yield from dict(unpacked(artefact)).items()
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise LockError(f"{artefact.name}: no Julia package: {type(error).__name__}: {error}") from error


def placed(folder: str, found: Iterable[tuple[str, Entry]]) -> Iterator[tuple[str, Entry]]:
    """The same below a folder of a depot; install-julia gives everything to root, and one of two modes."""
    for path, entry in found:
        mode = 0o755 if entry.kind == "folder" or entry.mode & 0o111 else 0o644
        yield f"{folder}{path}".rstrip("/"), entry._replace(mode=mode, uid=0, gid=0)


def environment(folder: str, section: Section) -> Iterator[tuple[str, Entry]]:
    """The files that name the packages, as the lock has them."""
    for name in ("Project.toml", "Manifest.toml"):
        data = section.extra["texts"][name].encode()
        yield f"{folder}/{name}", Entry("file", 0o644, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def generated(depot: str, section: Section) -> Iterator[Generated]:
    yield Generated(
        f"{depot}/compiled/*", "Julia: what it compiles of the packages, with times and random numbers in it"
    )
    for package in section.extra["texts"]["builds"].split():
        yield Generated(f"{depot}/{package}/deps/*", "the package's own build script")
