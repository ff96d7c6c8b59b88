"""What was read out of artefacts, which do not change: a file for each kind, in the folder `readings` of a store."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from dsvm.host import read_bounded, write_whole
from dsvm.model import FileError

MOST = 200_000  # artefacts that are remembered; beyond that it begins anew


class Readings:
    """What artefacts said when version `reader` of something read them, in the file `path`.

    A key is the SHA-256 of an artefact, with words before it where the answer depends on more than that; what it
    said is JSON. What another version wrote, and what stands there wrongly, is as if it did not: whoever takes
    something out looks at its form.
    """

    def __init__(self, path: Path, reader: int) -> None:
        self.path, self.reader = path, reader
        self.changed = False

    @cached_property
    def known(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, RecursionError):
            file = json.loads(read_bounded(self.path))
            if isinstance(file, dict) and file.get("reader") == self.reader and isinstance(file.get("artefacts"), dict):
                return dict(file["artefacts"])
        return {}

    def get(self, key: str) -> Any:
        """What was said; None when nothing was asked yet."""
        return self.known.get(key)

    def word(self, key: str) -> str | None:
        """The same where it is a text."""
        said = self.get(key)
        return said if isinstance(said, str) else None

    def put(self, key: str, said: Any) -> None:
        if len(self.known) >= MOST:
            self.known.clear()
        self.known[key] = said
        self.changed = True

    def save(self) -> None:
        """Keep it for the next run; a disk that does not take it costs only time."""
        if self.changed:
            with suppress(FileError):
                text = json.dumps({"reader": self.reader, "artefacts": self.known}, sort_keys=True)
                write_whole(self.path, text)
            self.changed = False
