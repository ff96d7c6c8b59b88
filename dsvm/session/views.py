"""How a fetch, a build and a verification go on: what a step tells, for whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dsvm.model import CheckResult
from dsvm.store import FetchView


@dataclass
class StageState:
    """How far one row of the build has come. `seconds` is the time in which any of its steps ran."""

    name: str
    state: str = "waiting"
    seconds: float = 0.0
    started: float | None = None
    running: set[str] = field(default_factory=set)
    detail: str = ""


class BuildView(Protocol):
    """Shows a build while it runs."""

    def update(self, stages: Mapping[str, StageState]) -> None: ...
    def close(self) -> None: ...


class CheckView(Protocol):
    """Shows a verification while it runs."""

    def step(self, text: str) -> None: ...

    def begin(self, total: int) -> None: ...

    def result(self, result: CheckResult) -> None: ...

    def end(self) -> None: ...


class Views(Protocol):
    """Where each step shows how it goes on."""

    def fetch(self) -> FetchView: ...

    def build(self, title: str) -> BuildView: ...

    def checks(self) -> CheckView: ...


class Silent:
    """Views that show nothing."""

    def fetch(self) -> FetchView:
        return _Nothing()

    def build(self, title: str) -> BuildView:
        return _Nothing()

    def checks(self) -> CheckView:
        return _Nothing()


class _Nothing:
    """A view of every kind."""

    def start(self, total_bytes: int, files: int) -> None: ...

    def advance(self, count: int) -> None: ...

    def done_file(self, name: str) -> None: ...

    def stop(self) -> None: ...

    def update(self, stages: Mapping[str, StageState]) -> None: ...

    def close(self) -> None: ...

    def step(self, text: str) -> None: ...

    def begin(self, total: int) -> None: ...

    def result(self, result: CheckResult) -> None: ...

    def end(self) -> None: ...
