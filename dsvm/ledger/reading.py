"""Small files of an image, read without running anything of it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dsvm.host import Engine, bounded, engine_faults
from dsvm.model import EngineError, Entry

if TYPE_CHECKING:
    from docker.models.containers import Container

MOST = 64 << 20  # bytes of an archive of small files


def contents(
    image: str, engine: Engine, tree: Mapping[str, tuple[Entry, int]], paths: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    """Path and content of the regular files at, or below, `paths` of an image, one after the other.

    What the engine hands out is compared with the tree. Raises EngineError when it is something else.
    """
    with _container(image, engine) as container:
        for path in paths:
            for inner, data in _files(container, path):
                place = f"{path.rpartition('/')[0]}/{inner}"
                entry = tree.get(place)
                if entry is None or hashlib.sha256(data).hexdigest() != entry[0].sha256:
                    raise EngineError(f"{image}: {place} is not what its layers have there")
                yield place, data


@contextmanager
def _container(image: str, engine: Engine) -> Iterator[Container]:
    """A container that never starts."""
    with engine_faults(f"reading files of {image}"):
        container = engine.client.containers.create(image, entrypoint=["/bin/true"], network_mode="none")
        try:
            yield container
        finally:
            container.remove(force=True)


def _files(container: Container, path: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the regular files of an archive of `path`, whose last part their names begin with."""
    from docker.errors import NotFound

    data = bytearray()
    try:
        for piece in container.get_archive(path)[0]:
            data += piece
            if len(data) > MOST:
                raise EngineError(f"{path} is larger than {MOST >> 20} MiB")
    except NotFound:
        return
    with tarfile.open(fileobj=io.BytesIO(bytes(data))) as tar:
        for member in bounded(tar):
            file = tar.extractfile(member) if member.isreg() else None
            if file is not None:
                yield member.name, file.read()
