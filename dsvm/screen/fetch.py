"""How a fetch is going: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from dsvm.screen.console import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from dsvm.store import FetchView

WINDOW = 30.0  # seconds over which the rate is taken


def fetch_progress(stream: TextIO | None = None) -> FetchView:
    """A bar when `stream` (stderr) is a terminal, else a line every ten seconds."""
    stream = stream or sys.stderr
    return BarProgress(stream) if is_terminal(stream) else LineProgress(stream)


class BarProgress:
    """One bar for everything: bytes, rate, time left, files."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.bar: Bar | None = None
        self.task: TaskID
        self.files = 0

    def start(self, total_bytes: int, files: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self.files = files
        self.bar = Progress(
            TextColumn("fetch"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[done]}/{task.fields[files]} files"),
            console=Console(file=self.stream),
            expand=True,
            speed_estimate_period=WINDOW,
        )
        self.task = self.bar.add_task("fetch", total=total_bytes, done=0, files=files)
        self.bar.start()

    def advance(self, count: int) -> None:
        if self.bar is not None:
            self.bar.advance(self.task, count)

    def done_file(self, name: str) -> None:
        if self.bar is not None:
            self.bar.update(self.task, done=self.bar.tasks[0].fields["done"] + 1)

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


class LineProgress:
    """`fetch: 310 of 812 MB, 41 of 430 files, 24 MB/s, 0:21 left` every `interval` seconds and at the end."""

    def __init__(self, stream: TextIO, *, interval: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.interval, self.clock = stream, interval, clock
        self.total = self.files = self.bytes = self.done = 0
        self.last = 0.0
        self.samples: deque[tuple[float, int]] = deque()

    def start(self, total_bytes: int, files: int) -> None:
        self.total, self.files = total_bytes, files
        self.last = self.clock()
        self.samples.append((self.last, 0))

    def advance(self, count: int) -> None:
        self.bytes += count
        now = self.clock()
        if now - self.last >= self.interval:
            self.last = now
            self._line(now)

    def done_file(self, name: str) -> None:
        self.done += 1

    def stop(self) -> None:
        if self.samples:
            self._line(self.clock())

    def _line(self, now: float) -> None:
        self.samples.append((now, self.bytes))
        while len(self.samples) > 2 and now - self.samples[1][0] >= WINDOW:
            self.samples.popleft()
        then, before = self.samples[0]
        rate = (self.bytes - before) / max(now - then, 0.001)
        left = self.total - self.bytes
        time_left = ""
        if left > 0 and rate > 0:
            minutes, seconds = divmod(round(left / rate), 60)
            time_left = f", {minutes}:{seconds:02d} left"
        self.stream.write(
            f"fetch: {self.bytes / 1e6:.0f} of {self.total / 1e6:.0f} MB, {self.done} of {self.files} files, "
            f"{max(rate, 0) / 1e6:.{0 if rate >= 10e6 else 1}f} MB/s{time_left}\n"
        )
        self.stream.flush()
