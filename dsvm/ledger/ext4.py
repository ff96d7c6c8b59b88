"""What is in an ext4 file system of a disk image, without mounting it and without starting anything of it.

debugfs answers a list of requests: https://man7.org/linux/man-pages/man8/debugfs.8.html. What a file is called or says
never decides where an answer ends: names hold no slash, and contents have the size that their inode says.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple

from dsvm.host import run, stream_bytes
from dsvm.ledger import contents
from dsvm.ledger.contents import Contents
from dsvm.model import Entry, VerifyError

ROOT = 2  # the inode of the file system's root
RECORD = re.compile(rb"/(\d+)/([0-7]{6})/(\d+)/(\d+)/([^/]*)/(\d*)/\n")  # of `ls -p`
SAID = re.compile(rb"^debugfs: .*\n", re.MULTILINE)  # before each answer, the request
OWNER = re.compile(rb"^User: +(\d+) +Group: +(\d+) ", re.MULTILINE)
MTIME = re.compile(rb"^ *mtime: 0x([0-9a-f]{8})", re.MULTILINE)
ATTRIBUTE = re.compile(rb"^  ([a-z]+\.[^ \n]+) \((\d+)\)(?: = (.*))?$", re.MULTILINE)
CAPABILITY = "security.capability"
UNWRITTEN = "needs_recovery"  # the feature of a file system whose journal has what is not in its place yet
AT_ONCE = 20_000  # inodes that are asked for together
FAST = 60  # bytes: shorter targets of links stand in the inode itself
KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFSOCK: tarfile.FIFOTYPE,  # a tar has none: it is a pipe to whoever looks for what should not be there
}


class Record(NamedTuple):
    """A name in a folder: the inode that it stands for, and what that says; `size` in bytes, 0 of a folder."""

    inode: int
    mode: int
    name: bytes
    size: int


class Inode(NamedTuple):
    """The rest of an inode: `mtime` in seconds since 1970, extended attributes by name, of capabilities with value."""

    uid: int
    gid: int
    mtime: int
    xattrs: dict[str, bytes]


NO_INODE = Inode(0, 0, 0, {})


@dataclass(frozen=True)
class FileSystem:
    """The ext4 file system at byte `start` of a raw disk image.

    Whatever reads it raises ProgramError where debugfs is missing, and VerifyError for a file system that is none,
    contradicts itself, or was not written to its end.
    """

    disk: Path
    start: int

    @property
    def source(self) -> str:
        return f"{self.disk}?offset={self.start}"

    @cached_property
    def records(self) -> dict[str, Record]:
        """Path, without a slash before it, and record of everything, each folder before what is in it."""
        said = run(["debugfs", "-R", "features", self.source], timeout=600, check=False).stdout
        if not said.startswith("Filesystem features:"):
            raise VerifyError(f"{self.source}: there is no file system that can be read")
        if UNWRITTEN in said.split():
            raise VerifyError(
                f"{self.source}: its journal would change it when it is mounted", hint="The machine was not shut down"
            )
        return _tree(self.source)

    def read(self) -> tuple[list[tuple[str, Entry]], Contents]:
        """Everything in it, names sorted, and what is kept of its files."""
        reader, writer = os.pipe()
        with ThreadPoolExecutor(1) as beside, open(reader, "rb") as tar:  # noqa: PTH123 - it has no name
            writing = beside.submit(self._write, writer)
            try:
                found = contents.read(tar)
            except tarfile.TarError:
                tar.close()
                writing.result()
                raise
            writing.result()
        return found

    def _write(self, writer: int) -> None:
        with open(writer, "wb") as tar:
            self.write_tar(tar)

    def files(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Path and content of the regular files among `paths`, which begin with a slash."""
        known = {path: self.records[path.lstrip("/")] for path in paths if path.lstrip("/") in self.records}
        wanted = {path: one for path, one in known.items() if stat.S_ISREG(one.mode)}
        with _asked(self.source, "cat", [one.inode for one in wanted.values()]) as said:
            for path, one in wanted.items():
                _expect(said, "cat", one.inode)
                yield path, said.read(one.size)

    def write_tar(self, out: IO[bytes]) -> None:
        """Write everything as a tar, names sorted."""
        found = self.records
        # of a link `stat` says its target, which may look like anything, and its owner, time and attributes count for
        # nothing
        inodes = _inodes(self.source, sorted({one.inode for one in found.values() if not stat.S_ISLNK(one.mode)}))
        targets = _targets(self.source, [one for one in found.values() if stat.S_ISLNK(one.mode)])
        seen: dict[int, str] = {}
        members = []
        for path, record in found.items():
            info = _member(path, record, inodes.get(record.inode, NO_INODE))
            if record.inode in seen:
                info.type, info.linkname, info.size = tarfile.LNKTYPE, seen[record.inode], 0
            elif stat.S_ISLNK(record.mode):
                info.linkname = targets[record.inode].decode("utf-8", "surrogateescape")
            if not stat.S_ISDIR(record.mode):
                seen.setdefault(record.inode, path)
            members.append((info, record.inode))
        wanted = [inode for info, inode in members if info.isreg()]
        with (
            tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            _asked(self.source, "cat", wanted) as said,
        ):
            for info, inode in members:
                if info.isreg():
                    _expect(said, "cat", inode)
                tar.addfile(info, said if info.isreg() else None)
            if said.read(1):
                raise VerifyError(f"{self.disk}: a file has more in it than its inode says")


