"""Everything that rules look at, from the catalog or from a lock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from dsvm import ecosystems
from dsvm.catalog import Catalog, applicable, near
from dsvm.gate.asked import requirements, system_packages, texts_of
from dsvm.gate.cuda import Cuda
from dsvm.gate.locked import all_marks, env_sections, exactly, libraries, place_of, system_cuda
from dsvm.gate.parts import Part, locked_parts, promised_parts
from dsvm.gate.tables import Tables
from dsvm.lock import tools_of
from dsvm.model import Base, Compat, GpuRow, InputError, Lock, Row, Variant

_CUDNN = re.compile(r"^nvidia-cudnn(?:-cu\d+)?$")
# NVIDIA's system packages with the driver's branch in their name: nvidia-driver-550, nvidia-headless-580-server
_SYSTEM_DRIVER = re.compile(
    r"^(?:nvidia-(?:driver|headless|open|utils|kernel-source)|cuda-drivers)-(\d{3})(?:-[a-z]+)*$"
)
# Debian's own, which is numbered as the driver is
_DEBIAN_DRIVER = "nvidia-driver"


@dataclass(frozen=True)
class Bundled:
    """What a tool brings of NVIDIA's driver: all of it, or what goes with one version of it alone."""

    tool: str
    promised: int
    # of a lock, without what packagers add: 580.105.08
    version: str | None = None

    @property
    def branch(self) -> int:
        return int(self.version.split(".")[0]) if self.version else self.promised


@dataclass(frozen=True)
class Scene:
    """Everything that rules look at."""

    compat: Compat
    variant: Variant
    base: Base
    parts: tuple[Part, ...]
    locked: bool
    # of a lock: place -> package -> CUDA that it belongs to
    marks: Mapping[str, Mapping[str, Cuda]]
    # place -> package -> its versions
    cudnn: Mapping[str, Mapping[str, SpecifierSet]]
    # of a lock: NVIDIA's package that environments have in several versions -> version -> bytes, and who has it
    libraries: Mapping[str, Mapping[str, tuple[int, Sequence[str]]]]
    # (place, package) that a tool asks for by name -> the tool
    named: Mapping[tuple[str, str], str]
    # distribution packages of a lock that are CUDA or the driver
    system_cuda: tuple[str, ...]
    # tool -> all text of its source
    texts: Mapping[str, tuple[str, ...]]
    gpus: tuple[GpuRow, ...]
    driver: int | None
    bundled: tuple[Bundled, ...]
    today: date

    @property
    def gpu(self) -> bool:
        return self.variant.accelerator == "gpu"

    @property
    def drivers(self) -> Mapping[int, str]:
        """Driver branches that CUDA will meet, each with who says so: machines, and the image itself."""
        own = {one.branch: f"{one.tool} brings" for one in reversed(self.bundled)}
        return own | ({self.driver: "the machines have"} if self.driver is not None else {})

    def cite(self, *rows: Row) -> str:
        """The sources of rows with their dates, each once."""
        return "; ".join(dict.fromkeys(f"{self.compat.sources[row.source]}, {row.date}" for row in rows))


