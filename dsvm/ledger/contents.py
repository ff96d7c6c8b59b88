"""What is kept of the contents of a layer's files: small texts of configuration, and what programs need."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dsvm.host import members, write_whole
from dsvm.ledger.elf import Needs, is_loaded, needs_of
from dsvm.model import Entry

FORM = 1  # of what is kept; another one is not read
# Where programs look for what their users set; whatever else has to be read is asked of the engine
SETTINGS = re.compile(
    r"/(etc|home|root|usr/etc|usr/local/etc|usr(/local)?/share/ca-certificates)/.+|/opt/.+/etc/.+|/var/lib/dbus/.+"
)
MOST = 1 << 20  # bytes of a file that is kept
MOST_TOGETHER = 64 << 20  # bytes of all that is kept of a layer
IN_MEMORY = 32 << 20  # bytes of a program; larger ones wait on disk


@dataclass
class Contents:
    """By SHA-256 of a file, whatever its name: its bytes, or what its ELF header says."""

    texts: dict[str, bytes] = field(default_factory=dict)
    needs: dict[str, Needs] = field(default_factory=dict)


def read(stream: IO[bytes] | Any) -> tuple[list[tuple[str, Entry]], Contents]:
    """Everything in a tar, which is read once, and what is kept of it. Raises tarfile.TarError, and OSError."""
    found = Contents()
    left = MOST_TOGETHER
    copy: _Copy | None = None

    def look(path: str, file: IO[bytes]) -> IO[bytes]:
        nonlocal copy
        beginning = file.peek(20)[:20]  # type: ignore[attr-defined]
        copy = None
        if is_loaded(beginning):
            copy = _Copy(file, tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115 - closed when it was read
        elif left > 0 and SETTINGS.fullmatch(path):
            copy = _Copy(file, io.BytesIO(), MOST + 1)
        return copy or file  # type: ignore[return-value]

    entries: list[tuple[str, Entry]] = []
    for path, entry in members(stream, look=look):
        entries.append((path, entry))
        if copy is None:
            continue
        copied, copy = copy, None
        with copied.into as data:
            data.seek(0)
            if isinstance(data, io.BytesIO):
                if entry.size <= min(MOST, left):
                    found.texts[entry.sha256] = data.read()
                    left -= entry.size
            elif entry.sha256 not in found.needs and (needs := needs_of(data)) is not None:
                found.needs[entry.sha256] = needs
    return entries, found


class _Copy:
    """A file that writes what is read of it elsewhere, as far as `most` bytes."""

    def __init__(self, file: IO[bytes], into: IO[bytes] | Any, most: int = 1 << 62) -> None:
        self.file = file
        self.into = into
        self.most = most

    def read(self, size: int) -> bytes:
        piece = self.file.read(size)
        self.into.write(piece[: self.most])
        self.most -= len(piece[: self.most])
        return piece


def keep(path: Path, contents: Contents) -> None:
    """Write what is kept, to be read by `kept`: for its owner alone, for a text may hold a secret."""
    from backports import zstd

    lines = [json.dumps(FORM), *(json.dumps(one, ensure_ascii=False) for one in _lines(contents))]
    write_whole(path, zstd.compress("\n".join(lines).encode("utf-8", "surrogateescape"), level=3), mode=0o600)


def _lines(contents: Contents) -> Iterator[Sequence[object]]:
    yield from (["text", digest, data.decode("latin-1")] for digest, data in contents.texts.items())
    yield from (["needs", digest, *needs] for digest, needs in contents.needs.items())


def kept(path: Path) -> Contents | None:
    """What `keep` wrote; None when there is none, or one of another form."""
    from backports import zstd

    found = Contents()
    try:
        lines = zstd.decompress(path.read_bytes()).decode("utf-8", "surrogateescape").split("\n")
        if json.loads(lines[0]) != FORM:
            return None
        for line in lines[1:]:
            match json.loads(line):
                case ["text", digest, text]:
                    found.texts[digest] = text.encode("latin-1")
                case ["needs", digest, machine, libraries, folders]:
                    found.needs[digest] = Needs(machine, tuple(libraries), tuple(folders))
                case _:
                    return None
        return found
    except (OSError, zstd.ZstdError, ValueError, TypeError):
        return None
