"""Which tools of a variant, and which of their sources, suit its base, accelerator and formats."""

from __future__ import annotations

from collections.abc import Iterable

from dsvm import ecosystems
from dsvm.catalog import Catalog, suits
from dsvm.ecosystems import Ecosystem
from dsvm.model import Base, LeftOut, Source, Tool, Variant


def tools_of(catalog: Catalog, variant: Variant, left_out: Iterable[str] = ()) -> list[Tool]:
    """The tools of `variant` but for those of `left_out`, and those that are only for formats that it lacks."""
    gone = {*left_out, *(left.tool for left in unsuited(catalog, variant))}
    return [catalog.tools[name] for name in dict.fromkeys(variant.tools) if name not in gone]


def unsuited(catalog: Catalog, variant: Variant) -> list[LeftOut]:
    """Tools of `variant` that it cannot have because they, or all their sources, are only for other formats."""
    found = []
    for tool in (catalog.tools[name] for name in dict.fromkeys(variant.tools)):
        formats = tool.formats
        if suits(formats, variant):
            fitting = _fitting(tool, variant, catalog.bases[variant.base])
            lacking = fitting and not any(suits(source.formats, variant) for _, source in fitting)
            formats = tuple(dict.fromkeys(one for _, source in fitting for one in source.formats)) if lacking else ()
        if formats:
            found.append(LeftOut(tool=tool.tool, reason=f"only for {', '.join(formats)}", kind="unsuited"))
    return found


def _fitting(tool: Tool, variant: Variant, base: Base) -> list[tuple[int, Source]]:
    """The sources of `tool` that suit accelerator and base of `variant`, with their places.

    System packages come from the base's own ecosystem, and a language's packages need its runtime: the base's, or a
    tool of the variant.
    """
    return [
        (place, source)
        for place, source in enumerate(tool.sources)
        if source.when.holds(accelerator=variant.accelerator, base=base)
        and all(_works_on(base, ecosystems.get(name), variant) for name in (*source.requests(), *source.build))
    ]


def _works_on(base: Base, ecosystem: Ecosystem, variant: Variant) -> bool:
    if base.ecosystems and ecosystem.name not in base.ecosystems:
        return False
    if ecosystem.placement == "system" and ecosystem.name != base.ecosystem:
        return False
    return all(runtime in base.runtimes or runtime in variant.tools for runtime in ecosystem.runtimes)


def applicable(tool: Tool, variant: Variant, base: Base) -> list[tuple[int, Source]]:
    """The sources of `tool` that suit `variant` on `base`, with their places."""
    return [(place, source) for place, source in _fitting(tool, variant, base) if suits(source.formats, variant)]
