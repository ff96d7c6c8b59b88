"""How long the steps of a night take, and how long they may."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from dsvm.model import StepTime


class BudgetSpent(Exception):
    """There is no time left for another trial."""


class Times:
    """Seconds by step, in the order in which they were first begun, and the time at which searching ends."""

    def __init__(self, end: float | None = None) -> None:
        """`end` is as time.monotonic() counts; None for no end."""
        self._seconds: dict[str, float] = {}
        self._end = end

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Count what happens inside to `step`."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._seconds[step] = self._seconds.get(step, 0.0) + time.monotonic() - begun

    def need_time(self) -> None:
        """Raise BudgetSpent when there is none left."""
        if self._end is not None and time.monotonic() > self._end:
            raise BudgetSpent

    @property
    def steps(self) -> tuple[StepTime, ...]:
        return tuple(StepTime(step=step, seconds=round(seconds, 1)) for step, seconds in self._seconds.items())
