"""What is in an image, layer by layer, as the engine hands it out; nothing of the image runs for it.

https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Full, Queue
from threading import Event, Thread
from typing import IO, Any

from dsvm.host import Engine, buffered, engine_faults, saved_image, write_whole
from dsvm.ledger import contents
from dsvm.ledger.contents import Contents
from dsvm.ledger.lists import keep, kept
from dsvm.model import EngineError, Entry

ZSTD, GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
SMALL = 4 << 20  # bytes; what is larger and no layer is nothing that we know
AHEAD = 4  # pieces of that size that wait to be read
BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
OPAQUE, GONE = ".wh..wh..opq", ".wh."


@dataclass(frozen=True)
class Layer:
    """A layer: the digest of its uncompressed tar, what stands in it in its order, whiteouts too, and in its files."""

    diff_id: str
    entries: list[tuple[str, Entry]]
    contents: Contents = field(default_factory=Contents)


@dataclass(frozen=True)
class Image:
    """An image by its id, with its layers, the lowest first, and what the engine says of it."""

    id: str
    layers: tuple[Layer, ...]
    config: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that it sets."""
        said = (self.config.get("Config") or {}).get("Env") or ()
        return dict(one.partition("=")[::2] for one in said)

    def contents(self) -> Contents:
        """What is kept of the contents of all files."""
        found = Contents()
        for layer in self.layers:
            found.texts |= layer.contents.texts
            found.needs |= layer.contents.needs
        return found

    def tree(self) -> dict[str, tuple[Entry, int]]:
        """Path -> what stands there, and the number of the layer that it comes from."""
        found: dict[str, tuple[Entry, int]] = {}
        for number, layer in enumerate(self.layers):
            for path, entry in layer.entries:
                folder, _, name = path.rpartition("/")
                if name == OPAQUE:
                    _drop(found, folder, itself=False)
                elif name.startswith(GONE):
                    _drop(found, f"{folder}/{name.removeprefix(GONE)}")
                else:
                    if entry.kind != "folder" and path in found and found[path][0].kind == "folder":
                        _drop(found, path)
                    found[path] = entry, number
        return found


def find_image(name: str, engine: Engine) -> Image:
    """The image called `name`, with its layers' digests and nothing of them. Raises EngineError."""
    from docker.errors import ImageNotFound

    with engine_faults(f"looking at {name}"):
        try:
            config = engine.client.images.get(name).attrs
        except ImageNotFound as error:
            raise EngineError(f"the engine has no image {name}", hint="Build it first: invoke build") from error
    return Image(str(config["Id"]), tuple(Layer(str(one), []) for one in config["RootFS"]["Layers"]), config)


def read_layers(
    image: Image, engine: Engine, folder: Path, *, echo: Callable[[str], None] = lambda line: None
) -> Image:
    """The image with what is in its layers; those that were read before come from `folder`. Raises EngineError."""
    diff_ids = [layer.diff_id for layer in image.layers]
    known = {one: layer for one in dict.fromkeys(diff_ids) if (layer := _kept(folder, one)) is not None}
    if lacking := {one for one in diff_ids if one not in known}:
        echo(f"reading {len(lacking)} layers of {image.id}")
        for layer in _saved(image.id, engine, lacking, folder / "blobs"):
            keep(_place(folder, layer.diff_id), layer.entries)
            contents.keep(_place(folder, layer.diff_id, "contents"), layer.contents)
            known[layer.diff_id] = layer
    if gone := [one for one in diff_ids if one not in known]:
        raise EngineError(f"{image.id}: the engine hands out no layer {gone[0]}", hint="Is it whole? Build it again")
    return Image(image.id, tuple(known[one] for one in diff_ids), image.config)


def _kept(folder: Path, diff_id: str) -> Layer | None:
    entries, inside = kept(_place(folder, diff_id)), contents.kept(_place(folder, diff_id, "contents"))
    return Layer(diff_id, entries, inside) if entries is not None and inside is not None else None


def _place(folder: Path, diff_id: str, what: str = "layers") -> Path:
    return folder / what / f"{diff_id.removeprefix('sha256:')}.zst"


def _drop(found: dict[str, tuple[Entry, int]], path: str, *, itself: bool = True) -> None:
    for one in [one for one in found if one.startswith(f"{path}/") or (itself and one == path)]:
        del found[one]


def _saved(image: str, engine: Engine, wanted: set[str], names: Path) -> Iterator[Layer]:
    """Those layers of an image that are `wanted`, as `docker save` writes them.

    The engine names its files by the digests of layers as it keeps them, packed. In `names` stands which layer each
    was that was read before, so that those that are not wanted are passed over.
    """
    with saved_image(image, engine) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is None:
                continue
            blob = buffered(file)
            name = BLOB.fullmatch(member.name)
            if name is not None and (seen := _text(names / name[1])) and seen not in wanted:
                continue
            if member.size <= SMALL and blob.peek(1)[:1] in (b"{", b"["):
                continue  # JSON
            with closing(_Ahead(_unpacked(blob))) as layer:
                stream = io.BufferedReader(layer, SMALL)  # closes what it reads when nobody knows it any more
                entries, inside = contents.read(stream)
                layer.exhaust()
            diff_id = f"sha256:{layer.digest.hexdigest()}"
            if name is not None:
                write_whole(names / name[1], diff_id)
            if diff_id in wanted:
                yield Layer(diff_id, entries, inside)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


def _unpacked(blob: io.BufferedReader[Any]) -> IO[bytes]:
    head = blob.peek(4)[:4]
    if head == ZSTD:
        from backports import zstd

        return zstd.ZstdFile(blob)  # type: ignore[return-value]
    if head.startswith(GZIP):
        import gzip

        return gzip.GzipFile(fileobj=blob)  # type: ignore[return-value]
    return blob


class _Ahead(io.RawIOBase):
    """A file that another thread unpacks and hashes, ahead of whoever reads it here."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.pieces: Queue[bytes | Exception] = Queue(AHEAD)
        self.rest = memoryview(b"")
        self.given_up = Event()
        self.thread = Thread(target=self._work, daemon=True)
        self.thread.start()

    def readable(self) -> bool:
        return True

    def _work(self) -> None:
        try:
            while piece := self.file.read(SMALL):
                self.digest.update(piece)
                self._put(piece)
                if self.given_up.is_set():
                    return
            self._put(b"")
        except Exception as error:
            self._put(error)

    def _put(self, piece: bytes | Exception) -> None:
        while not self.given_up.is_set():
            with suppress(Full):
                self.pieces.put(piece, timeout=0.1)
                return

    def readinto(self, buffer: Any) -> int:
        if not self.rest:
            piece = self.pieces.get()
            if isinstance(piece, Exception) or not piece:
                self.pieces.put(piece)  # whoever asks again gets the same answer
                if isinstance(piece, Exception):
                    raise piece
                return 0
            self.rest = memoryview(piece)
        count = min(len(buffer), len(self.rest))
        buffer[:count] = self.rest[:count]
        self.rest = self.rest[count:]
        return count

    def exhaust(self) -> None:
        """Read what stands after the archive's end: it counts for the digest."""
        buffer = bytearray(SMALL)
        while self.readinto(buffer):
            pass

    def close(self) -> None:
        """Wait until the other thread is done with the file."""
        self.given_up.set()
        self.thread.join()
        super().close()
