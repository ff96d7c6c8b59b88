"""The gate: driver, CUDA, frameworks, Python, system and GPUs of a variant, judged before anything is downloaded.

Before there is a lock it judges what the manifests promise, with a lock what the pins say. A rule is a function from
a `Scene` to findings; its docstring is what people read about it. Nothing here reads a file or the network: the data
are the rows of compat.yaml. What no row speaks about is not refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from dsvm import ecosystems
from dsvm.catalog import Catalog, near
from dsvm.errors import InputError, PolicyError
from dsvm.lock import applicable, tools_of
from dsvm.model import (
    Base,
    Compat,
    EndRow,
    FrameworkRow,
    GpuRow,
    Index,
    Lock,
    Model,
    ModulesRow,
    Pin,
    Row,
    Section,
    Variant,
)

# A CUDA version as far as it is known: (13, 0), or (12,) where only the major version is
Cuda = tuple[int, ...]
Level = Literal["ok", "not checked", "warning", "error"]

# nvidia-nccl-cu12, jax-cuda13-plugin, cupy-cuda12x: the major version stands in the name
_MAJOR_IN_NAME = re.compile(r"-cu(?:da)?(\d{2})x?(?:-plugin|-pjrt)?$")
# these are numbered as CUDA itself is, whatever their name ends in
_NUMBERED_AS_CUDA = re.compile(r"^(?:nvidia-cuda-(?:runtime|nvrtc|nvcc|cupti)(?:-cu\d+)?|cuda-(?:toolkit|version))$")
_CUDNN = re.compile(r"^nvidia-cudnn(?:-cu\d+)?$")
_LOCAL = re.compile(r"^cu(\d{2})(\d)$")
# packages with the compiler
_COMPILER = re.compile(r"\bcuda-(?:toolkit|nvcc|compiler)\b")
# NVIDIA's system packages with CUDA's version in their name: cuda-toolkit-13-0, libcublas-12-9, libcudnn9-cuda-13
_SYSTEM_VERSION = re.compile(
    r"^(?:(?!cuda-compat)cuda|lib(?:cu|npp|nv)[a-z]*)(?:-[a-z]+)*-(\d{2})-(\d{1,2})$|^lib[a-z]+\d*(?:-[a-z]+)*-cuda-(\d{2})$"
)
# and with the driver's branch: nvidia-driver-550, nvidia-headless-580-server, cuda-drivers-580
_SYSTEM_DRIVER = re.compile(
    r"^(?:nvidia-(?:driver|headless|open|utils|kernel-source)|cuda-drivers)-(\d{3})(?:-[a-z]+)*$"
)
# Debian's own, which are numbered as CUDA and the driver are
_DEBIAN_TOOLKIT, _DEBIAN_DRIVER = "nvidia-cuda-toolkit", "nvidia-driver"
# distribution packages that are CUDA or the driver
_SYSTEM_CUDA = re.compile(r"^(?:cuda-(?:toolkit|libraries|drivers)|libcudart|libcublas|libcudnn|libnccl|nvidia-)")


ANY = SpecifierSet()


@dataclass(frozen=True)
class Finding:
    """What one rule found on one thing. `why` names the row with its source, `remedy` what to do."""

    rule: str
    level: Level
    what: str
    why: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Part:
    """One package of one tool, or a tool that promises CUDA: what rules compare with rows."""

    tool: str
    place: str  # env-NAME, system, or TOOL-ECOSYSTEM for a tool with a prefix of its own
    package: str | None = None
    versions: SpecifierSet = ANY
    # what speaks for versions that may be chosen, the oldest first; None for versions without a row
    spoken: tuple[FrameworkRow | None, ...] = ()
    python: str | None = None
    promised: Cuda | None = None
    # what it may carry: any of these; none at all when empty; not known when None
    cuda: frozenset[Cuda] | None = frozenset()

    @property
    def name(self) -> str:
        """For messages: 'pytorch (torch ~=2.13)', or 'jax ==0.12.0' where tool and package have one name."""
        asked = f"{self.package or ''} {self.versions}".strip()
        return (
            asked if self.package in (None, self.tool) and asked else f"{self.tool} ({asked})" if asked else self.tool
        )

    @property
    def rows(self) -> tuple[FrameworkRow, ...]:
        return tuple(row for row in self.spoken if row is not None)

    @property
    def newest_known(self) -> bool:
        """Whether a row speaks for the newest version that this Python can have: the one that a solver prefers."""
        fitting = [row for row in self.spoken if row is None or self.python is None or _fits(row, self.python)]
        return (fitting or [*self.spoken, None])[-1] is not None

    @property
    def usable(self) -> tuple[FrameworkRow, ...]:
        """The rows for versions that this Python can have; all of them where it can have none."""
        if self.python is None:
            return self.rows
        return tuple(row for row in self.rows if _fits(row, self.python)) or self.rows


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


Rule = Callable[[Scene], Iterator[Finding]]


# --- the scene ---------------------------------------------------------------------------------------------


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
    tables = _Tables(catalog.compat)
    cudnn: dict[str, dict[str, SpecifierSet]] = {}
    if lock is None:
        parts = [
            part
            for tool, env, source in chosen
            for part in _promised(tables, variant, base, tool, env, source, catalog.indexes.get(source.index))
        ]
        for _, env, source in chosen:
            for requirement in _requirements(source):
                if _CUDNN.match(name := canonicalize_name(requirement.name)):
                    cudnn.setdefault(f"env-{env}", {})[name] = requirement.specifier
    else:
        parts = list(_pinned(tables, base, lock, chosen))
        for section in _envs(lock):
            found = {pin.name: _exactly(pin) for pin in section.pins if _CUDNN.match(pin.name)}
            cudnn.setdefault(_place(section), {}).update(found)
    return Scene(
        compat=catalog.compat,
        variant=variant,
        base=base,
        parts=tuple(parts),
        locked=lock is not None,
        marks=_all_marks(lock) if lock is not None else {},
        cudnn=cudnn,
        system_cuda=_system_cuda(lock) if lock is not None else (),
        texts={tool: tuple(_texts(source, catalog, base.base)) for tool, _, source in chosen},
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


class _Tables:
    """Framework rows by package, each with the range of versions that it speaks for, and the gaps between them."""

    def __init__(self, compat: Compat) -> None:
        self.cuda = compat.cuda
        self.spans: dict[str, list[tuple[SpecifierSet, FrameworkRow | None]]] = {}
        by_package: dict[str, list[FrameworkRow]] = {}
        for row in compat.frameworks:
            by_package.setdefault(canonicalize_name(row.package), []).append(row)
        for package, rows in by_package.items():
            rows.sort(key=lambda row: Version(row.since))
            spans = self.spans[package] = [(SpecifierSet(f"<{rows[0].since}"), None)]
            for row, following in zip(rows, [*rows[1:], None], strict=True):
                following_since = following.since if following else None
                end = _earlier(row.before, following_since)
                spans.append((SpecifierSet(f">={row.since}" + (f",<{end}" if end else "")), row))
                if end != following_since:
                    until = f",<{following_since}" if following_since else ""
                    spans.append((SpecifierSet(f">={end}{until}"), None))

    def find(self, package: str, versions: SpecifierSet) -> tuple[FrameworkRow | None, ...]:
        """What speaks for the versions that `versions` allows, the oldest first; None for those without a row."""
        try:
            return tuple(row for span, row in self.spans[package] if not versions.is_disjoint(span))
        except ValueError:  # `===` compares text, which has no ranges
            return (None,)


def _earlier(one: str | None, other: str | None) -> str | None:
    given = [text for text in (one, other) if text is not None]
    return min(given, key=Version, default=None)


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


def _requirements(source: Any) -> Iterator[Requirement]:
    """Python requirements of a source; what is written in another form is passed over."""
    for name, request in source.requests().items():
        if ecosystems.get(name).placement == "env":
            for text in _strings(request):
                try:
                    yield Requirement(text)
                except InvalidRequirement:
                    continue


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, Model):
        value = value.model_dump(mode="json")
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _texts(source: Any, catalog: Catalog, base: str) -> Iterator[str]:
    """All text of a source, with that of the index it names and the place of its repository for a base."""
    yield from _strings(source)
    if source.index in catalog.indexes:
        yield from _strings(catalog.indexes[source.index])
    repository = catalog.repositories.get(source.repository)
    if repository is not None and repository.uri is not None:
        place = repository.place(base)
        yield f"{repository.uri.rstrip('/')}/{place.path}" if place is not None else repository.uri


def _promised(
    tables: _Tables, variant: Variant, base: Base, tool: str, env: str, source: Any, index: Index | None
) -> Iterator[Part]:
    """Parts of a source that is not locked yet."""
    promised = _cuda(source.cuda) if source.cuda else None
    place = _place_of(tool, env, source)
    own = any(
        ecosystems.get(name).placement == "env" and "python" in ecosystems.get(name).runtimes
        for name in source.requests()
    )
    python = (base.python or None) if own else None
    parts = []
    for requirement in _requirements(source):
        package = canonicalize_name(requirement.name)
        told = _told(tables, requirement, index)
        known = package in tables.spans
        if not known and (told is None or promised is not None):
            continue
        spoken = tables.find(package, requirement.specifier) if known else ()
        part = Part(
            tool, place, package, requirement.specifier, spoken, python if known else None, promised or told
        )  # fmt: skip
        cuda: frozenset[Cuda] | None = frozenset()
        if variant.accelerator == "gpu":
            if told is not None:
                cuda = frozenset({told})
            elif promised is not None and (not part.newest_known or _offers(part.rows, None)):
                cuda = frozenset({promised})
            else:
                cuda = _offers(part.usable, requirement.extras) if part.newest_known else None
        parts.append(replace(part, cuda=cuda))
    yield from parts
    promises = {promised} if promised is not None else {*_system_versions(_system_packages(source)).values()}
    for one in sorted(promises) if not any(part.cuda for part in parts) else ():
        yield Part(tool, place, promised=one, cuda=frozenset({one}))


def _told(tables: _Tables, requirement: Requirement, index: Index | None) -> Cuda | None:
    """The CUDA version that a requirement itself tells: by a local label (its own, or its index's), name or number."""
    name = canonicalize_name(requirement.name)
    labels = [one.version.partition("+")[2] for one in requirement.specifier]
    labels += [index.local] if index is not None and index.local is not None and name in index.packages else []
    if label := next((found for label in labels if (found := _LOCAL.match(label))), None):
        return int(label[1]), int(label[2])
    if _NUMBERED_AS_CUDA.match(name):
        majors = [
            row.cuda
            for row in tables.cuda
            if requirement.specifier and not requirement.specifier.is_disjoint(_major(row.cuda))
        ]
        return (majors[0],) if len(majors) == 1 else None
    named = _MAJOR_IN_NAME.search(name)
    return (int(named[1]),) if named else None


def _major(number: int) -> SpecifierSet:
    """All versions of one major version."""
    return SpecifierSet(f">={number},<{number + 1}")


def _system_packages(source: Any) -> Iterator[str]:
    """Names of the system packages that a source asks for, and other text beside them."""
    for name, request in source.requests().items():
        if ecosystems.get(name).placement == "system":
            yield from _strings(request)


def _system_versions(names: Iterable[str]) -> dict[str, Cuda]:
    """System package -> the CUDA version in its name."""
    found: dict[str, Cuda] = {}
    for name in names:
        if match := _SYSTEM_VERSION.match(name):
            found[name] = (int(match[1]), int(match[2])) if match[1] else (int(match[3]),)
    return found


def _own_driver(lock: Lock | None, chosen: Iterable[tuple[str, str, Any]]) -> str | None:
    """The branch of the driver that the image itself brings, the lowest of several; None when it brings none."""
    section = lock.section("system") if lock is not None else None
    if section is None:
        names = {name: "" for _, _, source in chosen for name in _system_packages(source)}
    else:
        names = {pin.name: pin.version for pin in section.pins}
    branches = [match[1] for name in names if (match := _SYSTEM_DRIVER.match(name))]
    if match := re.match(r"(?:\d+:)?(\d{3})\.", names.get(_DEBIAN_DRIVER, "")):
        branches.append(match[1])
    return min(branches, default=None, key=int)


def _pinned(tables: _Tables, base: Base, lock: Lock, chosen: Sequence[tuple[str, str, Any]]) -> Iterator[Part]:
    """Parts of a lock: every pin that rows know, whoever asked for it, then promises of what is no such pin."""
    promises = {tool: _cuda(source.cuda) for tool, _, source in chosen if source.cuda}
    asked = {
        (f"env-{env}", canonicalize_name(requirement.name)): (tool, requirement.extras)
        for tool, env, source in chosen
        for requirement in _requirements(source)
    }
    kept: set[str] = set()
    parts: list[Part] = []
    for section in _envs(lock):
        place = _place(section)
        present = marks(section.pins)
        runtime = section.pin("python")
        python = runtime.version if runtime is not None else base.python or None
        for pin in section.pins:
            package = canonicalize_name(pin.name)
            if package not in tables.spans:
                continue
            tool, _ = asked.get((place, package), (", ".join(section.tools[:3]), None))
            part = Part(
                tool, place, package, _exactly(pin), tables.find(package, _exactly(pin)), python, promises.get(tool)
            )
            cuda = _carried(pin, part.rows, present)
            kept |= {tool} if cuda else set()
            parts.append(replace(part, cuda=cuda))
    parts += [
        Part(tool, _place_of(tool, env, source), promised=promises[tool], cuda=frozenset({promises[tool]}))
        for tool, env, source in chosen
        if tool in promises and tool not in kept
    ]
    yield from parts
    yield from _unasked(lock, parts)


def _unasked(lock: Lock, parts: Sequence[Part]) -> Iterator[Part]:
    """CUDA that lies in a lock though no part of its place is known to carry it, one part for each version."""
    system = lock.section("system")
    told = {**_all_marks(lock), "system": _system_marks(system.pins) if system is not None else {}}
    for place, found in told.items():
        majors = {one[0] for part in parts if part.place == place for one in part.cuda or ()}
        for cuda in sorted({one for one in found.values() if one[0] not in majors}):
            names = _some(name for name, one in found.items() if one == cuda)
            yield Part(f"{names} in {place}", place, cuda=frozenset({cuda}))


def _system_marks(pins: Iterable[Pin]) -> dict[str, Cuda]:
    """System package of a lock -> the CUDA version that its name or number tells."""
    named = {pin.name: pin.version for pin in pins}
    found = _system_versions(named)
    if match := re.match(r"(?:\d+:)?(\d+)\.(\d+)", named.get(_DEBIAN_TOOLKIT, "")):
        found[_DEBIAN_TOOLKIT] = (int(match[1]), int(match[2]))
    return found


def _place_of(tool: str, env: str, source: Any) -> str:
    """Where what a source brings lies together: an environment before a prefix, and that before the system."""
    placements = {ecosystems.get(name).placement: name for name in reversed([*source.requests()])}
    if "env" in placements:
        return f"env-{env}"
    return next((f"{tool}-{name}" for kind, name in placements.items() if kind != "system"), "system")


def _envs(lock: Lock) -> Iterator[Section]:
    return (
        section
        for section in lock.sections
        if section.id.startswith("env-") and ecosystems.get(section.ecosystem).placement == "env"
    )


def _outside_system(lock: Lock) -> Iterator[Section]:
    """Environments and prefixes of tools: what is in the image and not of its distribution."""
    for section in lock.sections:
        prefix = bool(section.tools) and section.id == f"{section.tools[0]}-{section.ecosystem}"
        if prefix or section.id.startswith("env-"):
            yield section


def _place(section: Section) -> str:
    env = section.id.startswith("env-") and section.extra.get("env")
    return f"env-{env}" if env else section.id


def _exactly(pin: Pin) -> SpecifierSet:
    """The one version of a pin, without its local label; a version of another form allows all."""
    try:
        return SpecifierSet(f"=={Version(pin.version).public}")
    except InvalidVersion:
        return SpecifierSet()


def _fits(row: FrameworkRow, python: str) -> bool:
    return not row.python or SpecifierSet(row.python).contains(python)


def _cuda(text: str) -> Cuda:
    return tuple(map(int, text.split(".")))


def _same(one: Cuda, other: Cuda) -> bool:
    """Whether two versions agree as far as both are known."""
    parts = min(len(one), len(other))
    return one[:parts] == other[:parts]


def _offers(rows: Iterable[FrameworkRow], extras: Iterable[str] | None) -> frozenset[Cuda]:
    """CUDA builds that rows know of, with those of the named extras; of all extras when that is None."""
    return frozenset(
        _cuda(text)
        for row in rows
        for text in (*row.cuda, *(cuda for extra, cuda in row.extras.items() if extras is None or extra in extras))
    )


def marks(pins: Iterable[Pin]) -> dict[str, Cuda]:
    """Package -> the CUDA version that its name, number or local label tells."""
    found: dict[str, Cuda] = {}
    for pin in pins:
        name = canonicalize_name(pin.name)
        exact = _LOCAL.match(pin.version.partition("+")[2])
        if exact is None and _NUMBERED_AS_CUDA.match(name):
            exact = re.match(r"(\d+)\.(\d+)", pin.version)
        if exact is not None:
            found[name] = (int(exact[1]), int(exact[2]))
        elif match := _MAJOR_IN_NAME.search(name):
            found[name] = (int(match[1]),)
    return found


def _carried(pin: Pin, rows: Sequence[FrameworkRow], present: Mapping[str, Cuda]) -> frozenset[Cuda] | None:
    """The CUDA that a locked package carries: by its label, else by what lies beside it."""
    own = present.get(canonicalize_name(pin.name))
    if own is not None:
        return frozenset({own})
    if pin.version.partition("+")[2] == "cpu" or (rows and not _offers(rows, None)):
        return frozenset()
    if rows and not any(row.cuda for row in rows):
        # it carries CUDA only when asked: then what brings it is named after it, as jax-cuda12-plugin
        present = {name: cuda for name, cuda in present.items() if name.startswith(f"{canonicalize_name(pin.name)}-")}
        return frozenset(present.values())
    # one version for each major: the runtime's where it is there, else the most exact
    best: dict[int, Cuda] = {}
    for _, cuda in sorted(present.items(), key=lambda one: ("runtime" not in one[0], -len(one[1]), one[0])):
        best.setdefault(cuda[0], cuda)
    return frozenset(best.values()) if best else None


def _all_marks(lock: Lock) -> dict[str, dict[str, Cuda]]:
    found: dict[str, dict[str, Cuda]] = {}
    for section in _outside_system(lock):
        if told := marks(section.pins):
            found.setdefault(_place(section), {}).update(told)
    return found


def _system_cuda(lock: Lock) -> tuple[str, ...]:
    section = lock.section("system")
    return tuple(pin.name for pin in section.pins if _SYSTEM_CUDA.match(pin.name)) if section is not None else ()


# --- the rules ---------------------------------------------------------------------------------------------


def _say(cuda: Iterable[Cuda]) -> str:
    return " or ".join(f"CUDA {'.'.join(map(str, one))}" for one in sorted(cuda))


def _list(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def python(scene: Scene) -> Iterator[Finding]:
    """The base's Python is one that each framework has builds for"""
    for part in scene.parts:
        if part.package is None or part.python is None:
            continue
        fits = [row for row in part.rows if _fits(row, part.python)]
        wanted = " or ".join(dict.fromkeys(f"Python {row.python}" for row in fits or part.rows if row.python))
        if fits:
            what = f"{part.name} needs {wanted or 'no certain Python'}, and there is {part.python}"
            yield Finding("python", "ok", what, scene.cite(*fits))
        elif None in part.spoken:
            yield Finding("python", "not checked", f"{part.name}: no row for all versions that this allows")
        else:
            earlier = [
                row
                for row in scene.compat.frameworks
                if canonicalize_name(row.package) == part.package and _fits(row, part.python)
            ]
            older = f", or a version for this one: {part.package} {earlier[-1].since}" if earlier else ""
            yield Finding(
                "python",
                "error",
                f"{part.name} needs {wanted}, and base '{scene.base.base}' has {part.python}",
                scene.cite(*part.rows),
                f"take a base with such a Python{older}",
            )


def framework_cuda(scene: Scene) -> Iterator[Finding]:
    """A framework is built for the CUDA that its tool promises, or that lies beside it in the lock"""
    for part in scene.parts if scene.gpu else ():
        offers = _offers(part.usable, None)
        if part.cuda is None:
            yield Finding("framework-cuda", "not checked", f"{part.name}: nothing tells which CUDA it carries")
        if not part.cuda or part.package is None or (part.newest_known and not offers):
            continue
        what = f"{part.name} {'has' if scene.locked else 'promises'} {_say(part.cuda)}, and is built for {_say(offers)}"
        if any(_same(one, other) for one in part.cuda for other in offers):
            yield Finding("framework-cuda", "ok", what, scene.cite(*part.usable))
        elif not part.newest_known:
            yield Finding("framework-cuda", "not checked", f"{part.name}: no row for the newest that this allows")
        else:
            # within a major version the libraries are compatible
            alike = {one[0] for one in part.cuda} & {other[0] for other in offers}
            yield Finding(
                "framework-cuda",
                "warning" if alike else "error",
                what,
                scene.cite(*part.usable),
                f"give it {_say(offers)}: cuda: of its tool, and env: where others need another one",
            )


def one_cuda(scene: Scene) -> Iterator[Finding]:
    """An environment holds the libraries of one CUDA major version"""
    places = [*(part.place for part in scene.parts if part.place != "system"), *scene.marks]
    for place in dict.fromkeys(places) if scene.gpu else ():
        members = [part for part in scene.parts if part.place == place and part.cuda]
        found = scene.marks.get(place, {})
        if found:
            majors = sorted({cuda[0] for cuda in found.values()})
            if len(majors) == 1:
                yield Finding("one-cuda", "ok", f"{place}: CUDA {majors[0]}, by {len(found)} of its packages")
            else:
                held = "; ".join(
                    f"CUDA {major} by {_some(name for name, cuda in found.items() if cuda[0] == major)}"
                    for major in majors
                )
                yield Finding("one-cuda", "error", f"{place} holds {held}", *_apart(scene, members))
        elif members:
            common = set.intersection(*({one[0] for one in part.cuda or ()} for part in members))
            what = f"{place}: " + ", ".join(f"{part.name} carries {_say(part.cuda or ())}" for part in members)
            if common:
                yield Finding("one-cuda", "ok", what)
            else:
                yield Finding("one-cuda", "error", what, *_apart(scene, members))


def _some(names: Iterable[str]) -> str:
    every = sorted(names)
    return ", ".join(every[:4]) + (f" and {len(every) - 4} more" if every[4:] else "")


def _apart(scene: Scene, members: Sequence[Part]) -> tuple[str, str]:
    rows = [row for part in members for row in part.usable]
    why = "; ".join(
        ["libraries of one name from two CUDA versions replace each other", *filter(None, [scene.cite(*rows)])]
    )
    tools = _list(part.tool for part in members)
    return why, f"give {tools} environments of their own (env: of a tool), or builds for one CUDA"


def promise(scene: Scene) -> Iterator[Finding]:
    """What is locked carries the CUDA that its tool promises"""
    for part in scene.parts if scene.gpu and scene.locked else ():
        if part.promised is None or part.place == "system":
            continue
        own = scene.marks.get(part.place, {})
        present = part.cuda if part.package and part.cuda else frozenset(own.values())
        remedy = f"correct cuda: of '{part.tool}', or the versions and the index of its source"
        text = _say({part.promised})
        if not present and part.package and part.cuda is not None:
            yield Finding("promise", "error", f"{part.name} promises {text} and carries none", "the lock", remedy)
        elif not present:
            yield Finding("promise", "not checked", f"{part.name} promises {text}; no package beside it tells its CUDA")
        elif any(_same(part.promised, one) for one in present):
            yield Finding("promise", "ok", f"{part.name} promises {text} and carries {_say(present)}")
        else:
            level: Level = "warning" if part.promised[0] in {one[0] for one in present} else "error"
            yield Finding(
                "promise", level, f"{part.name} promises {text} and carries {_say(present)}", "the lock", remedy
            )


def cudnn(scene: Scene) -> Iterator[Finding]:
    """An environment's cuDNN is one that its frameworks accept"""
    for part in scene.parts if scene.gpu else ():
        wanted = [row for row in part.usable if row.cudnn]
        for name, versions in scene.cudnn.get(part.place, {}).items() if wanted and part.cuda != frozenset() else ():
            text = f"{part.name}: cuDNN {_list(row.cudnn for row in wanted)}; {name} is {versions or 'of any version'}"
            if any(not versions.is_disjoint(SpecifierSet(row.cudnn)) for row in wanted):
                yield Finding("cudnn", "ok", text, scene.cite(*wanted))
            else:
                remedy = f"ask for {name} {wanted[-1].cudnn}, or give {part.tool} an environment of its own"
                yield Finding("cudnn", "error", text, scene.cite(*wanted), remedy)


def driver(scene: Scene) -> Iterator[Finding]:
    """The driver branch, of the machines or in the image, is not below the floor of each CUDA major version"""
    floors = {row.cuda: row for row in scene.compat.cuda}
    users = [part for part in scene.parts if part.cuda] if scene.gpu else []
    if users and not scene.drivers:
        lowest = max(
            min((floors[one[0]].driver for one in part.cuda or () if one[0] in floors), default=0) for part in users
        )
        needs = f"; this image needs {lowest} or newer" if lowest else ""
        yield Finding("driver", "not checked", f"no driver is named (driver: of the variant, or --driver){needs}")
        return
    groups: dict[int, list[Part]] = {}
    for part in users:
        known = [one[0] for one in part.cuda or () if one[0] in floors]
        if known:
            groups.setdefault(min(known, key=lambda major: floors[major].driver), []).append(part)
        else:
            yield Finding("driver", "not checked", f"{part.name}: no row for {_say(part.cuda or ())}")
    for major, branch in ((major, branch) for major in groups for branch in scene.drivers):
        row = floors[major]
        enough = branch >= row.driver
        who = ", ".join(dict.fromkeys(f"{part.tool} with {_say(part.cuda or ())}" for part in groups[major]))
        reach = [one.cuda for one in scene.compat.cuda if one.driver <= branch]
        older = f", or take builds for CUDA {max(reach)}" if reach else ""
        newer = "on the machines" if branch == scene.driver else "in the image, from another source of its tool"
        yield Finding(
            "driver",
            "ok" if enough else "error",
            f"CUDA {major} needs driver {row.driver} or newer, and {scene.drivers[branch]} {branch}: {who}",
            scene.cite(row),
            "" if enough else f"install driver {row.driver} {newer}{older}",
        )


def one_driver(scene: Scene) -> Iterator[Finding]:
    """What the image has of the driver is of the branch that is promised, and of one version"""
    for one in scene.bundled:
        if one.version is not None:
            yield Finding(
                "one-driver",
                "ok" if one.branch == one.promised else "error",
                f"{one.tool} promises driver {one.promised} and is {one.version}",
                "the lock",
                "" if one.branch == one.promised else f"correct driver: of '{one.tool}', or the packages of its source",
            )
    versions = dict.fromkeys(one.version or str(one.branch) for one in scene.bundled)
    if len(scene.bundled) > 1:
        alike = len(versions) == 1
        what = ", ".join(f"{one.tool} is {one.version or one.branch}" for one in scene.bundled)
        yield Finding(
            "one-driver",
            "ok" if alike else "error",
            what,
            "" if alike else "the kernel's modules work with programs of their own version alone",
            "" if alike else f"take {_list(one.tool for one in scene.bundled)} from one repository",
        )


def gpu_architecture(scene: Scene) -> Iterator[Finding]:
    """Each GPU's architecture is one that the builds carry, or else that their CUDA compiles for"""
    users = [part for part in scene.parts if part.cuda] if scene.gpu else []
    if users and not scene.gpus:
        yield Finding("gpu-architecture", "not checked", "no GPU is named (gpus: of the variant, or --gpu)")
    floors = {row.cuda: row for row in scene.compat.cuda}
    for part in users if scene.gpus else ():
        builds = [row for row in scene.compat.builds if canonicalize_name(row.package) == part.package]
        lacking: list[GpuRow] = []
        late: list[GpuRow] = []
        rows: dict[Row, str] = {}
        for gpu in scene.gpus:
            verdicts = []
            for cuda in sorted(part.cuda or ()):
                exact = [row for row in builds if _same(_cuda(row.cuda), cuda)]
                for build in exact:
                    rows[build] = f"{part.package} for CUDA {build.cuda} carries sm_{build.sm[0]} to sm_{build.sm[1]}"
                    verdicts.append("ok" if build.sm[0] <= gpu.sm <= build.sm[1] else "error")
                if not exact and (floor := floors.get(cuda[0])) is not None:
                    rows[floor] = f"CUDA {floor.cuda} compiles for sm_{floor.sm} and newer"
                    first = _cuda(gpu.cuda) if gpu.cuda else ()
                    early = cuda < first and not _same(cuda, first)
                    verdicts.append("error" if gpu.sm < floor.sm else "warning" if early else "ok")
            if verdicts and "ok" not in verdicts:
                (late if "warning" in verdicts else lacking).append(gpu)
        named = ", ".join(f"{gpu.gpu} is sm_{gpu.sm}" for gpu in lacking)
        facts = "; ".join(rows.values())
        if not rows:
            yield Finding("gpu-architecture", "not checked", f"{part.name}: no row for {_say(part.cuda or ())}")
        elif lacking:
            others = [row.cuda for row in builds if all(row.sm[0] <= gpu.sm <= row.sm[1] for gpu in lacking)]
            made = {one[0] for one in _offers(part.rows, None)} or set(floors)
            others = others or [
                str(major)
                for major, row in floors.items()
                if not builds and major in made and all(gpu.sm >= row.sm for gpu in lacking)
            ]
            instead = f"take its build for CUDA {' or '.join(others)}, or " if others else ""
            yield Finding(
                "gpu-architecture",
                "error",
                f"{part.name}: {named}, and {facts}",
                scene.cite(*rows, *lacking),
                f"{instead}leave {_list(gpu.gpu for gpu in lacking)} out of the GPUs",
            )
        elif not late:
            what = f"{part.name}: {_list(gpu.gpu for gpu in scene.gpus)}; {facts}"
            yield Finding("gpu-architecture", "ok", what, scene.cite(*rows))
        if late:
            yield Finding(
                "gpu-architecture",
                "warning",
                f"{part.name}: {_say(part.cuda or ())} is older than "
                + ", ".join(f"{gpu.gpu}, which CUDA {gpu.cuda} knows first" for gpu in late),
                scene.cite(*late),
                "it runs only what the driver can compile when it starts; take a newer build",
            )


def gpu_driver(scene: Scene) -> Iterator[Finding]:
    """The driver branch, and the kernel modules of the image's own driver, support each GPU"""
    for gpu in scene.gpus if scene.gpu else ():
        for branch, who in scene.drivers.items() if gpu.last_driver is not None else ():
            over = branch > (gpu.last_driver or branch)
            yield Finding(
                "gpu-driver",
                "error" if over else "ok",
                f"{gpu.gpu}: driver {gpu.last_driver} is the last that supports it, and {who} {branch}",
                scene.cite(gpu),
                f"install driver {gpu.last_driver} on machines with {gpu.gpu}" if over else "",
            )
        for tool, row in _modules(scene):
            fits = row.sm[0] <= gpu.sm <= row.sm[1]
            yield Finding(
                "gpu-driver",
                "ok" if fits else "error",
                f"{gpu.gpu} is sm_{gpu.sm}, and the {row.modules} modules of {tool} are for sm_{row.sm[0]} to "
                f"sm_{row.sm[1]}",
                scene.cite(row, gpu),
                "" if fits else f"take a source of {tool} with other modules, or leave {gpu.gpu} out of the GPUs",
            )


def _modules(scene: Scene) -> Iterator[tuple[str, ModulesRow]]:
    """The tools that bring modules of a known kind."""
    for tool in dict.fromkeys(one.tool for one in scene.bundled):
        for row in scene.compat.modules:
            if any(fnmatchcase(text, pattern) for text in scene.texts[tool] for pattern in row.packages):
                yield tool, row


def toolkit(scene: Scene) -> Iterator[Finding]:
    """The image's CUDA compiler can build extensions of the frameworks"""
    compilers = [
        part
        for part in scene.parts
        if part.package is None and part.cuda and any(_COMPILER.search(text) for text in scene.texts.get(part.tool, ()))
    ]
    users = [part for part in scene.parts if part.package is not None and part.cuda]
    for compiler in compilers if scene.gpu else ():
        majors = {one[0] for one in compiler.cuda or ()}
        others = [part for part in users if not majors & {one[0] for one in part.cuda or ()}]
        if others:
            yield Finding(
                "toolkit",
                "warning",
                f"{compiler.tool} is {_say(compiler.cuda or ())}, "
                + ", ".join(f"{part.tool} {_say(part.cuda or ())}" for part in others),
                "a framework's CUDA extensions need a compiler of its own major version",
                "each environment still runs with its own libraries; take one major version where people compile",
            )
        elif users:
            yield Finding("toolkit", "ok", f"{compiler.tool}: {_say(compiler.cuda or ())}, as all frameworks")


def repository(scene: Scene) -> Iterator[Finding]:
    """A vendor's package repository is made for the variant's distribution"""
    for tool, texts in scene.texts.items():
        for row in scene.compat.repositories:
            if not any(f"{row.path}/" in f"{text}/" for text in texts):
                continue
            fits = row.os == scene.base.os and _release(row.release, scene.base.release)
            yield Finding(
                "repository",
                "ok" if fits else "error",
                f"{tool}: {row.path} is for {row.os} {row.release}, base '{scene.base.base}' is {scene.base.os} "
                f"{scene.base.release}",
                scene.cite(row),
                "" if fits else "name the repository of this distribution, or tie the source to its base with when:",
            )


def distribution(scene: Scene) -> Iterator[Finding]:
    """A package is one that its makers build for the variant's distribution"""
    for tool, texts in scene.texts.items():
        for package in dict.fromkeys(text for text in texts):
            rows = [row for row in scene.compat.distributions if row.package == package]
            fits = [
                row
                for row in rows
                if row.os == scene.base.os and any(_release(one, scene.base.release) for one in row.releases)
            ]
            made = " and ".join(f"{row.os} {', '.join(row.releases)}" for row in rows)
            if rows:
                yield Finding(
                    "distribution",
                    "ok" if fits else "warning",
                    f"{tool}: {package} is made for {made}, base '{scene.base.base}' is {scene.base.os} "
                    f"{scene.base.release}",
                    scene.cite(*rows),
                    "" if fits else "it may work: look at what its checks say",
                )


def cpu_image(scene: Scene) -> Iterator[Finding]:
    """An image for CPUs carries no CUDA library and no driver"""
    if scene.gpu:
        return
    carried = [f"{name} in {place}" for place, found in scene.marks.items() for name in found]
    carried += [f"{name} in system" for name in scene.system_cuda]
    carried += [f"{part.tool} promises {_say({part.promised})}" for part in scene.parts if part.promised]
    carried += [f"{one.tool} brings driver {one.branch}" for one in scene.bundled]
    if carried:
        remedy = "give its tool a source for accelerator: cpu, or make the variant a gpu one"
        yield Finding(
            "cpu-image", "error", f"an image for CPUs with CUDA: {_some(carried)}", "its size, for nothing", remedy
        )
    else:
        seen = "pins" if scene.locked else "promises"
        yield Finding("cpu-image", "ok", f"no CUDA among the {seen} of {scene.variant.variant}")


def end_of_life(scene: Scene) -> Iterator[Finding]:
    """Distribution, Python and driver are maintained; the policy says when that is an error"""
    subjects = [(scene.base.os, scene.base.release)]
    subjects += [("python", scene.base.python)] if scene.base.python else []
    subjects += [("nvidia-driver", str(branch)) for branch in scene.drivers] if scene.gpu else []
    for product, release in subjects:
        row = next(
            (row for row in scene.compat.ends if row.product == product and _release(row.release, release)), None
        )
        if row is None:
            yield Finding("end-of-life", "not checked", f"{product} {release}: no row")
            continue
        level, what = end_state(scene.compat, row, scene.today)
        remedy = f"take a newer {product}" if level != "ok" else ""
        if level == "error":
            remedy += f"; policy.grace.{product} in a compat.yaml of your own, in days, puts it off"
        yield Finding("end-of-life", level, f"{product} {release}: {what}", scene.cite(row), remedy)


def end_state(compat: Compat, row: EndRow, today: date) -> tuple[Level, str]:
    """What the policy makes of an end today, and that in words."""
    more = f", long-term support {'ended' if row.last < today else 'ends'} {row.extended}" if row.extended else ""
    what = f"support {'ended' if row.support < today else 'ends'} {row.support}{more}"
    if row.last + timedelta(days=compat.policy.grace.get(row.product, 0)) < today:
        return "error", what
    return ("warning" if row.support - timedelta(days=compat.policy.near) <= today else "ok"), what


def _release(row: str, release: str) -> bool:
    """Whether a row for '9' speaks for release '9.6', too."""
    return release == row or release.startswith(f"{row}.")


# In the order in which people read them.
RULES: tuple[Rule, ...] = (
    python, framework_cuda, one_cuda, promise, cudnn, driver, one_driver, gpu_architecture, gpu_driver, toolkit,
    repository, distribution, cpu_image, end_of_life,
)  # fmt: skip


def rule_name(rule: Rule) -> str:
    """The name that people see: gpu-architecture."""
    return rule.__name__.replace("_", "-")


# --- the verdict -------------------------------------------------------------------------------------------


def examine(scene: Scene) -> list[Finding]:
    """What every rule finds, all at once."""
    return [finding for rule in RULES for finding in rule(scene)]


def violations(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == "error"]


def sentence(variant: str, finding: Finding) -> str:
    """A finding in full: the rule, what, why, and what to do."""
    more = [f"\n    {word}: {text}" for word, text in (("why", finding.why), ("do", finding.remedy)) if text]
    return f"{variant}: rule {finding.rule}: {finding.what}" + "".join(more)


def refuse(variant: str, findings: Iterable[Finding], *, hint: str = "") -> None:
    """Raise one error with every violation.

    A combination that cannot work is a fault of the input; one that works, and that only the dates of the policy rule
    out, is a PolicyError.
    """
    found = violations(findings)
    texts = [sentence(variant, finding) for finding in found]
    if any(finding.rule != rule_name(end_of_life) for finding in found):
        raise InputError(texts, hint=hint)
    if found:
        raise PolicyError("\n".join(texts), hint=hint)
