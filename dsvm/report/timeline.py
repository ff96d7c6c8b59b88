"""When the steps of a build ran, as bars beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsvm.container import Timing

# Names of the rows that are no sections of the lock
ROWS = {
    "base": "base",
    "artefacts": "artefacts read",
    "image": "layers joined",
    "export": "image exported",
}


@dataclass(frozen=True)
class Bar:
    """One step; places are in percent of the whole build."""

    left: float
    width: float
    cached: bool
    critical: bool
    title: str


@dataclass(frozen=True)
class Row:
    """The steps of one section."""

    name: str
    # in which one of them ran
    seconds: float
    # in which the build waited for it
    waited: float
    bars: tuple[Bar, ...]

    @property
    def state(self) -> str:
        """'cached' where nothing of it ran."""
        return "cached" if all(bar.cached for bar in self.bars) else "run"


@dataclass(frozen=True)
class Timeline:
    """A build."""

    seconds: float
    ticks: tuple[tuple[float, int], ...]
    rows: tuple[Row, ...]

    @property
    def waited_for(self) -> list[Row]:
        """What the build waited for, the longest first."""
        return sorted((row for row in self.rows if row.waited >= 1), key=lambda row: -row.waited)


def timeline(timings: Sequence[Timing]) -> Timeline | None:
    """The rows of a build in the order in which they began; None where nothing is known."""
    end = max((one.begun + one.seconds for one in timings), default=0.0)
    if end <= 0:
        return None
    by_row: dict[str, list[Timing]] = {}
    for one in sorted(timings, key=lambda one: one.begun):
        by_row.setdefault(one.row, []).append(one)
    rows = tuple(
        Row(
            name=ROWS.get(name, name),
            seconds=_covered(steps),
            waited=_covered([one for one in steps if one.critical]),
            bars=tuple(_bar(one, end) for one in steps),
        )
        for name, steps in by_row.items()
    )
    return Timeline(seconds=end, ticks=tuple(_ticks(end)), rows=rows)


def _bar(one: Timing, end: float) -> Bar:
    said = "from the cache" if one.cached else f"{one.seconds:.1f} s, from {one.begun:.1f} s on"
    return Bar(
        left=round(100 * one.begun / end, 2),
        width=round(100 * one.seconds / end, 2),
        cached=one.cached,
        critical=one.critical,
        title=f"{one.what}: {said}",
    )


def _covered(steps: Sequence[Timing]) -> float:
    """How long it lasts that at least one of them runs."""
    total, reached = 0.0, 0.0
    for one in sorted(steps, key=lambda one: one.begun):
        total += max(one.begun + one.seconds - max(one.begun, reached), 0.0)
        reached = max(reached, one.begun + one.seconds)
    return total


def _ticks(end: float) -> list[tuple[float, int]]:
    """Marks in percent, and their seconds: five or six whole numbers."""
    step = next((one for one in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if end / one <= 7), 1200)
    return [(round(100 * second / end, 2), second) for second in range(0, int(end) + 1, step)]
