"""An extension of Jupyter's server, for whoever is logged in: the page of `dsvm-info --html`, at dsvm/start.

Below dsvm/notebooks are the sample notebooks: whoever goes there gets a copy, and JupyterLab opens it.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async, url_path_join
from tornado import web

PAGE = ("/usr/local/bin/dsvm-info", "--html", "--links")
NOTEBOOKS = Path("/usr/local/share/dsvm/notebooks")
COPIES = "samples"  # a folder in that which the server shows


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    place = url_path_join(server.web_app.settings["base_url"], "dsvm")
    server.web_app.add_handlers(
        ".*$", [(f"{place}/start", StartPage), (rf"{place}/notebooks/([a-z0-9][a-z0-9-]*\.ipynb)", Sample)]
    )


class StartPage(JupyterHandler):
    """Made anew each time: GPUs come and go."""

    @property
    def content_security_policy(self) -> str:
        """The page loads nothing."""
        allowed = ("default-src 'none'", "style-src 'unsafe-inline'", "frame-ancestors 'self'")
        return "; ".join((*allowed, "base-uri 'none'", "form-action 'none'"))

    @web.authenticated
    async def get(self) -> None:
        program = await asyncio.create_subprocess_exec(*PAGE, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
        page, said = await program.communicate()
        if program.returncode:
            raise web.HTTPError(500, f"dsvm-info: {said.decode(errors='replace').strip()}")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(page)


class Sample(JupyterHandler):
    """A sample notebook, copied where its reader may change it; a copy that is there already stays as it is."""

    @web.authenticated
    async def get(self, name: str) -> None:
        files, copy = self.contents_manager, f"{COPIES}/{name}"
        if not await ensure_async(files.file_exists(copy)):
            try:
                content = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
            except FileNotFoundError:
                raise web.HTTPError(404, f"there is no sample notebook {name}") from None
            if not await ensure_async(files.dir_exists(COPIES)):
                await ensure_async(files.save({"type": "directory"}, COPIES))
            await ensure_async(files.save({"type": "notebook", "format": "json", "content": content}, copy))
        self.redirect(url_path_join(self.base_url, "lab/tree", copy))
