"""Files of images that are not running."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator

from dsvm.container import containers
from dsvm.host import Engine, engine_faults
from dsvm.model import MIB, EngineError

MOST = 16 * MIB


def read_file(image: str, path: str, engine: Engine) -> bytes | None:
    """A regular file of an image of at most 16 MiB, or None where it has none there. Nothing of the image runs.

    It takes a container that is never started, and is gone afterwards. Raises EngineError.
    """
    from docker.errors import NotFound

    name = f"dsvm-read-{secrets.token_hex(6)}"
    with engine_faults(f"reading {path} of {image}"):
        try:
            engine.client.api.create_container(image, command=["true"], name=name, network_disabled=True)
            stream, _ = engine.client.api.get_archive(name, path)
            packed = b"".join(_limited(stream, path))
        except NotFound:
            return None
        finally:
            containers.remove(name, engine)
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            member = tar.next()
            file = tar.extractfile(member) if member is not None and member.isfile() else None
            return file.read() if file is not None else None
    except tarfile.TarError as error:
        raise EngineError(f"{path} of {image} cannot be read: {error}") from error


def _limited(stream: Iterator[bytes], path: str) -> Iterator[bytes]:
    size = 0
    for part in stream:
        size += len(part)
        if size > MOST:
            raise EngineError(f"{path} is larger than {MOST // MIB} MiB")
        yield part
