"""What the checks of code-server have in common."""

from __future__ import annotations

from dsvm.checks.planned import EDITOR_NODE
from dsvm.model import Service
from image.harness import Image, source


def routes(image: Image, service: Service) -> str:
    """What editor_routes.js prints: its addresses and cookies as JSON, from code-server's own files."""
    words = ["env", "PASSWORD=not-used", EDITOR_NODE, "-e", source("editor_routes.js"), "--", *service.run[1:]]
    return image.run(words, shown="editor_routes.js").expect_success().output.splitlines()[-1]
