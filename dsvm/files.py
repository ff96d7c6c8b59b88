"""What is asked of files on disk, whatever they are."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path, PurePosixPath

MOST_LINKS = 40  # as many as Linux follows


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
