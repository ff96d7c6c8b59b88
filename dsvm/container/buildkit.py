"""Container images by BuildKit, through `docker buildx build`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dsvm.container.images import RUN, image_name, inspect, layers_with_sizes
from dsvm.container.layouts import archive
from dsvm.container.progress import BuildProgress, stages_of
from dsvm.container.timings import Timing
from dsvm.ecosystems import get
from dsvm.host import Engine, Log, engine_faults, run, stream, tail, write_whole
from dsvm.model import BuildError, EngineError, Model, Plan, Section, canonical_json
from dsvm.plan import context_name, files_context
from dsvm.session import NO_CACHES, BuildView, LayerCaches
from dsvm.store import Store

CACHE_HINT = 'Give its daemon.json {"features": {"containerd-snapshotter": true}}, or use a builder with another driver'


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
    timings: tuple[Timing, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all layers, uncompressed."""
        return sum(layer.size for layer in self.layers)


@dataclass(frozen=True)
class Recipe:
    """What BuildKit is told of an image, whichever program of buildx runs it. `folder` has the rendered plan."""

    plan: Plan
    folder: Path
    # name -> folder, or what else BuildKit takes
    contexts: Mapping[str, str | Path]
    caches: LayerCaches = NO_CACHES
    revision: str | None = None

    @property
    def layers(self) -> str:
        """How layers are compressed: a base made here too, to a third; one of a registry stays as that has it."""
        # gzip, the default, would take longer than the build
        options = "compression=zstd,compression-level=1,oci-mediatypes=true"
        return f"{options},force-compression=true" if self.plan.base_kind == "bootstrap" else options

    @property
    def arguments(self) -> dict[str, str]:
        return {"SOURCE_DATE_EPOCH": str(self.plan.epoch)}

    @property
    def labels(self) -> dict[str, str]:
        """Said beside the Dockerfile, which names what determines the image and nothing else."""
        return {"org.opencontainers.image.revision": self.revision} if self.revision else {}

    @property
    def imports(self) -> tuple[str, ...]:
        return self.caches.imports(self.plan.variant)

    @property
    def exports(self) -> tuple[str, ...]:
        return self.caches.exports(self.plan.variant, self.layers)

    def options(self, kind: str, image: str) -> list[str]:
        """For `buildx build`; the image goes to an output of this kind."""
        return [
            *(f"--build-arg={name}={value}" for name, value in self.arguments.items()),
            *(f"--label={name}={value}" for name, value in self.labels.items()),
            *(f"--cache-from={one}" for one in self.imports),
            *(f"--cache-to={one}" for one in self.exports),
            f"--output={kind},name={image},{self.layers}",
        ]

    def target(self, kind: str, image: str) -> dict[str, Any]:
        """The same for `buildx bake`: https://github.com/docker/buildx/blob/v0.13.1/docs/bake-reference.md"""
        return {
            "context": str(self.folder / "files"),
            "dockerfile": str(self.folder / "Dockerfile"),
            "contexts": {name: str(place) for name, place in sorted(self.contexts.items())},
            "args": self.arguments,
            "labels": self.labels,
            "platforms": [_platform(self.plan)],
            "attest": ["type=provenance,disabled=true", "type=sbom,disabled=true"],
            "cache-from": list(self.imports),
            "cache-to": list(self.exports),
            "output": [f"{kind},name={image},{self.layers}"],
        }


def _platform(plan: Plan) -> str:
    return f"linux/{plan.base.arch}"


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


def _mounted(plan: Plan) -> dict[str, Section]:
    """The sections and parts of sections that steps read, by name."""
    known = {section.id: section for section in plan.sections}
    for section_id in {stage.section for stage in stages_of(plan)}:
        section = known[section_id]
        known |= {part.id: part for part in get(section.ecosystem).parts(section)}
    wanted = {name for stage in stages_of(plan) for step in stage.steps for name in step.sections}
    return {name: section for name, section in known.items() if name in wanted}


def prepare(plan: Plan, store: Store, folder: Path) -> dict[str, Path]:
    """Lay the build contexts out below `folder`, as hard links into the store; returns them by context name."""
    contexts = {files_context(plan): folder / "files", "scripts": folder / "scripts"}
    mounted = _mounted(plan)
    for name, files in stores(plan).items():
        place = folder / "store" / name
        described = folder / "sections" / f"{name}.json"
        # No word of when or why its lock was made: a stage runs again for every byte that differs.
        read = mounted[name].model_dump(mode="json", exclude_none=True, include={"id", "ecosystem", "pins", "extra"})
        write_whole(described, canonical_json(read))
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
    engine: Engine,
    view: BuildView,
    warn: Callable[[str], None],
    tag: str,
    caches: LayerCaches = NO_CACHES,
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
    container_driver = builder is not None and driver(builder, engine) != "docker"
    if caches.target is not None and not (container_driver or engine.containerd_store):
        warn(f"{caches.target}: no cache is written: this engine keeps images where BuildKit writes none from")
        warn(CACHE_HINT)
        caches = replace(caches, target=None)
    kind = "type=docker" if container_driver else f"type=image,unpack={str(unpack).lower()}"
    contexts: dict[str, str | Path] = {
        **prepare(plan, store, folder),
        "base": _base_context(base, folder, engine, engine.containerd_store or container_driver),
    }
    options: list[str | Path] = [
        *(["--builder", builder] if builder else []),
        *(["--no-cache"] if no_cache else []),
        *Recipe(plan, folder, contexts, caches, revision).options(kind, image),
        *("--metadata-file", meta),
    ]
    begun = time.monotonic()
    progress = _run(plan, folder, contexts, options, engine=engine, view=view)
    for fault in progress.cache_faults:
        warn(fault)
    of_image = _layers(plan, image, engine)
    built = Built(
        variant=plan.variant,
        image=str(json.loads(meta.read_text())["containerimage.digest"]),
        plan=plan.digest,
        lock=plan.lock_digest,
        seconds=round(time.monotonic() - begun, 1),
        layers=of_image,
        stages={name: round(stage.seconds, 1) for name, stage in progress.stages.items()},
        timings=progress.timings,
    )
    write_whole(folder / "build.json", canonical_json(built))
    return built


