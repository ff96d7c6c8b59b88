"""What is asked of files on disk, whatever they are."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from dsvm.model import FileError

MOST_LINKS = 40  # as many as Linux follows
MOST_TEXT = 64 << 20  # bytes of a file that people or we write: the largest lock has one
# Of archives from elsewhere: the largest that images hold have a twentieth
MOST_MEMBERS = 2_000_000
MOST_UNPACKED = 256 << 30  # bytes
SMALL = 1 << 16  # bytes
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def leads_to(root: Path, path: str) -> Path:
    """The file or folder that `path` is in the file system below `root`, where absolute links begin.

    It need not be there. Raises OSError (ELOOP) where links lead to each other.
    """
    waiting = list(reversed(PurePosixPath(path).parts))
    here: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop()
        if part == "/":
            here = []
        elif part == "..":
            here = here[:-1]
        elif (one := root.joinpath(*here, part)).is_symlink():
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(root / path))
            waiting += reversed(one.readlink().parts)
        else:
            here.append(part)
    return root.joinpath(*here)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bounded(path: Path, most: int = MOST_TEXT) -> bytes:
    """What is in a regular file of at most `most` bytes. Raises OSError; a pipe or a device is never waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most >> 20} MiB", str(path))
    return data


def bounded(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive. Raises tarfile.ReadError for one that would unpack for ever."""
    size = 0
    for number, member in enumerate(archive):
        size += member.size
        if number >= MOST_MEMBERS or size > MOST_UNPACKED:
            raise tarfile.ReadError(f"more than {MOST_MEMBERS} files, or {MOST_UNPACKED >> 30} GiB, in it")
        yield member


def write_whole(path: Path, text: str | bytes, *, mode: int = 0o644) -> None:
    """Write a file in one go: a reader sees the old one or the new one, and nothing else is left when that fails.

    Raises FileError that says which place is full, read-only or of another kind, and what to do.
    """
    data = text.encode() if isinstance(text, str) else text
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
        part = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)  # whatever the umask is
            os.fsync(file.fileno())
        part.replace(path)
        part = None
    except OSError as error:
        # of its own file nobody knows
        ours = part is not None and error.filename == str(part)
        raise fault(path, OSError(error.errno, error.strerror) if ours else error) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def write_new(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file where there is none, whole or not at all. Raises FileError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise fault(path, error) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask is
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise fault(path, error) from error
        raise


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no room for a small file."""
    try:
        return shutil.disk_usage(folder).free < SMALL
    except OSError:
        return False


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Fill a folder, or write a file, at `path`: what goes wrong is a FileError that says where."""
    try:
        yield
    except OSError as error:
        raise fault(Path(os.fsdecode(error.filename)) if error.filename else path, error) from error


class Log:
    """A file that grows while something runs. Raises FileError when it cannot be opened, or written to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with guarded(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.open("w", encoding="utf-8", errors="replace")

    def write(self, text: str) -> int:
        with guarded(self.path):
            return self.file.write(text)

    def flush(self) -> None:
        with guarded(self.path):
            self.file.flush()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self.file.close()
        except OSError as failure:
            if error is None:  # else what ended the block says more
                raise fault(self.path, failure) from failure


def fault(path: Path, error: OSError) -> FileError:
    """What to say of a file that cannot be written."""
    why = error.strerror or str(error)
    if error.errno in FULL:
        return FileError(f"{path}: disk full ({why})", hint=f"Make room where {path.parent} lies")
    if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
        where = error.filename or path
        return FileError(
            f"{path}: cannot be written: {why}", hint=f"Something of another kind is at {where}: move it away"
        )
    return FileError(f"{path}: cannot be written: {why}", hint=f"Look at the rights of {path.parent}")
