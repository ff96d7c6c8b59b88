"""An image from the engine to a registry: each layer once, and only what is not there yet.

https://github.com/moby/docker-image-spec (what `docker save` writes). With the containerd image store the layers come
as they were built, and the image keeps its digest. An engine with a graph driver hands them out unpacked: they are
packed here, always in the same way, and the image is told by the digest of its config, which is its id there.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import posixpath
import re
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from dsvm.host import Engine, buffered, guarded, read_bounded, saved_image, scratch, write_whole
from dsvm.model import IMAGE, MOST_MANIFEST, Descriptor, EngineError, Manifest, digest_of_bytes, read_document
from dsvm.release.registry import AT_ONCE, Registry

ZSTD, GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
PACKING = 3  # level of zstd: with another one, or another version of it, layers would be sent again
PIECE = 1 << 20
MOST_TEXTS = 64 << 20  # bytes of all the small documents of one image
LARGE = 20_000_000  # bytes of a layer that is worth a line


@dataclass(frozen=True)
class Sent:
    """An image that is in a registry now; `sent` are the digests and bytes of what was not there before."""

    image: Descriptor
    manifest: Manifest
    sent: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes of the whole image, as it is pulled."""
        return sum(one.size for one in self.manifest.blobs)


def send_image(
    image: str, engine: Engine, registry: Registry, work: Path, note: Callable[[str], None] = lambda line: None
) -> Sent:
    """Send the image with the id `image`, by digest: no tag of the registry moves.

    `work` is a folder with room for a few layers; what is known of layers stays there. Raises RegistryError,
    EngineError, FileError.
    """
    if (there := _already(image, registry)) is not None:
        return there
    with guarded(work):
        work.mkdir(parents=True, exist_ok=True)
    with scratch("send", work) as folder:
        sending = _Sending(registry, folder, work / "packed", not engine.containerd_store, note)
        try:
            with saved_image(image, engine) as archive:
                for member in archive:
                    sending.take(member, archive)
            manifest, data = sending.finished(image)
        finally:
            sending.pool.shutdown(cancel_futures=True)
        return Sent(registry.put(manifest, data), manifest, sending.sent)


def _already(image: str, registry: Registry) -> Sent | None:
    """The image where the registry has it whole, under the digest that is its id."""
    found = registry.find(image)
    if found is None or not isinstance(found.document, Manifest):
        return None
    with ThreadPoolExecutor(AT_ONCE) as pool:
        whole = all(pool.map(lambda one: registry.has_blob(one.digest, one.size), found.document.blobs))
    return Sent(found.descriptor, found.document, {}) if whole else None


