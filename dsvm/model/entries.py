"""What stands at a path of a file system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

# a ghost is promised and need not be there, nor be of any one kind
EntryKind = Literal["file", "folder", "link", "device", "pipe", "ghost"]
ANY = -1  # a mode, size or owner that nobody promises


class Entry(NamedTuple):
    """One path. `target` is a link's, `sha256` a file's, "" where nobody promises it; `size` in bytes.

    `mtime` is in seconds since 1970; `xattrs` are the names of its extended attributes, sorted, security.capability
    with =VALUE in hex; `head` is the first 16 bytes of Python's byte code, in hex, and `code` the SHA-256 of the rest.
    """

    kind: EntryKind
    mode: int = ANY
    uid: int = 0
    gid: int = 0
    size: int = ANY
    target: str = ""
    sha256: str = ""
    mtime: int = ANY
    xattrs: tuple[str, ...] = ()
    head: str = ""
    code: str = ""


Tree = Mapping[str, tuple[Entry, int]]  # path -> what stands there, and the number of the layer that has it
