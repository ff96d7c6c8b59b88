"""What is in the archive that a kernel unpacks into memory and starts from.

Archives of cpio follow each other, packed or not: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
"""

from __future__ import annotations

import gzip
import stat
import zlib
from collections.abc import Iterator
from typing import NamedTuple

NEW = (b"070701", b"070702")  # the one form that kernels read, without and with a checksum
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
HEADER = 110  # bytes: the magic number, and 13 numbers of 8 hexadecimal digits
LAST = "TRAILER!!!"


class Member(NamedTuple):
    """Something in it: `path` begins with no slash; `data` is a file's content or a link's target."""

    path: str
    mode: int
    data: bytes


def members(data: bytes) -> Iterator[Member]:
    """Everything in it; a hard link has the content of the file. Raises ValueError for what cannot be read."""
    place = 0
    while (place := _after_zeros(data, place)) < len(data):
        if data.startswith(NEW, place):
            found, place = _archive(data, place)
            yield from found
        else:
            yield from members(_unpacked(data[place:]))
            return


def _after_zeros(data: bytes, place: int) -> int:
    while data[place : place + 1] == b"\0":
        place += 1
    return place


def _unpacked(data: bytes) -> bytes:
    from backports import zstd

    try:
        if data.startswith(ZSTD):
            return zstd.decompress(data)
        if data.startswith(GZIP):
            return gzip.decompress(data)
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        raise ValueError(f"it cannot be unpacked: {error}") from error
    raise ValueError(f"something that begins with {data[:6].hex()} is no archive that we know")


def _archive(data: bytes, place: int) -> tuple[list[Member], int]:
    """The members of the archive at `place`, and where it ends."""
    found: list[tuple[int, Member]] = []
    contents: dict[int, bytes] = {}  # of inodes with several names, of which the last one has it
    while True:
        header = data[place : place + HEADER]
        if not header.startswith(NEW) or len(header) < HEADER:
            raise ValueError(f"no member of an archive at byte {place}")
        inode, mode, _, _, links, _, size, *_, length, _ = (
            int(header[start : start + 8], 16) for start in range(6, HEADER, 8)
        )
        begin = place + HEADER
        path = data[begin : begin + length - 1].decode("utf-8", "surrogateescape")
        begin = _padded(begin + length)
        content = data[begin : begin + size]
        if len(content) < size:
            raise ValueError(f"{path} is cut off")
        place = _padded(begin + size)
        if path == LAST:
            break
        if links > 1 and stat.S_ISREG(mode) and size:
            contents[inode] = content
        found.append((inode if links > 1 and stat.S_ISREG(mode) else 0, Member(path, mode, content)))
    whole = [one._replace(data=contents.get(inode, one.data)) if inode else one for inode, one in found]
    return whole, place


def _padded(place: int) -> int:
    return -(-place // 4) * 4
