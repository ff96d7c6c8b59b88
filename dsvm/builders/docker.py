"""Container images by BuildKit, through `docker buildx build`."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from dsvm.bases import archive
from dsvm.ecosystems import get
from dsvm.errors import BuildError, EngineError, ProgramError
from dsvm.files import Log, write_whole
from dsvm.model import Model, Plan, Section, Stage, canonical_json
from dsvm.render import context_name, files_context, machine_stages
from dsvm.run import run, stream, tail
from dsvm.store import Store

# Instructions whose history entries stand for no layer
METADATA = (
    "CMD",
    "ENTRYPOINT",
    "HEALTHCHECK",
    "USER",
    "EXPOSE",
    "LABEL",
    "ENV",
    "ARG",
    "STOPSIGNAL",
    "SHELL",
    "VOLUME",
)


class Layer(Model):
    """One layer of a built image and what it comes from."""

    stage: str
    digest: str
    size: int
    unreproducible: str | None = None


class Built(Model):
    """What a build gave; kept as build.json beside the log."""

    variant: str
    image: str
    plan: str
    lock: str
    seconds: float
    layers: tuple[Layer, ...]
    stages: dict[str, float]

    @property
    def size(self) -> int:
        """Bytes of all layers, uncompressed."""
        return sum(layer.size for layer in self.layers)


@dataclass
class StageState:
    """How far one row of the build has come. `seconds` is the time in which any of its steps ran."""

    name: str
    state: str = "waiting"
    seconds: float = 0.0
    started: float | None = None
    running: set[str] = field(default_factory=set)
    detail: str = ""


class Screen(Protocol):
    """Shows a build while it runs."""

    def update(self, stages: Mapping[str, StageState]) -> None: ...
    def close(self) -> None: ...


RUN = "run-"  # how the tags of runs begin


def image_name(variant: str, tag: str = "latest") -> str:
    return f"dsvm/{variant}:{tag}"


def run_tag() -> str:
    """The tag of an image while the run that builds it goes on: no other run has the same."""
    return f"{RUN}{secrets.token_hex(6)}"


def stores(plan: Plan) -> dict[str, dict[str, str]]:
    """Section -> {file name: sha256} for each section that a stage mounts."""
    files = {}
    for name, section in _mounted(plan).items():
        ecosystem = get(section.ecosystem)
        files[name] = {ecosystem.file_name(pin): pin.sha256 for pin in section.pins}
    return files


def _stages(plan: Plan) -> tuple[Stage, ...]:
    """The stages that a build of `plan` runs: a machine's starts from the finished container image."""
    return plan.stages if plan.machine is None else machine_stages(plan)


def _mounted(plan: Plan) -> dict[str, Section]:
    """The sections and parts of sections that steps read, by name."""
    known = {section.id: section for section in plan.sections}
    for section_id in {stage.section for stage in _stages(plan)}:
        section = known[section_id]
        known |= {part.id: part for part in get(section.ecosystem).parts(section)}
    wanted = {name for stage in _stages(plan) for step in stage.steps for name in step.sections}
    return {name: section for name, section in known.items() if name in wanted}


def prepare(plan: Plan, store: Store, folder: Path) -> dict[str, Path]:
    """Lay the build contexts out below `folder`, as hard links into the store; returns them by context name."""
    contexts = {files_context(plan): folder / "files", "scripts": folder / "scripts"}
    mounted = _mounted(plan)
    for name, files in stores(plan).items():
        place = folder / "store" / name
        described = folder / "sections" / f"{name}.json"
        write_whole(described, canonical_json(mounted[name]))
        sha256, _ = store.add(described)
        texts = {}
        for file, text in mounted[name].extra.get("texts", {}).items():
            # small files that an ecosystem wants to lie beside its pins
            write_whole(described.with_name(f"{name}.text"), text)
            texts[file], _ = store.add(described.with_name(f"{name}.text"))
        store.tree(place, {**files, **texts, "section.json": sha256})
        contexts[context_name(name)] = place
    return contexts


def build(
    plan: Plan,
    folder: Path,
    base: tuple[Path, str],
    store: Store,
    *,
    engine_env: Mapping[str, str],
    containerd_store: bool,
    screen: Screen,
    tag: str,
    builder: str | None = None,
    no_cache: bool = False,
    unpack: bool = True,
    revision: str | None = None,
) -> Built:
    """Build `plan`, rendered into `folder`, and give the image the tag `tag`.

    Without `unpack` the engine unpacks the image when a container of it starts for the first time.

    Raises BuildError (naming stage and log) when a stage fails, EngineError when the engine goes away.
    """
    meta = folder / "metadata.json"
    meta.unlink(missing_ok=True)
    image = image_name(plan.variant, tag)
    container_driver = builder is not None and driver(builder, engine_env) != "docker"
    kind = "type=docker" if container_driver else f"type=image,unpack={str(unpack).lower()}"
    options: list[str | Path] = [
        *(["--builder", builder] if builder else []),
        *(["--no-cache"] if no_cache else []),
        f"--build-context=base={_base_context(base, folder, engine_env, containerd_store or container_driver)}",
        # said beside the Dockerfile, which names what determines the image and nothing else
        *([f"--label=org.opencontainers.image.revision={revision}"] if revision else []),
        # gzip, the default, would take longer than the build
        f"--output={kind},name={image},compression=zstd,compression-level=1,oci-mediatypes=true",
        *("--metadata-file", meta),
    ]
    begun = time.monotonic()
    progress = _run(plan, folder, store, options, engine_env=engine_env, screen=screen)
    layers = _layers(plan, image, engine_env)
    built = Built(
        variant=plan.variant,
        image=str(json.loads(meta.read_text())["containerimage.digest"]),
        plan=plan.digest,
        lock=plan.lock_digest,
        seconds=round(time.monotonic() - begun, 1),
        layers=layers,
        stages={name: round(stage.seconds, 1) for name, stage in progress.stages.items()},
    )
    write_whole(folder / "build.json", canonical_json(built))
    return built


