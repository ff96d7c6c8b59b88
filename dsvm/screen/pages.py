"""Pages that were written: where they are, and showing the first one in a browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from pathlib import Path

from dsvm.screen.console import echo, warn


def show_pages(paths: Sequence[Path], *, open: bool) -> None:
    """Say where pages are; `open` shows the only one of a variant, or else the overview, which comes last."""
    for path in paths:
        echo(f"{path}")
    shown = paths[0] if len(paths) == 2 else paths[-1]
    if open and not webbrowser.open(shown.as_uri()):
        warn(f"no browser was found: open {shown} in one")