def _member(path: str, record: Record, inode: Inode) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type = KINDS[stat.S_IFMT(record.mode)]
    info.mode, info.uid, info.gid = stat.S_IMODE(record.mode), inode.uid, inode.gid
    info.mtime = inode.mtime
    info.size = record.size if info.isreg() else 0
    info.pax_headers = {
        f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in inode.xattrs.items()
    }
    return info


def records(text: bytes, place: int = 0) -> tuple[list[Record], int]:
    """What `ls -p` says of a folder, from `place` in `text`, and where that ends. Raises ValueError."""
    found = []
    while (match := RECORD.match(text, place)) is not None:
        # who owns it stands here with half of its bits
        inode, mode, _, _, name, size = match.groups()
        if int(inode) and name not in (b".", b".."):  # 0: nothing stands there any more
            found.append(Record(int(inode), int(mode, 8), name, int(size or 0)))
        place = match.end()
    if text[place : place + 1] != b"\n":
        raise ValueError(f"no name in a folder: {text[place : place + 60]!r}")
    return found, place + 1


def inode_of(text: bytes) -> Inode:
    """What `stat` says of an inode. Raises ValueError."""
    owner, mtime = OWNER.search(text), MTIME.search(text)
    if owner is None or mtime is None:
        raise ValueError(f"no inode: {text[:60]!r}")
    xattrs = {}
    for match in ATTRIBUTE.finditer(text):
        name = match[1].decode("utf-8", "surrogateescape")
        value = bytes.fromhex((match[3] or b"").decode("ascii")) if name == CAPABILITY else b""
        if name == CAPABILITY and len(value) != int(match[2]):
            raise ValueError(f"{name} is cut off")
        xattrs[name] = value
    return Inode(int(owner[1]), int(owner[2]), int(mtime[1], 16), xattrs)


def dumped(text: bytes) -> bytes:
    """The bytes that `inode_dump -b` shows, 16 in a row, where a star stands for rows like the last one."""
    found, last = bytearray(), b""
    for line in text.splitlines():
        if match := re.match(rb"([0-7]{4,})  ((?:[0-9a-f]{4} ?)+) ", line):
            place, row = int(match[1], 8), bytes.fromhex(match[2].decode("ascii"))
            while len(found) < place:
                found += last
            found += row
            last = row
    while last and len(found) < FAST:
        found += last
    return bytes(found[:FAST])