def _run(
    plan: Plan,
    folder: Path,
    store: Store,
    options: Sequence[str | Path],
    *,
    engine_env: Mapping[str, str],
    screen: Screen,
) -> Progress:
    """Run BuildKit over the Dockerfile in `folder`; its output is kept as build.log."""
    contexts = prepare(plan, store, folder)
    log = folder / "build.log"
    argv: list[str | Path] = [
        *("docker", "buildx", "build", "--progress=rawjson", "--provenance=false", "--sbom=false"),
        *("--platform", f"linux/{plan.base.arch}"),
        f"--build-arg=SOURCE_DATE_EPOCH={plan.epoch}",
        *(f"--build-context={name}={path}" for name, path in sorted(contexts.items())),
        *options,
        *("--file", folder / "Dockerfile", folder / "files"),
    ]
    progress = Progress(plan, screen)
    try:
        with Log(log) as file, stream(argv, env=engine_env) as (lines, wait):
            progress.follow(lines, file)
            code = wait()
    finally:
        screen.close()
    if code != 0:
        raise _failure(progress, log)
    return progress


def export_root(
    plan: Plan,
    folder: Path,
    base: tuple[Path, str],
    image: str,
    store: Store,
    root: Path,
    *,
    engine_env: Mapping[str, str],
    containerd_store: bool,
    screen: Screen,
    builder: str | None = None,
    no_cache: bool = False,
) -> None:
    """Build the files of a virtual machine on top of the container image `image`, and unpack them into `root`.

    Owners and extended attributes are kept, so this runs as root. Raises as `build` does.
    """
    packed = folder / "root.tar"
    options: list[str | Path] = [
        *(["--builder", builder] if builder else []),
        *(["--no-cache"] if no_cache else []),
        f"--build-context=base={_base_context(base, folder, engine_env, containerd_store)}",
        f"--build-context=image=docker-image://{image}",
        f"--output=type=tar,dest={packed}",
    ]
    try:
        _run(plan, folder, store, options, engine_env=engine_env, screen=screen)
        run(
            [
                *("tar", "--extract", "--file", packed, "--directory", root, "--numeric-owner"),
                *("--preserve-permissions", "--xattrs", "--xattrs-include=*", "--anchored", "--exclude=dsvm"),
            ],
            timeout=3600,
        )
    finally:
        packed.unlink(missing_ok=True)


def _base_context(base: tuple[Path, str], folder: Path, env: Mapping[str, str], layouts: bool) -> str:
    """The base as a build context: its layout, or an image of the engine where that builds from no layout.

    An engine with a graph driver knows no `oci-layout:` sources (Docker 26.1, overlay2).
    """
    layout, digest = base
    if layouts:
        return f"oci-layout://{layout}@{digest}"
    name = f"dsvm-base:{digest.removeprefix('sha256:')[:12]}"
    if run(["docker", "image", "inspect", name], env=env, check=False).returncode != 0:
        target = folder / "base.tar"
        archive(layout, digest, target, name=name)
        run(["docker", "load", "--input", target], env=env, timeout=600)
        target.unlink()
    return f"docker-image://{name}"


def driver(builder: str, env: Mapping[str, str]) -> str:
    """The driver of a buildx builder; EngineError when there is no such builder."""
    try:
        shown = run(["docker", "buildx", "inspect", builder], env=env, timeout=60).stdout
    except ProgramError as error:
        raise EngineError(f"no builder '{builder}'", hint="See: docker buildx ls") from error
    drivers = [line.split(":", 1)[1].strip() for line in shown.splitlines() if line.startswith("Driver:")]
    return drivers[0] if drivers else "docker"


def _failure(progress: Progress, log: Path) -> BuildError | EngineError:
    text = log.read_text(errors="replace")
    where = f"Full output: {log}"
    if "no space left on device" in text.lower():
        return BuildError("the engine's disk is full", hint=f"Make room (invoke clean, docker system prune). {where}")
    gone = (
        "error reading from server",
        "Cannot connect to the Docker daemon",
        "connection refused",
        "transport is closing",
    )
    if progress.failed is None and any(word in text for word in gone):
        return EngineError("the container engine went away during the build", hint=f"scripts/engine start. {where}")
    if progress.failed is None:
        return BuildError("the build failed:\n" + tail(progress.rest or text), hint=where)
    stage, output = progress.failed
    return BuildError(f"stage {stage} failed:\n{tail(output)}", hint=where)


