"""A package index on loopback: real wheels, and what pages say of them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass, field
from html import escape

from server import Resource, Server
from test_pypi import wheel


@dataclass
class PythonIndex:
    """The simple pages of one index below a folder of a server."""

    server: Server
    name: str = "simple"
    links: dict[str, list[str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.server.url}/{self.name}"

    def add(
        self, name: str, version: str, *requires: str, tag: str = "py3-none-any", python: str = "", yanked: bool = False
    ) -> None:
        """A wheel, for `python` alone or taken back again."""
        file, data = wheel(name, version, tag, requires)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            metadata = archive.read(f"{name}-{version}.dist-info/METADATA")
        # PEP 658: a solver need not fetch the wheel
        self.server.add(f"/{self.name}/files/{file}.metadata", Resource(metadata))
        self.server.add(f"/{self.name}/files/{file}", Resource(data))
        said = f' data-requires-python="{escape(python)}"' if python else ""
        said += ' data-yanked="broken"' if yanked else ""
        sha256 = hashlib.sha256(data).hexdigest()
        link = f'<a href="../files/{file}#sha256={sha256}"{said} data-core-metadata="true">{file}</a>'
        links = self.links.setdefault(name, [])
        links.append(link)
        page = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>"
        self.server.add(f"/{self.name}/{name}/", Resource(page.encode(), headers={"Content-Type": "text/html"}))

    def asked(self) -> list[str]:
        """Pages that were asked for by us, and not by a solver."""
        return [
            one.path
            for one in self.server.requests
            if one.path.startswith(f"/{self.name}/") and one.headers.get("user-agent") == "dsvm"
        ]
