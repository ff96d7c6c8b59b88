"""What was hashed before and has not changed since: a file is read again only when its inode, size or times differ."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from contextlib import suppress
from functools import cached_property
from pathlib import Path

MOST = 500_000  # files that are remembered; beyond that it begins anew
Seen = tuple[int, int, int, str]  # size, mtime and ctime in nanoseconds, SHA-256


class Hashed:
    """SHA-256 of files, remembered in the file `path`. What stands there wrongly is as if it did not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed = False
        self.mutex = threading.Lock()

    @cached_property
    def known(self) -> dict[str, Seen]:
        """device:inode -> what the file was when it was hashed."""
        found: dict[str, Seen] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            for key, (size, mtime, ctime, sha256) in json.loads(self.path.read_bytes()).items():
                found[key] = (int(size), int(mtime), int(ctime), str(sha256))
        return found

    def digest(self, path: Path) -> str:
        """SHA-256 of a file, in hex. Raises OSError."""
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            with self.mutex:
                before = self.known.get(_key(stat))
            if before is not None and before[:3] == _times(stat):
                return before[3]
            found = hashlib.file_digest(file, "sha256").hexdigest()
            # what was written to meanwhile is not what was hashed
            if _times(os.fstat(file.fileno())) == _times(stat):
                self._put(stat, found)
        return found

    def note(self, path: Path, sha256: str) -> None:
        """Remember a file that was hashed a moment ago and got a link, or lost one, since: that moves its ctime."""
        with suppress(OSError):
            self._put(path.stat(), sha256)

    def _put(self, stat: os.stat_result, sha256: str) -> None:
        with self.mutex:
            if len(self.known) >= MOST:
                self.known.clear()
            self.known[_key(stat)] = (*_times(stat), sha256)
            self.changed = True

    def save(self) -> None:
        """Keep what is known for the next run; a disk that does not take it costs only time."""
        if not self.changed:
            return
        with self.mutex, suppress(OSError):
            handle, name = tempfile.mkstemp(prefix="new-", suffix=".part", dir=self.path.parent)
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump(self.known, file)
                Path(name).replace(self.path)
                self.changed = False
            finally:
                Path(name).unlink(missing_ok=True)


def _key(stat: os.stat_result) -> str:
    return f"{stat.st_dev}:{stat.st_ino}"


def _times(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
