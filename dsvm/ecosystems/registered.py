"""The ecosystems that there are: modules of this room, and objects of other distributions."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter, ValidationError

import dsvm.ecosystems
from dsvm.ecosystems import outside
from dsvm.ecosystems.protocol import Ecosystem, System
from dsvm.model import Base, LockError


@cache
def registry() -> Mapping[str, Ecosystem]:
    """All ecosystems by name, in a stable order.

    Raises InputError for every one from outside that cannot be loaded, or is none.
    """
    modules = [import_module(f"{__package__}.{info.name}") for info in pkgutil.iter_modules(dsvm.ecosystems.__path__)]
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