def _run(
    plan: Plan,
    folder: Path,
    contexts: Mapping[str, str | Path],
    options: Sequence[str | Path],
    *,
    engine: Engine,
    view: BuildView,
) -> BuildProgress:
    """Run BuildKit over the Dockerfile in `folder`; its output is kept as build.log."""
    log = folder / "build.log"
    argv: list[str | Path] = [
        *("docker", "buildx", "build", "--progress=rawjson", "--provenance=false", "--sbom=false"),
        *("--platform", _platform(plan)),
        *(f"--build-context={name}={path}" for name, path in sorted(contexts.items())),
        *options,
        *("--file", folder / "Dockerfile", folder / "files"),
    ]
    progress = BuildProgress(plan, view)
    try:
        with Log(log) as file, stream(argv, env=engine.env) as (lines, wait):
            progress.follow(lines, file)
            code = wait()
    finally:
        view.close()
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
    engine: Engine,
    view: BuildView,
    builder: str | None = None,
    no_cache: bool = False,
) -> None:
    """Build the files of a virtual machine on top of the container image `image`, and unpack them into `root`.

    Owners and extended attributes are kept, so this runs as root. Raises as `build` does.
    """
    packed = folder / "root.tar"
    contexts: dict[str, str | Path] = {
        **prepare(plan, store, folder),
        "base": _base_context(base, folder, engine, engine.containerd_store),
        "image": f"docker-image://{image}",
    }
    options: list[str | Path] = [
        *(["--builder", builder] if builder else []),
        *(["--no-cache"] if no_cache else []),
        f"--output=type=tar,dest={packed}",
    ]
    try:
        _run(plan, folder, contexts, options, engine=engine, view=view)
        run(
            [
                *("tar", "--extract", "--file", packed, "--directory", root, "--numeric-owner"),
                *("--preserve-permissions", "--xattrs", "--xattrs-include=*", "--anchored", "--exclude=dsvm"),
            ],
            timeout=3600,
        )
        # what BuildKit has made itself: told of the epoch it would give that time to all files, and byte code was stale
        later = ["-newermt", f"@{plan.epoch}", "-exec", "touch", "--no-dereference", f"--date=@{plan.epoch}", "{}", "+"]
        run(["find", root, *later], timeout=3600)
    finally:
        packed.unlink(missing_ok=True)


def _base_context(base: tuple[Path, str], folder: Path, engine: Engine, layouts: bool) -> str:
    """The base as a build context: its layout, or an image of the engine where that builds from no layout.

    An engine with a graph driver knows no `oci-layout:` sources (Docker 26.1, overlay2).
    """
    layout, digest = base
    if layouts:
        return f"oci-layout://{layout}@{digest}"
    name = f"dsvm-base:{digest.removeprefix('sha256:')[:12]}"
    if inspect(name, engine) is None:
        target = folder / "base.tar"
        archive(layout, digest, target, name=name)
        with engine_faults(f"loading {name}"), target.open("rb") as packed:
            engine.client.images.load(packed)
        target.unlink()
    return f"docker-image://{name}"


def driver(builder: str, engine: Engine) -> str:
    """The driver of a buildx builder, which is one whose images come to `engine`.

    Raises EngineError when there is no such builder, none of its nodes answers, or it is another engine.
    """
    shown = run(["docker", "buildx", "ls", "--format", "json"], env=engine.env, timeout=60).stdout
    known = {str(one["Name"]): one for one in map(json.loads, shown.splitlines())}
    if builder not in known:
        raise EngineError(f"no builder '{builder}'", hint="See: docker buildx ls")
    kind, nodes = str(known[builder]["Driver"]), known[builder].get("Nodes") or ()
    places = [str(node["Endpoint"]) for node in nodes if node.get("Endpoint")]
    # buildx starts the nodes of its own drivers when it needs them; those of others it waits for
    silent = kind == "remote" and nodes and all(node.get("Status") != "running" for node in nodes)
    if silent or not kind:  # the engine of a context that does not answer has no driver
        where = ", ".join(places) or _engine_at(engine, builder)
        raise EngineError(f"builder '{builder}' does not answer at {where}", hint="Is BuildKit up there?")
    if kind == "docker" and (other := _engine_at(engine, *places[:1])) != _engine_at(engine):
        raise EngineError(
            f"builder '{builder}' is the engine at {other}, and what it builds stays there",
            hint=f"Build with that engine (DOCKER_HOST={other}), or by a builder of another driver",
        )
    return kind


def _engine_at(engine: Engine, *context: str) -> str:
    """The address of the engine that a context of docker's names, or of the one in use."""
    asked = ["docker", "context", "inspect", *context, "--format", "{{.Endpoints.docker.Host}}"]
    return run(asked, env=engine.env, timeout=60).stdout.strip()


def _failure(progress: BuildProgress, log: Path) -> BuildError | EngineError:
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
    return BuildError(f"stage {stage} failed:\n{tail(output)}", hint=where, stage=stage)


def _layers(plan: Plan, image: str, engine: Engine) -> tuple[Layer, ...]:
    """The layers of an image with the stages they come from; those below the system stage are the base's."""
    digests, sizes = layers_with_sizes(image, engine)
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