@dataclass
class _Sending:
    """The members of an archive, taken in the order in which they come."""

    registry: Registry
    folder: Path
    # where it is kept what a layer has become, by the digest of what it was
    packed: Path
    packs: bool
    note: Callable[[str], None]
    texts: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, Descriptor] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    unpacked: dict[str, str] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE))
    room: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(AT_ONCE))
    waiting: list[Future[None]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def take(self, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        name = posixpath.normpath(member.name)
        if member.issym():
            self.links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        file = archive.extractfile(member) if member.isfile() else None
        if file is None:
            return
        blob = buffered(file)
        if member.size <= MOST_MANIFEST and blob.peek(1)[:1] in (b"{", b"["):
            self.texts[name] = blob.read()
            if sum(map(len, self.texts.values())) > MOST_TEXTS:
                raise EngineError(f"what the engine hands out has more than {MOST_TEXTS >> 20} MiB of documents")
        elif name.startswith("blobs/sha256/"):
            self._take_blob(name, member.size, blob)
        elif name.endswith("layer.tar"):  # engines before 25
            self._pack(name, blob, None)
        for one in [one for one in self.waiting if one.done()]:
            self.waiting.remove(one)
            one.result()

    def _take_blob(self, name: str, size: int, blob: io.BufferedReader[Any]) -> None:
        digest = f"sha256:{name.rpartition('/')[2]}"
        head = blob.peek(4)[:4]
        kind = "+zstd" if head == ZSTD else "+gzip" if head.startswith(GZIP) else ""
        if self.packs and not kind:
            self._pack(name, blob, digest)
            return
        self.layers[name] = Descriptor(media_type=f"{LAYER}{kind}", digest=digest, size=size)
        if self.registry.has_blob(digest, size):
            return
        path, found = self._spooled(blob)
        if found != digest:
            raise EngineError(f"{digest}: damaged in the engine: it is {found}", hint="Build the image again")
        self._send(path, self.layers[name])

    def _pack(self, name: str, blob: io.BufferedReader[Any], digest: str | None) -> None:
        """Compress a layer on its way, unless the registry has what it became before."""
        from backports import zstd

        known = self._known(digest) if digest is not None else None
        if digest is not None and known is not None and self.registry.has_blob(known.digest, known.size):
            self.layers[name], self.unpacked[name] = known, digest
            return
        path = self._spool()
        plain = hashlib.sha256()
        with guarded(path), zstd.ZstdFile(path, "wb", level=PACKING) as target:
            while chunk := blob.read(PIECE):
                plain.update(chunk)
                target.write(chunk)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        layer = Descriptor(media_type=f"{LAYER}+zstd", digest=f"sha256:{found}", size=path.stat().st_size)
        self.layers[name], self.unpacked[name] = layer, f"sha256:{plain.hexdigest()}"
        if digest not in (None, self.unpacked[name]):
            raise EngineError(f"{digest}: damaged in the engine: it is {self.unpacked[name]}")
        write_whole(self.packed / f"{plain.hexdigest()}.json", layer.data)
        if self.registry.has_blob(layer.digest, layer.size):
            path.unlink()
        else:
            self._send(path, layer)

    def _known(self, digest: str) -> Descriptor | None:
        with suppress(OSError, ValueError):
            return Descriptor.model_validate_json(read_bounded(self.packed / f"{digest[7:]}.json", MOST_MANIFEST))
        return None

    def _spool(self) -> Path:
        return self.folder / f"layer-{next(self.numbers)}"

    def _spooled(self, blob: io.BufferedReader[Any]) -> tuple[Path, str]:
        """A file with what is in a member, and its digest."""
        path, digest = self._spool(), hashlib.sha256()
        with guarded(path), path.open("wb") as target:
            while chunk := blob.read(PIECE):
                digest.update(chunk)
                target.write(chunk)
        return path, f"sha256:{digest.hexdigest()}"

    def _send(self, path: Path, layer: Descriptor) -> None:
        """Send a file while the next ones are read; it goes when that is done."""

        def send() -> None:
            try:
                if self.registry.upload(path, layer.digest, layer.size):
                    self.sent[layer.digest] = layer.size
                    if layer.size >= LARGE:
                        self.note(f"release: sent {layer.size / 1e6:.0f} MB, {layer.digest[:19]}")
            finally:
                path.unlink(missing_ok=True)
                self.room.release()

        self.room.acquire()
        self.waiting.append(self.pool.submit(send))

    # --- at the end of the archive ------------------------------------------------------------------------

    def finished(self, image: str) -> tuple[Manifest, bytes]:
        """The manifest of the image once all its blobs are there, and its bytes."""
        for one in self.waiting:
            one.result()
        config, names = self._said(image)
        digest = digest_of_bytes(config)
        if self.registry.upload(config, digest, len(config)):
            self.sent[digest] = len(config)
        manifest, data = self._as_built(digest) or self._made(image, config, names)
        if image not in (digest, digest_of_bytes(data)):
            raise EngineError(f"{image}: the engine has handed out another image, {digest_of_bytes(data)}")
        return manifest, data

    def _said(self, image: str) -> tuple[bytes, list[str]]:
        """The config, and the names of the layers' members."""
        try:
            (said,) = json.loads(self.texts["manifest.json"])
            config = self.texts[posixpath.normpath(said["Config"])]
            names = [posixpath.normpath(one) for one in said["Layers"]]
            names = [self.links.get(one, one) for one in names]
            if lacking := [one for one in names if one not in self.layers]:
                raise KeyError(lacking[0])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineError(f"{image}: what the engine hands out is no image: {error}") from error
        return config, names

    def _as_built(self, config: str) -> tuple[Manifest, bytes] | None:
        """The manifest that the engine has, where every layer of it went as it is."""
        ours = {one.digest: one.size for one in self.layers.values()}
        for data in self.texts.values():
            try:
                found = read_document(data)
            except ValueError:
                continue
            if (
                isinstance(found, Manifest)
                and found.config.digest == config
                and all(ours.get(one.digest) == one.size for one in found.layers)
            ):
                return found, data
        return None

    def _made(self, image: str, config: bytes, names: list[str]) -> tuple[Manifest, bytes]:
        try:
            plain = json.loads(config)["rootfs"]["diff_ids"]
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"{image}: its config is none: {error}") from error
        if (
            len(names) != len(plain)
            or [self.unpacked.get(one, diff_id) for one, diff_id in zip(names, plain, strict=True)] != plain
        ):
            raise EngineError(f"{image}: its layers are not those of its config", hint="Build the image again")
        made = Manifest(
            media_type=IMAGE,
            config=Descriptor(media_type=CONFIG, digest=digest_of_bytes(config), size=len(config)),
            layers=tuple(self.layers[one] for one in names),
        )
        return made, made.data


def platform_of(config: bytes) -> dict[str, str]:
    """The platform that an image's config names, as an index says it."""
    try:
        said = json.loads(config)
        found = {key: said[key] for key in ("architecture", "os") if isinstance(said.get(key), str)}
    except (ValueError, TypeError, AttributeError):
        return {}
    return {key: value for key, value in found.items() if re.fullmatch(r"[a-z0-9]{1,32}", value)}
