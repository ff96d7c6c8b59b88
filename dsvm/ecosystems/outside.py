"""Ecosystems that other distributions bring: loaded, and looked over before anything relies on them.

https://packaging.python.org/en/latest/specifications/entry-points/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter

from dsvm.ecosystems.protocol import BringsScripts, Ecosystem
from dsvm.model import InputError, Source

GROUP = "dsvm.ecosystems"


def load(ours: Mapping[str, Ecosystem]) -> dict[str, Ecosystem]:
    """The ecosystems from outside by name, beside `ours`. Raises InputError with what is wrong with any of them."""
    found: dict[str, Ecosystem] = {}
    faults = []
    for entry in entry_points(group=GROUP):
        try:
            one = entry.load()
        except Exception as error:  # whatever its own code raises
            faults.append(f"{_where(entry)} cannot be loaded: {type(error).__name__}: {error}")
            continue
        own = list(_faults(one, {**ours, **found}))
        faults += [f"{_where(entry)}: {fault}" for fault in own]
        if not own:
            found[one.name] = one
    if faults:
        raise InputError(faults, hint="Mend the distribution that brings it, or uninstall that")
    return found


def _where(entry: EntryPoint) -> str:
    brought = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
    return f"ecosystem {entry.value}{brought}"


def members() -> tuple[str, ...]:
    """What an object must have to be an ecosystem, as the Protocol says it."""
    return tuple(sorted({*Ecosystem.__annotations__, *(name for name in vars(Ecosystem) if not name.startswith("_"))}))


def _faults(one: Any, taken: Mapping[str, Ecosystem]) -> Iterator[str]:
    """What keeps an object from being an ecosystem beside those that are `taken`."""
    if isinstance(one, type):
        yield f"it is the class {one.__name__}, and an object of it is wanted"
        return
    if missing := [name for name in members() if not hasattr(one, name)]:
        yield f"it has no {', '.join(missing)}"
        return
    if not (isinstance(one.name, str) and re.fullmatch(r"[a-z][a-z0-9-]*", one.name)):
        yield f"its name {one.name!r} is none: small letters, digits and hyphens"
        return
    if one.name in taken:
        yield f"there is an ecosystem '{one.name}' already, {type(taken[one.name]).__module__}"
        return
    if hasattr(Source, one.name) or one.name in Source.model_fields:
        yield f"its name '{one.name}' is another key of a source"
        return
    placements = get_args(get_type_hints(Ecosystem)["placement"])
    if one.placement not in placements:
        yield f"its placement {one.placement!r} is none of {', '.join(placements)}"
    try:
        TypeAdapter(one.request_type).json_schema()
    except Exception as error:  # of many classes, some of them private
        yield f"its request_type is no type of pydantic's with a JSON Schema: {str(error).splitlines()[0]}"
    if isinstance(one, BringsScripts):
        for name in one.scripts:
            if not re.fullmatch(rf"install-{one.name}(-[a-z0-9-]+)?", name):
                yield f"its script '{name}' must be called install-{one.name}, or begin so"
