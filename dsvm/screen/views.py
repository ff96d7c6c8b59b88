"""The views of a run on this terminal: live where it is one, plain lines elsewhere."""

from __future__ import annotations

from dsvm.screen.build import build_screen
from dsvm.screen.checks import ConsoleChecks
from dsvm.screen.fetch import fetch_progress
from dsvm.session import BuildView, CheckView
from dsvm.store import FetchView


class Terminal:
    """`dsvm.session.Views` on standard error."""

    def fetch(self) -> FetchView:
        return fetch_progress()

    def build(self, title: str) -> BuildView:
        return build_screen(title)

    def checks(self) -> CheckView:
        return ConsoleChecks()