def make_scene(
    catalog: Catalog,
    variant: Variant,
    lock: Lock | None = None,
    *,
    left_out: Iterable[str] = (),
    gpus: Sequence[str] | None = None,
    driver: str | None = None,
    today: date | None = None,
) -> Scene:
    """What rules look at; `gpus` and `driver` in place of the variant's. InputError for a GPU that no row knows."""
    rows = {row.gpu: row for row in catalog.compat.gpus}
    asked = variant.gpus if gpus is None else gpus
    if unknown := [f"unknown GPU '{gpu}'{near(gpu, rows)}" for gpu in asked if gpu.lower() not in rows]:
        raise InputError(unknown, hint=f"Known: {', '.join(rows)}; a compat.yaml of your own can add more")
    chosen = list(_chosen(catalog, variant, lock, left_out))
    branch = driver or variant.driver
    if branch is not None and not re.fullmatch(r"\d{3,4}(\.\d+)*", branch):
        raise InputError(f"'{branch}' is no NVIDIA driver branch", hint="Write the branch or version: 580")
    base = catalog.bases[variant.base]
    tables = Tables(catalog.compat)
    cudnn: dict[str, dict[str, SpecifierSet]] = {}
    if lock is None:
        parts = [
            part
            for tool, env, source in chosen
            for part in promised_parts(tables, variant, base, tool, env, source, catalog.indexes.get(source.index))
        ]
        for _, env, source in chosen:
            for requirement in requirements(source):
                if _CUDNN.match(name := canonicalize_name(requirement.name)):
                    cudnn.setdefault(f"env-{env}", {})[name] = requirement.specifier
    else:
        parts = list(locked_parts(tables, base, lock, chosen))
        for section in env_sections(lock):
            found = {pin.name: exactly(pin) for pin in section.pins if _CUDNN.match(pin.name)}
            cudnn.setdefault(place_of(section), {}).update(found)
    return Scene(
        compat=catalog.compat,
        variant=variant,
        base=base,
        parts=tuple(parts),
        locked=lock is not None,
        marks=all_marks(lock) if lock is not None else {},
        cudnn=cudnn,
        libraries=libraries(lock) if lock is not None else {},
        named={
            (f"env-{env}", canonicalize_name(requirement.name)): tool
            for tool, env, source in chosen
            for requirement in requirements(source)
        },
        system_cuda=system_cuda(lock) if lock is not None else (),
        texts={tool: tuple(texts_of(source, catalog, base.base)) for tool, _, source in chosen},
        gpus=tuple(rows[gpu] for gpu in dict.fromkeys(map(str.lower, asked))),
        driver=int(branch.split(".")[0]) if branch is not None else None,
        bundled=tuple(_bundled(lock, chosen)) or tuple(_named(lock, chosen)),
        today=today or date.today(),
    )


def _bundled(lock: Lock | None, chosen: Iterable[tuple[str, str, Any]]) -> Iterator[Bundled]:
    """What tools bring of the driver: as their sources promise, and as it is locked."""
    for tool, _, source in chosen:
        if source.driver is None:
            continue
        ours = [ecosystems.get(name) for name in source.requests() if ecosystems.get(name).placement == "system"]
        names = [one.package(source.requests()[one.name]) for one in ours]
        sections = [section for section in lock.sections if tool in section.tools] if lock is not None else []
        pins = [pin for section in sections for name in names if (pin := section.pin(name)) is not None]
        versions = [match[0] for pin in pins if (match := re.search(r"\d{3,4}(\.\d+)+", pin.version))]
        yield Bundled(tool, int(source.driver.split(".")[0]), next(iter(versions), None))


def _named(lock: Lock | None, chosen: Iterable[tuple[str, str, Any]]) -> Iterator[Bundled]:
    """A driver that no source calls one, by the names of its packages."""
    branch = _own_driver(lock, chosen)
    if branch is not None:
        yield Bundled("the image", int(branch))


def _chosen(
    catalog: Catalog, variant: Variant, lock: Lock | None, left_out: Iterable[str]
) -> Iterator[tuple[str, str, Any]]:
    """(tool, its environment, source) as locked, or as the manifests prefer it."""
    places = {choice.tool: choice.source for choice in lock.choices} if lock is not None else None
    for tool in tools_of(catalog, variant, left_out):
        sources = dict(applicable(tool, variant, catalog.bases[variant.base]))
        place = next(iter(sources), None) if places is None else places.get(tool.tool)
        if place in sources:
            yield tool.tool, tool.env, sources[place]


def _own_driver(lock: Lock | None, chosen: Iterable[tuple[str, str, Any]]) -> str | None:
    """The branch of the driver that the image itself brings, the lowest of several; None when it brings none."""
    section = lock.section("system") if lock is not None else None
    if section is None:
        names = {name: "" for _, _, source in chosen for name in system_packages(source)}
    else:
        names = {pin.name: pin.version for pin in section.pins}
    branches = [match[1] for name in names if (match := _SYSTEM_DRIVER.match(name))]
    if match := re.match(r"(?:\d+:)?(\d{3})\.", names.get(_DEBIAN_DRIVER, "")):
        branches.append(match[1])
    return min(branches, default=None, key=int)
