"""A tree of winget manifests as the community repository has them, with installers that are just bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


class Tree:
    """`root` holds manifests/ and, beside it, the installers that the manifests name by URLs below `url`."""

    def __init__(self, root: Path, url: str | None = None) -> None:
        self.root = root
        self.url = url or root.as_uri()
        (root / "manifests").mkdir(parents=True, exist_ok=True)

    def file(self, name: str, content: bytes | None = None) -> tuple[str, str]:
        """URL and SHA-256 of an installer."""
        data = content if content is not None else f"installer {name}".encode()
        (self.root / name).write_bytes(data)
        return f"{self.url}/{name}", hashlib.sha256(data).hexdigest().upper()

    def installer(self, name: str, **fields: Any) -> dict[str, Any]:
        """An entry of Installers, for x64 unless it says otherwise."""
        url, sha256 = self.file(name)
        return {"Architecture": "x64", "InstallerUrl": url, "InstallerSha256": sha256, **fields}

    def folder(self, package: str, version: str) -> Path:
        return self.root.joinpath("manifests", package[0].lower(), *package.split("."), version)

    def add(self, package: str, version: str, *installers: Mapping[str, Any], **root: Any) -> Path:
        """The manifests of one version, in the three files of the repository; returns that of the installers."""
        folder = self.folder(package, version)
        folder.mkdir(parents=True)
        head = {"PackageIdentifier": package, "PackageVersion": version}
        files = {
            f"{package}.yaml": {**head, "DefaultLocale": "en-US", "ManifestType": "version"},
            f"{package}.locale.en-US.yaml": {**head, "PackageLocale": "en-US", "ManifestType": "defaultLocale"},
            f"{package}.installer.yaml": {**head, **root, "Installers": [*installers], "ManifestType": "installer"},
        }
        for name, content in files.items():
            text = yaml.safe_dump({**content, "ManifestVersion": "1.10.0"}, sort_keys=False)
            (folder / name).write_text(f"# Created by a test\n{text}")
        return folder / f"{package}.installer.yaml"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`folder` on a web server of loopback that lists its folders; yields the URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
