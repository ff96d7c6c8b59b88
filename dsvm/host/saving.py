"""Images as the engine hands them out: one archive, read forwards."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from dsvm.host.engine import Engine, engine_faults
from dsvm.model import EngineError

PIECE = 4 << 20  # bytes that are read at a time


@contextmanager
def saved_image(image: str, engine: Engine) -> Iterator[tarfile.TarFile]:
    """The archive that `docker save` writes, as a stream: members come once, in its order. Raises EngineError."""
    with engine_faults(f"reading {image}"):
        try:
            stream = _Pieces(engine.client.api.get_image(image, chunk_size=PIECE))
            with tarfile.open(fileobj=io.BufferedReader(stream, PIECE), mode="r|") as archive:
                yield archive
        except tarfile.TarError as error:
            raise EngineError(f"{image}: what the engine hands out is no image: {error}") from error


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = iter(pieces)
        self.rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.rest:
            piece = next(self.pieces, None)
            if piece is None:
                return 0
            self.rest = piece
        count = min(len(buffer), len(self.rest))
        buffer[:count] = self.rest[:count]
        self.rest = self.rest[count:]
        return count


def buffered(file: IO[bytes]) -> io.BufferedReader[Any]:
    """A member of such an archive, of which one may look at the beginning."""
    return io.BufferedReader(Forwards(file), PIECE)


class Forwards(io.RawIOBase):
    """A file that can be read forwards alone."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
