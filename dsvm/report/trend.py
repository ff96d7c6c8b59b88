"""How size and time of the builds that are remembered went, as the points of a chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dsvm.container import Kept
from dsvm.report.words import day, duration, unsigned

WIDTH, HEIGHT = 560, 72  # units of the chart
LEAST = 2  # builds, for a line


@dataclass(frozen=True)
class Point:
    """One build."""

    x: float
    y: float
    title: str
    # whether its checks failed
    failed: bool


@dataclass(frozen=True)
class Chart:
    """One quantity over the builds, from zero to the largest."""

    name: str
    top: str
    last: str
    points: tuple[Point, ...]

    @property
    def line(self) -> str:
        """Points of an SVG polyline."""
        return " ".join(f"{one.x:g},{one.y:g}" for one in self.points)


def charts(builds: Sequence[Kept]) -> list[Chart]:
    """Size and time of builds, which come the last one first; none for fewer than two."""
    if len(builds) < LEAST:
        return []
    return [
        _chart("size of the image", builds, lambda one: one.built.size, lambda size: unsigned(round(size))),
        _chart("time to build", builds, lambda one: one.built.seconds, duration),
    ]


def _chart(name: str, builds: Sequence[Kept], value: Callable[[Kept], float], said: Callable[[float], str]) -> Chart:
    top = max(map(value, builds)) or 1
    points = [
        Point(
            x=round(WIDTH * number / (len(builds) - 1), 1),
            y=round(HEIGHT * (1 - value(one) / top), 1),
            title=f"{day(one.time)}: {said(value(one))}, lock {one.built.lock[:12]}",
            failed=bool(one.checks.get("failed")),
        )
        for number, one in enumerate(reversed(builds))
    ]
    return Chart(name, said(top), said(value(builds[0])), tuple(points))
