"""Folders for a while: gone with the block, and when the run was killed, with the next run.

A run keeps a lock of the operating system on each folder of its own; a folder that nobody has a lock on is a killed
run's.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dsvm.host.files import FULL, fault, is_full
from dsvm.host.programs import run
from dsvm.model import DsvmError, FileError, ProgramError

MARK = "dsvm-scratch-"
MOUNTS = Path("/proc/self/mountinfo")


@contextmanager
def scratch(purpose: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder, of this user alone, in `parent` or where temporary files go; killed runs' are removed first.

    `purpose` is a word of its name. Raises OSError, and FileError when what the block writes there does not fit.
    """
    where = parent or _usual()
    sweep(where)
    path, handle = _take(where, f"{MARK}{os.getuid()}-{purpose}-")
    try:
        yield path
    except OSError as error:
        if error.filename is None and error.errno in FULL:
            raise fault(path, error) from error
        raise
    except DsvmError as error:
        # programs call it an archive without a signature, or whatever they did not find in half a file
        if is_full(path):
            what = error.message.splitlines()[0]
            raise FileError(
                f"{path}: disk full: {what}", hint=f"Make room where {where} lies, or set TMPDIR"
            ) from error
        raise
    finally:
        with suppress(OSError, ProgramError):
            _remove(path)
        os.close(handle)


def _usual() -> Path:
    """Where temporary files go. Python passes over a TMPDIR that is full, and other programs do not."""
    named = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    return named if named.is_dir() else Path(tempfile.gettempdir())


def sweep_usual() -> None:
    """Remove what killed runs of this user left where temporary files go."""
    sweep(_usual())


def _take(where: Path, prefix: str) -> tuple[Path, int]:
    """A new folder and the handle that its lock hangs on."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another run has swept it in the moment before the lock
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), path.lstat()):
                return path, handle
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(handle)


def sweep(where: Path) -> list[Path]:
    """Remove what killed runs of this user left in a folder; returns it. What something is mounted in stays."""
    gone = []
    for path in where.glob(f"{MARK}{os.getuid()}-*"):
        with suppress(OSError, ProgramError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(handle).st_uid != os.getuid():
                    continue
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _holds_mounts(path):
                    _remove(path)
                    gone.append(path)
            finally:
                os.close(handle)
    return gone


def _remove(path: Path) -> None:
    """Remove a folder, also with files of the users whom mmdebstrap makes for somebody who is not root."""
    try:
        shutil.rmtree(path)
    except PermissionError:
        run(["mmdebstrap", "--unshare-helper", "rm", "--recursive", "--force", "--one-file-system", path], timeout=600)


def _holds_mounts(folder: Path) -> bool:
    """https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html"""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    places = (re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4]) for line in lines)
    return any(Path(place).is_relative_to(folder.resolve()) for place in places)
