"""Small texts out of archives that anybody may have made: nothing is unpacked, and nothing is read for ever."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from dsvm.model import Stated

MOST = 2 << 20  # bytes of a file that says something
MOST_FILES = 64  # of one artefact
MOST_HEADER = 1 << 20  # bytes of a member's own header
MOST_MEMBERS = 1_000_000
# An archive may unpack to so many bytes, and to so many times its own size: texts compress to a twentieth
SMALL, RATIO = 256 << 20, 100
SHOWN = 300  # characters of what was read
# What readers of archives raise for those that are none
FAULTS = (OSError, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError, MemoryError)
FAULTS_OF_FORMATS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


class _Strict(tarfile.TarInfo):
    """A member whose own header is small: long names are read into memory before anybody sees them."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        kinds = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if self.type in (*kinds, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK) and self.size > MOST_HEADER:
            raise tarfile.ReadError("a header in it is too large")
        return super()._proc_member(archive)  # type: ignore[misc]


class _Limited:
    """A stream of at most `most` bytes. Raises ValueError beyond that."""

    def __init__(self, stream: Any, most: int) -> None:
        self.stream, self.left, self.most = stream, most, most

    def read(self, size: int = 1 << 16) -> bytes:
        data: bytes = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {self.most >> 20} MiB")
        return data


def _zstd(stream: Any) -> Any:
    from backports import zstd

    return zstd.ZstdFile(stream)


OPENERS: Mapping[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
    b"\x28\xb5\x2f\xfd": _zstd,
}


@contextmanager
def plain_faults() -> Iterator[None]:
    """What goes wrong with an archive is a ValueError that says how."""
    from backports import zstd

    try:
        yield
    except (*FAULTS, *FAULTS_OF_FORMATS, zstd.ZstdError) as error:
        raise ValueError(f"it cannot be read: {shown(str(error)) or type(error).__name__}") from error


def members(stream: IO[bytes] | Any, packed: int) -> Iterator[tuple[tarfile.TarInfo, Callable[[], str | None]]]:
    """Members of a tar, compressed or not, each with what reads its text; to be read before the next one is asked for.

    `stream` can seek; `packed` is its size in bytes. Raises what `plain_faults` catches.
    """
    start = stream.read(8)
    stream.seek(-len(start), 1)
    opened = next((opener(stream) for magic, opener in OPENERS.items() if start.startswith(magic)), stream)
    limited = _Limited(opened, max(SMALL, RATIO * packed))
    with tarfile.open(fileobj=limited, mode="r|", tarinfo=_Strict) as archive:  # type: ignore[call-overload]
        for number, member in enumerate(archive):
            if number >= MOST_MEMBERS:
                raise ValueError(f"more than {MOST_MEMBERS} files in it")
            archive.members = []  # it would keep all of them

            def text(member: tarfile.TarInfo = member) -> str | None:
                file = archive.extractfile(member) if member.isreg() and member.size <= MOST else None
                return decoded(file.read(MOST + 1)) if file is not None else None

            yield member, text


def tar_texts(path: Path, wanted: re.Pattern[str]) -> dict[str, str]:
    """Name -> text of the small regular files of a tar whose names, without a leading ./, are as `wanted`.

    Raises ValueError for what is no archive.
    """
    found: dict[str, str] = {}
    with plain_faults(), path.open("rb") as stream:
        for member, text in members(stream, path.stat().st_size):
            name = inner_name(member.name)
            if wanted.fullmatch(name) and len(found) < MOST_FILES and (content := text()) is not None:
                found.setdefault(name, content)
    return found


def zip_texts(path: Path, wanted: re.Pattern[str]) -> dict[str, str]:
    """The same for a zip file."""
    found: dict[str, str] = {}
    with plain_faults(), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not wanted.fullmatch(info.filename) or info.is_dir() or len(found) >= MOST_FILES:
                continue
            with archive.open(info) as file:
                data = file.read(MOST + 1)  # whatever its header says
            if len(data) <= MOST:
                found.setdefault(info.filename, decoded(data))
    return found


def inner_name(name: str) -> str:
    """A member's name without what stands before it for nothing."""
    return str(PurePosixPath(name.lstrip("/"))) if name else ""


def decoded(data: bytes) -> str:
    """Text of a file in which anything may be. Raises ValueError when it is no text."""
    if b"\0" in data[: 1 << 16]:
        raise ValueError("it is no text: it holds NUL bytes")
    return data.decode("utf-8", "replace")


def shown(text: str) -> str:
    """The first words of a text for people, on one line, without what cannot be printed."""
    start = text[: SHOWN * 8]
    return " ".join("".join(one if one.isprintable() else " " for one in start).split())[:SHOWN]


def stated(expression: str | None, said: str, file: str, why: str = "", *, by_words: bool = False) -> Stated:
    """What an artefact says, in the form that is kept; `why` counts when there is no expression."""
    reason = "" if expression else (why or "no licence is recognised in what it says")
    return Stated(expression=expression, by_words=by_words, said=shown(said), file=shown(file), why=shown(reason))