def _tree(source: str) -> dict[str, Record]:
    found: list[tuple[str, Record]] = []
    folders, known = [("", ROOT)], {ROOT}
    while folders:
        below = []
        with _asked(source, "ls -p", [inode for _, inode in folders]) as said:
            text = said.read()
        place = 0
        for path, inode in folders:
            expected = _request("ls -p", inode)
            if not text.startswith(expected, place):
                raise VerifyError(f"{source}: /{path} cannot be read")
            place += len(expected)
            try:
                entries, place = records(text, place)
            except ValueError as error:
                raise VerifyError(f"{source}: /{path}: {error}") from error
            for one in sorted(entries, key=lambda one: one.name):
                name = one.name.decode("utf-8", "surrogateescape")
                whole = f"{path}/{name}".lstrip("/")
                if stat.S_IFMT(one.mode) not in KINDS:
                    raise VerifyError(f"{source}: /{whole} is nothing that ext4 has")
                found.append((whole, one))
                if stat.S_ISDIR(one.mode):
                    if one.inode in known:
                        raise VerifyError(f"{source}: /{whole} is a folder that stands elsewhere too")
                    known.add(one.inode)
                    below.append((whole, one.inode))
        folders = below
    by_path = dict(sorted(found))
    if len(by_path) < len(found):
        raise VerifyError(f"{source}: a folder has two files of one name")
    return by_path


def _inodes(source: str, inodes: Sequence[int]) -> dict[int, Inode]:
    found = {}
    for inode, text in _answers(source, "stat", inodes):
        try:
            found[inode] = inode_of(text)
        except ValueError as error:
            raise VerifyError(f"{source}: inode {inode}: {error}") from error
    return found


def _targets(source: str, links: Sequence[Record]) -> dict[int, bytes]:
    sizes = {one.inode: one.size for one in links}
    fast = sorted(inode for inode, size in sizes.items() if size < FAST)
    slow = sorted(sizes.keys() - set(fast))
    found = {inode: dumped(text)[: sizes[inode]] for inode, text in _answers(source, "inode_dump -b", fast)}
    with _asked(source, "cat", slow) as said:
        for inode in slow:
            _expect(said, "cat", inode)
            found[inode] = said.read(sizes[inode])
    return found


def _answers(source: str, request: str, inodes: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Each inode with what is said of it. Raises VerifyError where an answer looks like the beginning of another."""
    for some in (inodes[start : start + AT_ONCE] for start in range(0, len(inodes), AT_ONCE)):
        with _asked(source, request, some) as said:
            text = said.read()
        begins = list(SAID.finditer(text))
        if [one[0] for one in begins] != [_request(request, inode) for inode in some]:
            raise VerifyError(f"{source}: debugfs does not answer {request} as it was asked")
        ends = [*(one.start() for one in begins[1:]), len(text)]
        for inode, begin, end in zip(some, begins, ends, strict=True):
            yield inode, text[begin.end() : end]


def _request(request: str, inode: int) -> bytes:
    return b"debugfs: %s <%d>\n" % (request.encode("ascii"), inode)


def _expect(said: IO[bytes], request: str, inode: int) -> None:
    expected = _request(request, inode)
    if said.read(len(expected)) != expected:
        raise VerifyError(f"inode {inode} of the disk cannot be read, or has another size than it says")


@contextmanager
def _asked(source: str, request: str, inodes: Sequence[int]) -> Iterator[IO[bytes]]:
    """What debugfs says to a request about each inode, in their order."""
    if not inodes:
        yield io.BytesIO()
        return
    with tempfile.NamedTemporaryFile("w", suffix=".debugfs") as script:
        script.writelines(f"{request} <{inode}>\n" for inode in inodes)
        script.flush()
        with stream_bytes(["debugfs", "-f", script.name, source]) as said:
            yield said
