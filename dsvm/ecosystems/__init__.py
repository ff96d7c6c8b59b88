"""Where a tool's files come from and how they install: one module each, all behind one Protocol.

A module of this package is an ecosystem when it has an `ECOSYSTEM` object of this Protocol; another distribution
names such an object under the entry-point group `dsvm.ecosystems` (see `outside.py`).
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import TypeAdapter, ValidationError

from dsvm.errors import LockError
from dsvm.machine import Machine
from dsvm.model import Base, Index, Pin, Repository, Section, Step
from dsvm.store import Store

# Runs a command in an image and returns what it prints; raises when the command fails.
RunInImage = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Context:
    """What resolving may use: the base, this machine's client configuration, the store and a work folder."""

    base: Base
    machine: Machine
    store: Store
    work: Path
    accelerator: str = "cpu"
    indexes: Mapping[str, Index] = field(default_factory=dict)
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    # What the base image itself holds, in its system ecosystem's own form; "" while the base is resolved.
    base_status: str = ""
    # what people should know of where packages come from
    say: Callable[[str], None] = lambda line: None
    warn: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Runtime:
    """What a tool is made of that others run on: a request of the source that was chosen for it."""

    tool: str
    ecosystem: str
    item: Any
    repositories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What one section asks for: the merged requests of its tools."""

    section: str
    env: str
    items: tuple[Any, ...]
    indexes: tuple[str, ...] = ()
    # beside the base's own, for system packages
    repositories: tuple[str, ...] = ()
    # whether the place is a Jupyter kernel's, which needs a kernel beside what its tools ask for
    kernel: bool = False
    # its ecosystem's runtimes that are tools of the image
    runtimes: tuple[Runtime, ...] = ()
    # sections of the same ecosystem with what only building needs
    builds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Described:
    """What an artefact says of itself: its name and version as pins have them, and how it may be asked for."""

    name: str
    version: str
    # its name, what else it provides, its extras -> what each needs, called as others offer it
    offers: Mapping[str, Sequence[str]]
    # whether it is there whoever asks
    essential: bool = False


@dataclass(frozen=True)
class Asked:
    """What a locked section is compared with: the request that it answers, and the manifests that this names."""

    request: Request
    base: Base
    indexes: Mapping[str, Index] = field(default_factory=dict)
    repositories: Mapping[str, Repository] = field(default_factory=dict)


@runtime_checkable
class Ecosystem(Protocol):
    name: str
    # system: one transaction for the whole image; image: one place beside that; env: one for each Python environment;
    # tool: one for each tool
    placement: Literal["system", "image", "env", "tool"]
    # pydantic type of what a source says under this ecosystem's key
    request_type: Any
    # what the stage installing it starts from: runtimes of the base (keys of its `runtimes`), or tools of the image
    runtimes: tuple[str, ...]
    # ecosystem -> request: programs used only while building, locked once for each variant
    builders: Mapping[str, Any]
    # pydantic type of what `resolve` gives as `Section.extra`, and of nothing else: a lock is a file that anybody edits
    extra_type: Any

    def package(self, request: Any) -> str:
        """The package that a tool's version is read from: the first one asked for."""

    def probe(self, request: Any, index: str | None, context: Context) -> str | None:
        """Why this machine cannot get `request` now, or None when it can. Asks the network, in seconds.

        `index` is the index that the source names, or the repository when these are system packages.
        """

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        """All artefacts for `request`, sorted by name, and what installing needs to know (`Section.extra`).

        Of the latter, `texts`, file name -> text, are small files that `install` finds beside the artefacts, and
        `environment`, name -> value, are variables of the image.

        Raises LockError, with the solver's own explanation, when there is no solution.
        """

    def strange(self, section: Section, asked: Asked) -> Iterable[str]:
        """What a locked section says that `resolve` cannot have said, a line each; its `extra` is of the right type.

        Above all pins of another registry, or with another URL, than the request allows.
        """

    def locate(self, pin: Pin, context: Context) -> Iterable[str]:
        """URLs (http, https or file) that may hold `pin` on this machine, the best first."""

    def file_name(self, pin: Pin) -> str:
        """Name of a pin's file in the folder that `install` reads; unique in its section."""

    def parts(self, section: Section) -> Sequence[Section]:
        """The section itself, or what it falls into: parts that are installed, cached and shipped on their own.

        A part has an id of its own, SECTION_PART, and nothing that other parts' pins determine.
        """

    def install(self, section: Section, base: Base) -> Step:
        """The one step that installs a section, or a part of one, from the store, offline."""

    def installed(self, section: Section, run: RunInImage) -> Mapping[str, str]:
        """Name -> version of what an image really holds in the place of `section`."""


