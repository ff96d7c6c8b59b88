"""What a tool's source asks for, as far as rules look at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from dsvm import ecosystems
from dsvm.catalog import Catalog
from dsvm.model import Model


def requirements(source: Any) -> Iterator[Requirement]:
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


def texts_of(source: Any, catalog: Catalog, base: str) -> Iterator[str]:
    """All text of a source, with that of the index it names and the place of its repository for a base."""
    yield from _strings(source)
    if source.index in catalog.indexes:
        yield from _strings(catalog.indexes[source.index])
    repository = catalog.repositories.get(source.repository)
    if repository is not None and repository.uri is not None:
        place = repository.place(base)
        yield f"{repository.uri.rstrip('/')}/{place.path}" if place is not None else repository.uri


def system_packages(source: Any) -> Iterator[str]:
    """Names of the system packages that a source asks for, and other text beside them."""
    for name, request in source.requests().items():
        if ecosystems.get(name).placement == "system":
            yield from _strings(request)


def place_of_source(tool: str, env: str, source: Any) -> str:
    """Where what a source brings lies together: an environment before a prefix, and that before the system."""
    placements = {ecosystems.get(name).placement: name for name in reversed([*source.requests()])}
    if "env" in placements:
        return f"env-{env}"
    return next((f"{tool}-{name}" for kind, name in placements.items() if kind != "system"), "system")