def _layers(plan: Plan, image: str, env: Mapping[str, str]) -> tuple[Layer, ...]:
    """The layers of an image with the stages they come from; those below the system stage are the base's."""
    shown = json.loads(run(["docker", "image", "inspect", image], env=env).stdout)[0]
    digests = shown["RootFS"]["Layers"]
    entries = ["history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image]
    history = run(["docker", *entries], env=env).stdout.splitlines()
    # newest first; what only changes metadata has no layer
    made = [line.split("\t") for line in reversed(history)]
    sizes = [int(size) for size, by in made if not by.startswith(METADATA)]
    stages = {stage.name: stage for stage in plan.stages}
    owners = [plan.system] * len(stages[plan.system].steps)
    owners += ["workdir", *(stage.name for stage in plan.stages if stage.output), "files"]
    owners = ["base"] * (len(digests) - len(owners)) + owners
    if not len(sizes) == len(owners) == len(digests):  # an engine that counts in another way
        sizes, owners = [0] * len(digests), ["unknown"] * len(digests)
    reasons = {stage.name: stage.unreproducible for stage in plan.stages}
    return tuple(
        Layer(stage=owner, digest=digest, size=size, unreproducible=reasons.get(owner))
        for owner, digest, size in zip(owners, digests, sizes, strict=True)
    )


class Written(Protocol):
    """Something that takes text: a log."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class Progress:
    """BuildKit's events -> the state of each stage.

    https://github.com/moby/buildkit/blob/v0.13.1/client/graph.go (SolveStatus)
    """

    def __init__(self, plan: Plan, screen: Screen) -> None:
        stages = _stages(plan)
        self.rows = {stage.name: stage.section for stage in stages}
        names = ["base", "artefacts", *self.rows.values(), "image", "export"]
        self.stages = {name: StageState(name) for name in names}
        # steps still to come
        self.left = Counter(stage.section for stage in stages for _ in stage.steps)
        self.screen = screen
        self.vertices: dict[str, str] = {}
        self.times: dict[str, dict[str, tuple[float, float]]] = {}  # row -> vertex -> from when to when it ran
        self.ended: set[str] = set()
        self.logs: dict[str, list[str]] = {}
        self.failed: tuple[str, str] | None = None
        self.rest = ""

    def follow(self, lines: Iterable[str], log: Written) -> None:
        for event in _events(lines, log, self):
            self._apply(event, log)
            self.screen.update(self.stages)
        for stage in self.stages.values():
            if stage.state == "running":
                stage.state, stage.started = "failed" if self.failed else "done", None
        self.screen.update(self.stages)

    def _apply(self, event: Mapping[str, Any], log: Written) -> None:
        for vertex in event.get("vertexes") or ():
            self._vertex(vertex, log)
        for status in event.get("statuses") or ():
            row = self.vertices.get(status["vertex"])
            if row == "artefacts" and status.get("current"):
                self.stages[row].detail = f"{status['current'] / 1e6:.0f} MB"
        for line in event.get("logs") or ():
            text = base64.b64decode(line["data"]).decode(errors="replace")
            row = self.vertices.get(line["vertex"], "")
            self.logs.setdefault(line["vertex"], []).append(text)
            log.write("".join(f"[{row}] {one}\n" for one in text.splitlines()))
            if row in self.stages and text.strip():
                self.stages[row].detail = text.strip().splitlines()[-1][:100]
        log.flush()

    def _vertex(self, vertex: Mapping[str, Any], log: Written) -> None:
        digest, name = vertex["digest"], vertex.get("name", "")
        row = _row(name)
        row = self.vertices.setdefault(digest, self.rows.get(row, row))
        stage = self.stages.get(row)
        if error := vertex.get("error"):
            log.write(f"[{row}] {error}\n")
            if self.failed is None and "canceled" not in error:
                self.failed = (row, "".join(self.logs.get(digest, ())) or error)
            if stage is not None:
                stage.state = "failed"
            return
        if stage is None:
            return
        if vertex.get("cached"):
            stage.state = "cached" if stage.state in ("waiting", "cached") else stage.state
            self._over(stage, digest)
        elif vertex.get("completed"):
            # BuildKit looks at some vertices first and runs them later: they are completed twice
            begun, ended = _seconds(vertex["started"]), _seconds(vertex["completed"])
            times = self.times.setdefault(row, {})
            if digest not in times:
                log.write(f"[{row}] {name}: {ended - begun:.1f} s\n")
            times[digest] = max(times.get(digest, (0.0, 0.0)), (begun, ended), key=lambda one: one[1] - one[0])
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


def _events(lines: Iterable[str], log: Written, progress: Progress) -> Iterator[Mapping[str, Any]]:
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
