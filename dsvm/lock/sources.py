"""Which tools of a variant are in its images, and which it cannot have."""

from __future__ import annotations

from collections.abc import Iterable

from dsvm.catalog import Catalog, fitting, suits
from dsvm.model import LeftOut, Tool, Variant


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
            found_here = fitting(tool, variant, catalog.bases[variant.base])
            lacking = found_here and not any(suits(source.formats, variant) for _, source in found_here)
            formats = tuple(dict.fromkeys(one for _, source in found_here for one in source.formats)) if lacking else ()
        if formats:
            found.append(LeftOut(tool=tool.tool, reason=f"only for {', '.join(formats)}", kind="unsuited"))
    return found
