"""Archives of file systems, read once from their beginning."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from dsvm.host.files import bounded
from dsvm.model import Entry, EntryKind

PIECE = 1 << 20  # bytes that are hashed at a time
XATTRS = ("SCHILY.xattr.", "LIBARCHIVE.xattr.")
CAPABILITY = "security.capability"  # the one attribute whose value counts
KINDS: Mapping[bytes, EntryKind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
}


def path_of(name: str) -> str:
    """A member's name as an absolute path: './usr/bin/' -> /usr/bin."""
    return "/" + "/".join(part for part in name.split("/") if part not in ("", "."))


def unpacked(
    archive: Path, look: Callable[[str, IO[bytes]], IO[bytes]] = lambda _, file: file
) -> Iterator[tuple[str, Entry]]:
    """Path and entry of each member of a zip, or of a tar however packed, as Python's libraries unpack them.

    `look` is that of `members`. Raises OSError, ValueError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error
    or lzma.LZMAError for what is neither.
    """
    if not zipfile.is_zipfile(archive):
        with archive.open("rb") as stream:
            yield from members(stream, "r|*", look)
        return
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            mode = info.external_attr >> 16 & 0o7777
            if info.is_dir():
                yield path_of(info.filename), Entry("folder", mode)
                continue
            path = path_of(info.filename)
            with packed.open(info) as file:
                size, digest, head, code = _hashed(look(path, file), path)
            yield path, Entry("file", mode, size=size, sha256=digest, head=head, code=code)


def members(
    stream: IO[bytes] | Any, mode: str = "r|", look: Callable[[str, IO[bytes]], IO[bytes]] = lambda _, file: file
) -> Iterator[tuple[str, Entry]]:
    """Path and entry of each member of a tar that is read once, from its beginning; a hard link is what it leads to.

    `look` gets the path and the content of each file, and gives a file through which that is read instead.
    Raises tarfile.TarError, and OSError of the stream.
    """
    seen: dict[str, Entry] = {}
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for member in bounded(tar):
            path = path_of(member.name)
            if member.islnk():
                entry = seen.get(path_of(member.linkname))
                if entry is not None:
                    yield path, entry
                continue
            kind = KINDS.get(member.type)
            if kind is None:
                raise tarfile.ReadError(f"{member.name}: a member of an unknown kind")
            xattrs = sorted(_attribute(*one) for one in member.pax_headers.items() if one[0].startswith(XATTRS))
            file = tar.extractfile(member) if kind == "file" else None
            size, digest, head, code = _hashed(look(path, file), path) if file is not None else (0, "", "", "")
            entry = Entry(
                kind,
                member.mode & 0o7777,
                member.uid,
                member.gid,
                size,
                member.linkname if kind == "link" else "",
                digest,
                int(member.mtime),
                tuple(xattrs),
                head,
                code,
            )
            seen[path] = entry
            yield path, entry


def _attribute(key: str, value: str) -> str:
    """The name of an extended attribute; with its value, in hex, where that says what a program may do."""
    name = key.partition("xattr.")[2]
    return f"{name}={value.encode('utf-8', 'surrogateescape').hex()}" if name == CAPABILITY else name


def _hashed(file: IO[bytes], path: str) -> tuple[int, str, str, str]:
    """Size and SHA-256 of a file; and of byte code its first 16 bytes and the SHA-256 of the rest, in hex."""
    if path.endswith(".pyc"):
        data = file.read(-1)
        return len(data), hashlib.sha256(data).hexdigest(), data[:16].hex(), hashlib.sha256(data[16:]).hexdigest()
    digest, size = hashlib.sha256(), 0
    while piece := file.read(PIECE):
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest(), "", ""
