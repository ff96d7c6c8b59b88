"""When each step of a build ran, and which steps the build had to wait for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field

from dsvm.model import Line, Model

SHORTEST = 0.05  # seconds: what took less and nobody waited for is not kept
LONGEST_NAME = 160  # characters


class Timing(Model):
    """One step of a build; seconds count from when the first one began."""

    row: Line = Field(description="what it is part of: a section, base, artefacts, image, export")
    what: Line = Field(description="as BuildKit names it, or the beginning of that")
    begun: float = Field(ge=0)
    seconds: float = Field(ge=0, description="how long it ran; 0 for what came from the cache")
    cached: bool = False
    critical: bool = Field(False, description="whether the build would have ended earlier without it")


@dataclass
class Vertex:
    """A step as BuildKit tells of it."""

    name: str
    row: str
    # digests of those that it waits for
    inputs: tuple[str, ...] = ()
    # when it ran, in seconds since 1970; None while it has not
    ran: tuple[float, float] | None = None
    cached: bool = False


def timings(vertices: Mapping[str, Vertex]) -> tuple[Timing, ...]:
    """Digest -> vertex, as far as they ran, in the order in which they began."""
    ran = {digest: one.ran for digest, one in vertices.items() if one.row and one.ran is not None}
    if not ran:
        return ()
    zero = min(begun for begun, _ in ran.values())
    waited_for = {*_critical(vertices, ran)}
    found = [
        Timing(
            row=vertices[digest].row,
            what="".join(one if one.isprintable() else " " for one in vertices[digest].name[:LONGEST_NAME]),
            begun=round(begun - zero, 2),
            seconds=0.0 if vertices[digest].cached else round(ended - begun, 2),
            cached=vertices[digest].cached,
            critical=digest in waited_for and not vertices[digest].cached,
        )
        for digest, (begun, ended) in ran.items()
        if digest in waited_for or vertices[digest].cached or ended - begun >= SHORTEST
    ]
    return tuple(sorted(found, key=lambda one: (one.begun, one.row, one.what)))


def _critical(vertices: Mapping[str, Vertex], ran: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """From the step that ended last, each time to the one of its inputs that ended last."""
    here: str | None = max(ran, key=lambda digest: ran[digest][1])
    seen: set[str] = set()
    while here is not None and here not in seen:
        seen.add(here)
        yield here
        here = _last(_before(here, vertices, ran), ran)


def _before(digest: str, vertices: Mapping[str, Vertex], ran: Mapping[str, tuple[float, float]]) -> list[str]:
    """What a step waited for: its inputs, of those that did not run theirs; an export waits for all."""
    if vertices[digest].row == "export":
        ended = [one for one, (_, end) in ran.items() if end <= ran[digest][0] and one != digest]
        return [one for one in ended if not vertices[one].cached] or ended
    found: list[str] = []
    waiting = [*vertices[digest].inputs]
    seen: set[str] = set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if one in ran and not vertices[one].cached:
            found.append(one)
        elif one in vertices:
            waiting += vertices[one].inputs
    return found


def _last(digests: Collection[str], ran: Mapping[str, tuple[float, float]]) -> str | None:
    return max(digests, key=lambda one: ran[one][1], default=None)
