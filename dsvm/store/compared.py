"""What was compared before and does not change: sets of digests, kept in a file of the store."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from dsvm.host import read_bounded, write_whole
from dsvm.model import FileError

MOST = 10_000  # digests that are remembered; beyond that it begins anew


class Compared:
    """Digests, remembered in the file `path`. What stands there wrongly is as if it did not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed = False

    @cached_property
    def known(self) -> set[str]:
        with suppress(OSError, ValueError, RecursionError):
            found = json.loads(read_bounded(self.path))
            if isinstance(found, list) and all(isinstance(one, str) for one in found):
                return {*found}
        return set()

    def has(self, digest: str) -> bool:
        return digest in self.known

    def add(self, digest: str) -> None:
        if len(self.known) >= MOST:
            self.known.clear()
        self.known.add(digest)
        self.changed = True

    def save(self) -> None:
        """Keep it for the next run; a disk that does not take it costs only time."""
        if self.changed:
            with suppress(FileError):
                write_whole(self.path, json.dumps(sorted(self.known)))
            self.changed = False
