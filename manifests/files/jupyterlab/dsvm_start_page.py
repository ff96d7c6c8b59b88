"""An extension of Jupyter's server: the page of `dsvm-info --html`, for whoever is logged in, at dsvm/start."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

PAGE = ("/usr/local/bin/dsvm-info", "--html")


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    place = url_path_join(server.web_app.settings["base_url"], "dsvm/start")
    server.web_app.add_handlers(".*$", [(place, StartPage)])


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
