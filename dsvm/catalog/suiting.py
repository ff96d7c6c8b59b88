"""What of the catalog can be in an image of a variant: by its base, its accelerator and its formats."""

from __future__ import annotations

from collections.abc import Sequence

from dsvm import ecosystems
from dsvm.ecosystems import Ecosystem
from dsvm.model import Base, Source, Tool, Variant


def suits(formats: Sequence[str], variant: Variant) -> bool:
    """Whether what is only for `formats` (for all of them when there are none) can be in an image of `variant`."""
    return not formats or not set(formats).isdisjoint(variant.formats)


def fitting(tool: Tool, variant: Variant, base: Base) -> list[tuple[int, Source]]:
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


def applicable(tool: Tool, variant: Variant, base: Base) -> list[tuple[int, Source]]:
    """The sources of `tool` that suit `variant` on `base`, its formats too, with their places."""
    return [(place, source) for place, source in fitting(tool, variant, base) if suits(source.formats, variant)]


def _works_on(base: Base, ecosystem: Ecosystem, variant: Variant) -> bool:
    if base.ecosystems and ecosystem.name not in base.ecosystems:
        return False
    if ecosystem.placement == "system" and ecosystem.name != base.ecosystem:
        return False
    return all(runtime in base.runtimes or runtime in variant.tools for runtime in ecosystem.runtimes)
