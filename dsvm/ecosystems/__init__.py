"""Where a tool's files come from and how they install: one module each, all behind one Protocol.

A module of this package, or one that another distribution registers under the entry-point group
`dsvm.ecosystems`, is an ecosystem when it has an `ECOSYSTEM` object of this Protocol.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import TypeAdapter

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
    # sections of the same ecosystem with what only building needs
    builds: tuple[str, ...] = ()


@runtime_checkable
class Ecosystem(Protocol):
    name: str
    # system: one transaction for the whole image; image: one place beside that; env: one for each Python environment;
    # tool: one for each tool
    placement: Literal["system", "image", "env", "tool"]
    # pydantic type of what a source says under this ecosystem's key
    request_type: Any
    # runtimes of the base (keys of its `runtimes`) that the stage installing it starts from
    runtimes: tuple[str, ...]
    # ecosystem -> request: programs used only while building, locked once for each variant
    builders: Mapping[str, Any]

    def package(self, request: Any) -> str:
        """The package that a tool's version is read from: the first one asked for."""

    def probe(self, request: Any, index: str | None, context: Context) -> str | None:
        """Why this machine cannot get `request` now, or None when it can. Asks the network, in seconds.

        `index` is the index that the source names, or the repository when these are system packages.
        """

    def resolve(self, request: Request, context: Context) -> tuple[Sequence[Pin], Mapping[str, Any]]:
        """All artefacts for `request`, sorted by name, and what installing needs to know (`Section.extra`).

        Raises LockError, with the solver's own explanation, when there is no solution.
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


@cache
def registry() -> Mapping[str, Ecosystem]:
    """All ecosystems by name, in a stable order."""
    modules = [import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    found = [module.ECOSYSTEM for module in modules if hasattr(module, "ECOSYSTEM")]
    found += [entry.load() for entry in entry_points(group="dsvm.ecosystems")]
    return {ecosystem.name: ecosystem for ecosystem in sorted(found, key=lambda one: one.name)}


def get(name: str) -> Ecosystem:
    return registry()[name]


def parse_request(name: str, value: object) -> Any:
    """`value`, as a manifest says it, in the request type of ecosystem `name`; ValueError says what is wrong."""
    return TypeAdapter(get(name).request_type).validate_python(value)
