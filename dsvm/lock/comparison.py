"""What moved: between manifests and their lock, and between two locks."""

from __future__ import annotations

from collections.abc import Iterator

from dsvm.catalog import Catalog, applicable
from dsvm.lock.requests import input_of_base, wanted_sections
from dsvm.lock.selection import choice_of, first_choice
from dsvm.lock.sources import tools_of
from dsvm.model import Choice, Lock


def stale_sections(catalog: Catalog, lock: Lock) -> list[str]:
    """Sections that no longer fit the manifests, and sections that are missing or too many; [] for a fresh lock."""
    variant = catalog.variant(lock.variant)
    base = catalog.bases[variant.base]
    left_out = {left.tool for left in lock.left_out}
    tools = {tool.tool: tool for tool in tools_of(catalog, variant, left_out)}
    if lock.base != variant.base or set(tools) != {choice.tool for choice in lock.choices}:
        known = {choice.tool for choice in lock.choices}
        choices: list[Choice] = [choice for choice in lock.choices if choice.tool in tools]
        choices += [first_choice(tool, variant, base) for name, tool in tools.items() if name not in known]
    else:
        choices = list(lock.choices)
    for choice in choices:
        if choice.source not in [place for place, _ in applicable(tools[choice.tool], variant, base)]:
            return [f"source of {choice.tool}"]
    choices = [choice_of(tools[choice.tool], choice.source) for choice in choices]
    wanted = {one.id: one.input(base, catalog.registries) for one in wanted_sections(catalog, variant, choices)}
    wanted["base"] = input_of_base(base)
    locked = {section.id: section.input for section in lock.sections}
    return sorted(name for name in wanted.keys() | locked.keys() if wanted.get(name) != locked.get(name))


def changes(old: Lock | None, new: Lock) -> Iterator[str]:
    """What moved between two locks, a line each: `section: package old -> new`."""
    before = {section.id: section for section in old.sections} if old is not None else {}
    for section in new.sections:
        was = {pin.name: pin.version for pin in before[section.id].pins} if section.id in before else {}
        now = {pin.name: pin.version for pin in section.pins}
        if not was and now:
            yield f"{section.id}: new, {len(now)} packages"
            continue
        for name in sorted(was.keys() | now.keys()):
            if was.get(name) != now.get(name):
                yield f"{section.id}: {name} {was.get(name, '(none)')} -> {now.get(name, '(none)')}"
    yield from (f"{gone}: gone" for gone in sorted(before.keys() - {section.id for section in new.sections}))
