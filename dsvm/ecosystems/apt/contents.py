"""The files of Debian packages."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from debian.arfile import ArError, ArFile

from dsvm.host import members
from dsvm.model import Entry, LockError


def contents(artefact: Path) -> Iterator[tuple[str, Entry]]:
    """Paths of a .deb's data archive: https://manpages.debian.org/deb.5. Raises LockError."""
    try:
        with artefact.open("rb") as raw:
            archive = ArFile(fileobj=raw)
            name = next((one for one in archive.getnames() if one.startswith("data.tar")), "")
            yield from members(_opened(archive.getmember(name), name))
    except (ArError, KeyError, OSError, ValueError, EOFError, lzma.LZMAError) as error:
        raise LockError(f"{artefact.name}: no Debian package: {error}") from error


def _opened(member: Any, name: str) -> Any:
    """The member as the tar that is packed in it."""
    kind = name.rpartition(".")[2]
    if kind == "xz":
        return lzma.LZMAFile(member)
    if kind == "gz":
        return gzip.GzipFile(fileobj=member)
    if kind == "zst":
        from backports import zstd

        return zstd.ZstdFile(member)
    return member
