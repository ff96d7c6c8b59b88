"""BuildKit's events -> how far each stage of a build has come."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from dsvm.container.timings import Timing, Vertex, timings
from dsvm.host import redact
from dsvm.model import Plan, Stage
from dsvm.plan import machine_stages
from dsvm.session import BuildView, StageState

CACHES = ("importing cache", "exporting cache")  # how the names of vertices begin that stand for one


def stages_of(plan: Plan) -> tuple[Stage, ...]:
    """The stages that a build of `plan` runs: a machine's starts from the finished container image."""
    return plan.stages if plan.machine is None else machine_stages(plan)


class Written(Protocol):
    """Something that takes text: a log."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class BuildProgress:
    """BuildKit's events -> the state of each stage.

    https://github.com/moby/buildkit/blob/v0.13.1/client/graph.go (SolveStatus)
    """

    def __init__(self, plan: Plan, view: BuildView) -> None:
        stages = stages_of(plan)
        self.rows = {stage.name: stage.section for stage in stages}
        names = ["base", "artefacts", *self.rows.values(), "image", "export"]
        self.stages = {name: StageState(name) for name in names}
        # steps still to come
        self.left = Counter(stage.section for stage in stages for _ in stage.steps)
        self.view = view
        self.vertices: dict[str, Vertex] = {}
        self.times: dict[str, dict[str, tuple[float, float]]] = {}  # row -> vertex -> from when to when it ran
        self.ended: set[str] = set()
        self.from_cache: set[str] = set()
        self.logs: dict[str, list[str]] = {}
        self.failed: tuple[str, str] | None = None
        self.rest = ""
        self.cache_faults: list[str] = []  # what went wrong with caches in registries

    def follow(self, lines: Iterable[str], log: Written) -> None:
        for event in _events(lines, log, self):
            self._apply(event, log)
            self.view.update(self.stages)
        for stage in self.stages.values():
            if stage.state == "running":
                stage.state, stage.started = "failed" if self.failed else "done", None
        self.view.update(self.stages)

    @property
    def timings(self) -> tuple[Timing, ...]:
        """When each step ran."""
        return timings(self.vertices)

    def _apply(self, event: Mapping[str, Any], log: Written) -> None:
        for vertex in event.get("vertexes") or ():
            self._vertex(vertex, log)
        for status in event.get("statuses") or ():
            row = self._row_of(status["vertex"])
            if row == "artefacts" and status.get("current"):
                self.stages[row].detail = f"{status['current'] / 1e6:.0f} MB"
        for line in event.get("logs") or ():
            text = base64.b64decode(line["data"]).decode(errors="replace")
            row = self._row_of(line["vertex"])
            self.logs.setdefault(line["vertex"], []).append(text)
            log.write("".join(f"[{row}] {one}\n" for one in text.splitlines()))
            if row in self.stages and text.strip():
                self.stages[row].detail = text.strip().splitlines()[-1][:100]
        log.flush()

    def _row_of(self, digest: str) -> str:
        known = self.vertices.get(digest)
        return known.row if known is not None else ""

    def _vertex(self, vertex: Mapping[str, Any], log: Written) -> None:
        digest, name = vertex["digest"], vertex.get("name", "")
        row = _row(name)
        inputs = tuple(vertex.get("inputs") or ())
        known = self.vertices.setdefault(digest, Vertex(name, self.rows.get(row, row), inputs))
        row = known.row
        stage = self.stages.get(row)
        if error := vertex.get("error"):
            log.write(redact(f"[{row}] {name}: {error}\n"))
            if name.startswith(CACHES):
                self.cache_faults.append(_cache_fault(name, error))
                return
            if self.failed is None and "canceled" not in error:
                self.failed = (row, "".join(self.logs.get(digest, ())) or error)
            if stage is not None:
                stage.state = "failed"
            return
        if stage is None:
            return
        if vertex.get("cached"):
            self.from_cache.add(digest)
            stage.state = "cached" if stage.state in ("waiting", "cached") else stage.state
            if known.ran is None and vertex.get("completed"):
                known.ran, known.cached = (_seconds(vertex["started"]), _seconds(vertex["completed"])), True
            self._over(stage, digest)
        elif digest in self.from_cache:
            # its layers come from a registry's cache, now that something runs on top of them: nothing of it runs
            if vertex.get("completed"):
                self._over(stage, digest)
            elif vertex.get("started"):
                stage.running.add(digest)
                stage.started = stage.started or time.monotonic()
        elif vertex.get("completed"):
            # BuildKit looks at some vertices first and runs them later: they are completed twice
            begun, ended = _seconds(vertex["started"]), _seconds(vertex["completed"])
            times = self.times.setdefault(row, {})
            if digest not in times:
                log.write(f"[{row}] {name}: {ended - begun:.1f} s\n")
            times[digest] = max(times.get(digest, (0.0, 0.0)), (begun, ended), key=lambda one: one[1] - one[0])
            known.ran, known.cached = times[digest], False
            stage.seconds = _covered(times.values())
            stage.state = "running"
            self._over(stage, digest)
        elif vertex.get("started"):
            stage.running.add(digest)
            stage.state = "running"
            stage.started = stage.started or time.monotonic()
            if row == "export" and self.stages["image"].state == "running":
                self.stages["image"].state = "done"

    def _over(self, stage: StageState, digest: str) -> None:
        """A vertex has come to its end: the last one of a row ends the row."""
        stage.running.discard(digest)
        if not stage.running:
            stage.started = None
        if stage.name in self.left and digest not in self.ended:
            self.left[stage.name] -= 1
        self.ended.add(digest)
        # the image's own steps come in one after the other, all through the build
        to_come = self.left.get(stage.name, 0) > 0 or stage.name == "image"
        if stage.state == "running" and not stage.running and not to_come:
            stage.state = "done"


def _cache_fault(name: str, error: str) -> str:
    """What a user has to know of a cache that BuildKit could not read or write: the build goes on without."""
    said, place = redact(" ".join(error.split()))[:500], name.removeprefix("importing cache manifest from ")
    if place == name:
        return f"the cache is not written, so other machines make these layers again: {said}"
    if said.endswith(": not found"):
        return f"{place}: there is no cache yet"
    return f"{place}: the cache cannot be read, so nothing is taken from it: {said}"


def _row(name: str) -> str:
    """The row or the stage that a vertex belongs to, from names like '[env-base_3 1/2] RUN ...'."""
    if name.startswith("[context store-"):
        return "artefacts"
    if name.startswith(("[context base]", "[base ")):
        return "base"
    if name.startswith(("exporting", "unpacking")):
        return "export"
    if name.startswith("[") and not name.startswith(("[internal]", "[context")):
        return name[1:].split("]")[0].split(" ")[0]
    return ""


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _covered(intervals: Iterable[tuple[float, float]]) -> float:
    """How long it lasts that at least one of `intervals` does."""
    total, reached = 0.0, float("-inf")
    for begun, ended in sorted(intervals):
        total += max(ended - max(begun, reached), 0.0)
        reached = max(reached, ended)
    return total


def _events(lines: Iterable[str], log: Written, progress: BuildProgress) -> Iterator[Mapping[str, Any]]:
    """JSON objects of a stream, whether one stands on a line (new buildx) or on many (buildx 0.13)."""
    decoder = json.JSONDecoder()
    pending = ""
    for line in lines:
        if not pending and not line.lstrip().startswith("{"):
            log.write(line)
            progress.rest += line
            continue
        pending += line
        # buildx 0.13 ends an object with a bare brace; trying earlier would parse each object many times
        if not line.startswith(("}", "{")):
            continue
        try:
            event, end = decoder.raw_decode(pending)
        except json.JSONDecodeError:
            continue
        pending = pending[end:].lstrip()
        yield event
