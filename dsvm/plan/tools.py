"""Tools of a variant, with what the lock says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dsvm import ecosystems
from dsvm.catalog import Catalog
from dsvm.ecosystems import Ecosystem
from dsvm.model import Lock, LockError, Pin, PlannedTool, Section, Tool, traits
from dsvm.plan.notebooks import planned_notebook


def locked_versions(catalog: Catalog, lock: Lock) -> dict[str, str]:
    """Tool -> locked version, for every tool of a lock that the catalog still has in that way; no staleness here."""
    return {name: tool.version for name, tool in locked_tools(catalog, lock).items()}


def locked_tools(catalog: Catalog, lock: Lock) -> dict[str, PlannedTool]:
    """The same, with all that is known of each tool."""
    found = {}
    for choice in lock.choices:
        tool = catalog.tools.get(choice.tool)
        if tool is None or choice.source >= len(tool.sources):
            continue
        try:
            found[choice.tool] = planned_tool(catalog, lock, tool)
        except LockError:
            continue
    return found


def planned_tool(catalog: Catalog, lock: Lock, tool: Tool) -> PlannedTool:
    """A tool as an image has it. Raises LockError when the lock lacks its package, or its ecosystem is not here."""
    choice = next(choice for choice in lock.choices if choice.tool == tool.tool)
    source = tool.sources[choice.source]
    variant = catalog.variants[lock.variant]
    base = catalog.bases[variant.base]
    asked = [(ecosystems.get(name), request) for name, request in source.requests().items()]
    versions: dict[str, str] = {}
    for section in _sections_of(lock, tool, [ecosystem.name for ecosystem, _ in asked]):
        # a registry's base says which packages it brings; its pins are layers
        versions |= section.extra.get("packages") or {pin.name: pin.version for pin in section.pins}
    own, request = min(asked, key=_is_system)
    package = own.package(request)
    if package not in versions:
        raise LockError(f"tool '{tool.tool}': '{package}' is not in the lock of {lock.variant}")
    wanted = {
        package,
        *(check.version.package for check in tool.checks if check.version and check.version.package),
    }
    return PlannedTool(
        name=tool.tool,
        summary=tool.summary,
        homepage=tool.homepage,
        license=tool.license,
        group=tool.group,
        package=package,
        version=versions[package],
        ecosystem=own.name,
        env=tool.env if any(ecosystem.placement == "env" for ecosystem, _ in asked) else None,
        commands=tool.commands,
        kernel=tool.kernel,
        notebook=planned_notebook(catalog, lock, tool) if traits(base).files else None,
        service=tool.service if traits(base).services else None,
        checks=tuple(check for check in tool.checks if check.holds(accelerator=variant.accelerator, base=base)),
        versions={name: versions[name] for name in sorted(wanted) if name in versions},
        lacks=tool.lacks,
    )


def own_pin(catalog: Catalog, lock: Lock, tool: Tool) -> tuple[Section, Pin] | None:
    """The pin that a locked tool is, with its section; None when it is no pin, as what a registry's base brings."""
    choice = next((choice for choice in lock.choices if choice.tool == tool.tool), None)
    if choice is None or choice.source >= len(tool.sources):
        return None
    requests = tool.sources[choice.source].requests().items()
    own, request = min(((ecosystems.get(name), one) for name, one in requests), key=_is_system)
    found = ((section, section.pin(own.package(request))) for section in _sections_of(lock, tool, [own.name]))
    return next(((section, pin) for section, pin in found if pin is not None), None)


def _is_system(one: tuple[Ecosystem, object]) -> bool:
    """System packages beside another ecosystem's are what that one needs, not what the tool is."""
    return one[0].placement == "system"


def _sections_of(lock: Lock, tool: Tool, names: Iterable[str]) -> Iterator[Section]:
    """Where the packages of `tool` in each ecosystem stand; a system package may be the base's."""
    for name in names:
        for section in lock.sections:
            if section.ecosystem == name and (tool.tool in section.tools or section.id in ("base", "system")):
                yield section
