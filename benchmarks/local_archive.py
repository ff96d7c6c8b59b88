"""A package index and an apt archive on loopback, out of artefacts that the store holds."""

from __future__ import annotations

import hashlib
import html
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from dsvm.ecosystems import flat_archive
from dsvm.model import Pin
from dsvm.store import Store


def write_archive(folder: Path, wheels: Iterable[Pin], debs: Iterable[Pin], store: Store) -> None:
    """Fill `folder`: `simple/` is a package index, `apt/` a flat apt archive."""
    wheels = {pin.sha256: pin for pin in wheels}.values()
    files = folder / "files"
    store.tree(files, {pin.filename: pin.sha256 for pin in wheels})
    metadata = folder / "metadata"
    metadata.mkdir()
    for name in {pin.name for pin in wheels}:
        links = [_link(pin, files, metadata) for pin in wheels if pin.name == name]
        page = folder / "simple" / name / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text("<!DOCTYPE html>\n<html><body>\n" + "\n".join(links) + "\n</body></html>\n")
    flat_archive(folder / "apt", list({pin.sha256: pin for pin in debs}.values()), store)


def _link(pin: Pin, files: Path, metadata: Path) -> str:
    """A link as PEP 503 has it, with the metadata beside the wheel (PEP 658): installers need not fetch wheels
    in order to read what those require."""
    with zipfile.ZipFile(files / pin.filename) as wheel:
        (name,) = (name for name in wheel.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA"))
        data = wheel.read(name)
    (metadata / f"{pin.filename}.metadata").write_bytes(data)
    digest = f"sha256={hashlib.sha256(data).hexdigest()}"
    # not under the attribute's first name, data-dist-info-metadata: pip 23.0 takes GitPython's for another package's
    href = f"/files/{quote(pin.filename)}#sha256={pin.sha256}"
    return f'<a href="{href}" data-core-metadata="{digest}">{html.escape(pin.filename)}</a>'


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection for many files

    def translate_path(self, path: str) -> str:
        if path.startswith("/files/") and path.endswith(".metadata"):
            path = path.replace("/files/", "/metadata/", 1)
        return super().translate_path(path)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve `folder` on loopback; yields its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
