"""How a build shows itself: one live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from dsvm.screen.console import is_terminal
from dsvm.session import BuildView, StageState

if TYPE_CHECKING:
    from rich.table import Table

MARKS = {
    "waiting": "[dim]·[/]",
    "running": "[cyan]▶[/]",
    "done": "[green]✓[/]",
    "cached": "[green]=[/]",
    "failed": "[red]✗[/]",
}


def build_screen(title: str, stream: TextIO | None = None) -> BuildView:
    """A live table when `stream` (stderr by default) is a terminal, else lines."""
    stream = stream or sys.stderr
    return TableScreen(title, stream) if is_terminal(stream) else LineScreen(stream)


def elapsed(stage: StageState) -> float:
    """Seconds that a stage has run so far."""
    return stage.seconds + (time.monotonic() - stage.started if stage.started is not None else 0)


class TableScreen:
    """A table with one row for each stage, redrawn in place."""

    def __init__(self, title: str, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.title = title
        self.stages: Mapping[str, StageState] = {}
        self.begun = time.monotonic()
        self.live = Live(get_renderable=self._table, console=Console(file=stream), refresh_per_second=4)
        self.live.start()

    def update(self, stages: Mapping[str, StageState]) -> None:
        self.stages = stages

    def close(self) -> None:
        self.live.stop()

    def _table(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        total = time.monotonic() - self.begun
        table = Table(
            title=f"{escape(self.title)}  [dim]{total:.0f} s[/]", title_justify="left", box=None, pad_edge=False
        )
        table.add_column("", width=1)
        table.add_column("stage", no_wrap=True)
        table.add_column("state", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("", style="dim", no_wrap=True, overflow="ellipsis", ratio=1)
        for stage in self.stages.values():
            seconds = elapsed(stage)
            # between two of its steps a stage waits for other stages
            state = "waiting" if stage.state == "running" and stage.started is None else stage.state
            detail = escape(stage.detail) if state in ("running", "failed") else ""
            shown = f"{seconds:.1f} s" if seconds else ""
            table.add_row(MARKS[state], stage.name, state, shown, detail)
        return table


class LineScreen:
    """A line when a stage begins and when it ends; what begins again is not said again."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.said: set[tuple[str, str]] = set()

    def update(self, stages: Mapping[str, StageState]) -> None:
        for name, stage in stages.items():
            if stage.state != "waiting" and (name, stage.state) not in self.said:
                self.said.add((name, stage.state))
                after = f" after {stage.seconds:.1f} s" if stage.state in ("done", "failed") else ""
                print(f"build: {name}: {stage.state}{after}", file=self.stream, flush=True)

    def close(self) -> None:
        pass