@runtime_checkable
class System(Ecosystem, Protocol):
    """An ecosystem that an operating system consists of: what a base needs beyond all that."""

    # what a base made from an archive begins with, before what its manifest includes
    essential: tuple[str, ...]
    # files, without a leading slash, in which an image keeps the status of its packages; the first that is there counts
    status_files: tuple[str, ...]
    # the program that makes a base, for the history of its image
    bootstrapper: str
    # programs of this machine that it needs -> what for
    programs: Mapping[str, str]

    def status(self, pins: Sequence[Pin], context: Context) -> str:
        """The status of a system that has exactly `pins` installed.

        Raises ProgramError or GoneError when the archive has moved on from them.
        """

    def image_status(self, files: Mapping[str, bytes], context: Context) -> str:
        """The status of an image that has these of `status_files`. Raises LockError when they tell nothing."""

    def packages(self, status: str) -> Mapping[str, str]:
        """Name -> version of what a system with this status holds."""

    def bootstrap(self, base: Base, section: Section, store: Store, work: Path, log: Path) -> Path:
        """Make a base of locked packages in the folder `work`, offline; returns an archive (tar) of its files."""


@runtime_checkable
class ReadsArtefacts(Ecosystem, Protocol):
    """What an ecosystem has beside all that when its artefacts say themselves what they are, and what they need.

    Then pins are compared with them before anything is built: a lock cannot bring what nobody asked for.
    """

    def described(self, pin: Pin, artefact: Path, base: Base) -> Described:
        """What the file `artefact` says of itself. Raises LockError when it is no artefact of this ecosystem."""

    def roots(self, asked: Asked) -> Iterable[str]:
        """What was asked for, called as artefacts offer it."""


@runtime_checkable
class BringsScripts(Ecosystem, Protocol):
    """What an ecosystem from outside has beside all that when its steps run scripts that scripts/image lacks."""

    # name, install-NAME or install-NAME-..., -> text, whose first line says which program of the stage runs it
    scripts: Mapping[str, str]


@cache
def registry() -> Mapping[str, Ecosystem]:
    """All ecosystems by name, in a stable order.

    Raises InputError for every one from outside that cannot be loaded, or is none.
    """
    from dsvm.ecosystems import outside

    modules = [import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    ours = {module.ECOSYSTEM.name: module.ECOSYSTEM for module in modules if hasattr(module, "ECOSYSTEM")}
    found = ours | outside.load(ours)
    return {name: found[name] for name in sorted(found)}


def get(name: str) -> Ecosystem:
    """The ecosystem called `name`; LockError when there is none, for then a lock was made where there was one."""
    if name not in registry():
        raise LockError(
            f"the ecosystem '{name}' is not here, and the lock needs it",
            hint="Install the distribution that brings it, or lock again: invoke lock",
        )
    return registry()[name]


def system(base: Base) -> System:
    """The ecosystem that `base` consists of. Raises LockError when there is none, or none that makes bases."""
    ecosystem = registry().get(base.ecosystem)
    if not isinstance(ecosystem, System):
        known = ", ".join(name for name, one in registry().items() if isinstance(one, System))
        raise LockError(
            f"base {base.base} cannot be had: the ecosystem '{base.ecosystem}' makes no bases",
            hint=f"Ecosystems that do: {known}",
        )
    return ecosystem


def parse_request(name: str, value: object) -> Any:
    """`value`, as a manifest says it, in the request type of ecosystem `name`.

    Raises ValueError with what is wrong, in one line.
    """
    try:
        return TypeAdapter(get(name).request_type).validate_python(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        # a list that is too short only because its items are wrong
        told = [one for one in details if one["type"] != "too_short"] or details
        said = (one["msg"].removeprefix("Value error, ") for one in told)
        raise ValueError("; ".join(dict.fromkeys(f"{text[0].lower()}{text[1:]}" for text in said))) from error
