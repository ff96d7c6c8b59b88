"""How a verification goes on, for people."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from dsvm.model import CheckResult, Outcome
from dsvm.screen.console import is_terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class ConsoleChecks:
    """Live counts on a terminal, a line for each check otherwise; failures show at once in both."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self.console = console or Console(stderr=True, highlight=False, force_terminal=is_terminal(sys.stderr))
        self.counts: Counter[Outcome] = Counter()
        self.bar: Progress | None = None

    def step(self, text: str) -> None:
        self.console.print(text, markup=False)

    def begin(self, total: int) -> None:
        if self.console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self.bar = Progress(
                TextColumn("Checking"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self.bar.start()
            self.bar.add_task("", total=total)

    def result(self, result: CheckResult) -> None:
        self.counts[result.outcome] += 1
        line = f"{result.outcome:<13} {result.tool}: {result.check} ({result.seconds:.1f} s)"
        if self.bar is None:
            self.console.print(line, markup=False, soft_wrap=True)
            return
        if result.outcome == "failed":
            self.bar.console.print(line, markup=False, style="red")
        failed = self.counts["failed"]
        said = f"{self.counts['passed']} passed, [{'red' if failed else 'default'}]{failed} failed[/]"
        self.bar.update(self.bar.task_ids[0], advance=1, description=said)

    def end(self) -> None:
        if self.bar is not None:
            self.bar.stop()
