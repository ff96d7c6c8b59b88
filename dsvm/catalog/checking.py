"""Faults between files: what each says by itself is right, and together they cannot work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from pathlib import Path, PurePosixPath
from typing import Any

from dsvm import ecosystems
from dsvm.catalog.manifests import Catalog
from dsvm.catalog.reading import Loc, read_yaml
from dsvm.catalog.suiting import suits
from dsvm.catalog.words import line_of, near
from dsvm.model import GROUP, Source, Tool, Variant

# Folders that tools' environments and the project itself own; a tool's file may not land there.
RESERVED = ("/etc/dsvm", "/dsvm", "/proc", "/sys", "/dev", "/run", "/tmp", "/out")  # noqa: S108


def cross_check(catalog: Catalog, broken: Set[tuple[str, str]]) -> Iterator[str]:
    """Faults between files: names that lead nowhere, files that are missing, two tools that want one path.

    What is `broken` has been reported: that others name it is no further fault.
    """
    for name, tool in catalog.tools.items():
        where = catalog.origin["tools", name]
        yield from (
            f"{where}:{line_of(where, other)}: requires {catalog.no_tool(other)}"
            for other in tool.requires
            if other not in catalog.tools and ("tools", other) not in broken
        )
        uses = tool.notebook.uses if tool.notebook else ()
        yield from (
            f"{where}:{line_of(where, other)}: its notebook uses {catalog.no_tool(other)}"
            for other in uses
            if other not in catalog.tools and ("tools", other) not in broken
        )
        wanted = [check.script for check in tool.checks if check.script]
        wanted += [file.source for file in tool.files.values() if file.source]
        wanted += [tool.notebook.source] if tool.notebook else []
        for relative in wanted:
            if not any((folder / relative).is_file() for folder in catalog.folders):
                yield f"{where}:{line_of(where, relative)}: no file '{relative}' in the manifests"
        for path in tool.files:
            pure = PurePosixPath(path)
            if ".." in pure.parts or any(pure.is_relative_to(folder) for folder in RESERVED):
                yield f"{where}:{line_of(where, path)}: a tool may not write '{path}'"
        for number, source in enumerate(tool.sources):
            yield from _check_source(catalog, where, name, number, source, broken)
    for name in catalog.bases:
        yield from _check_base(catalog, name)
    for name in catalog.repositories:
        yield from _check_repository(catalog, name)
    for name, base in catalog.bases.items():
        where = catalog.origin["bases", name]
        for other in base.repositories:
            if other not in catalog.repositories and ("repositories", other) not in broken:
                unknown = f"unknown repository '{other}'{near(other, catalog.repositories)}"
                yield f"{where}:{line_of(where, other)}: {unknown}"
    for row in {row.tool: row for row in catalog.retired.values()}.values():
        where = catalog.origin["retired", row.tool]
        yield from (
            f"{where}:{line_of(where, other)}: successor of '{row.tool}': {catalog.no_tool(other)}"
            for other in row.successors
            if other not in catalog.tools and ("tools", other) not in broken
        )


def check_variants(catalog: Catalog, broken: Set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Faults of variants against all other manifests: the name of the variant, and the fault."""
    for name, variant in catalog.variants.items():
        where = catalog.origin["variants", name]
        extended = catalog.variants.get(variant.extends or "")
        # what is wrong with the other variant is reported there
        known = {fault for _, fault in _check_variant(catalog, extended, broken)} if extended is not None else set()
        yield from (
            (name, f"{where}:{line_of(where, word, *_group_of(catalog, word))}: {fault}")
            for word, fault in _check_variant(catalog, variant, broken)
            if fault not in known
        )


def _group_of(catalog: Catalog, tool: str) -> list[str]:
    """The word for the group of a tool, which a variant may name in its place."""
    return [GROUP + catalog.tools[tool].group] if tool in catalog.tools else []


def _check_source(
    catalog: Catalog, where: Path, tool: str, number: int, source: Source, broken: Set[tuple[str, str]]
) -> Iterator[str]:
    if not source.requests():
        known = ", ".join(ecosystems.registry())
        yield f"{where}:1: source {number + 1} of '{tool}' names no ecosystem (one of {known})"
    if source.index is not None and source.index not in catalog.indexes:
        line = line_of(where, source.index)
        yield f"{where}:{line}: unknown index '{source.index}'{near(source.index, catalog.indexes)}"
    if source.repository is not None:
        line = line_of(where, source.repository)
        if source.repository not in catalog.repositories and ("repositories", source.repository) not in broken:
            near_one = near(source.repository, catalog.repositories)
            yield f"{where}:{line}: unknown repository '{source.repository}'{near_one}"
        asked = [*source.requests(), *source.build]
        if not any(one.placement == "system" for name, one in ecosystems.registry().items() if name in asked):
            yield f"{where}:{line}: 'repository' goes with system packages, and source {number + 1} asks for none"
    for ecosystem, request in source.build.items():
        if ecosystem not in ecosystems.registry():
            line = line_of(where, ecosystem)
            yield f"{where}:{line}: unknown ecosystem '{ecosystem}'{near(ecosystem, ecosystems.registry())}"
            continue
        try:
            ecosystems.parse_request(ecosystem, request)
        except ValueError as error:
            yield f"{where}:{line_of(where, ecosystem)}: build.{ecosystem}: {error}"


def _check_base(catalog: Catalog, name: str) -> Iterator[str]:
    """Its packages are requests of its own ecosystem, where that is here."""
    base, where = catalog.bases[name], catalog.origin["bases", name]
    asked: dict[Loc, Any] = {("system",): base.system} if base.system is not None else {}
    asked |= {("runtimes", runtime): request for runtime, request in base.runtimes.items()}
    asked |= {("compilers", runtime): request for runtime, request in base.compilers.items()}
    for place, request in asked.items() if base.ecosystem in ecosystems.registry() else ():
        try:
            ecosystems.parse_request(base.ecosystem, request)
        except ValueError as error:
            read = read_yaml(where)
            line = read[1].get(place, 1) if not isinstance(read, str) else 1
            yield f"{where}:{line}: {'.'.join(map(str, place))}: {error}"


def _check_repository(catalog: Catalog, name: str) -> Iterator[str]:
    """A lock says by one name where a pin comes from: a repository's may not be another registry's."""
    taken = {**dict.fromkeys(ecosystems.registry(), "an ecosystem"), **dict.fromkeys(catalog.indexes, "an index")}
    for base in catalog.bases.values():
        suites = base.bootstrap.suites if base.bootstrap else ()
        taken |= dict.fromkeys((suite.partition("/")[0] for suite in suites), f"an archive of base '{base.base}'")
    if name in taken:
        yield f"{catalog.origin['repositories', name]}:1: '{name}' is the name of {taken[name]} already"


def _check_variant(catalog: Catalog, variant: Variant, broken: Set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Faults of a variant, each with the word of its file that it is about."""
    base = catalog.bases.get(variant.base)
    if base is None and ("bases", variant.base) not in broken:
        yield variant.base, f"unknown base '{variant.base}'{near(variant.base, catalog.bases)}"
    for format in variant.formats if base is not None and base.formats else ():
        if base is not None and format not in base.formats:
            yield format, f"base '{variant.base}' cannot come out as {format}, only as {', '.join(base.formats)}"
    for tool in variant.tools:
        if tool not in catalog.tools and ("tools", tool) not in broken:
            yield tool, catalog.no_tool(tool)
    known = [row.gpu for row in catalog.compat.gpus]
    yield from ((gpu, f"unknown GPU '{gpu}'{near(gpu, known)}") for gpu in variant.gpus if gpu not in known)
    chosen = [tool for tool in dict.fromkeys(variant.tools) if tool in catalog.tools]
    suited = [tool for tool in chosen if suits(catalog.tools[tool].formats, variant)]
    extended = catalog.variants.get(variant.extends or "")
    inherited = extended.tools if extended is not None else ()
    for tool in chosen:
        # what comes from the other variant is left out; who names a tool wants it
        only = _only_for(catalog.tools[tool])
        if tool not in inherited and not suits(only, variant):
            yield (
                tool,
                (
                    f"tool '{tool}' is only for {', '.join(only)}, and the formats of '{variant.variant}' are "
                    f"{', '.join(variant.formats)}: add one of those, or take the tool out"
                ),
            )
    for tool in suited:
        for other in catalog.tools[tool].requires:
            if other not in variant.tools:
                yield tool, f"tool '{tool}' needs '{other}' beside it"
            elif other in chosen and other not in suited:
                formats = ", ".join(catalog.tools[other].formats)
                yield (
                    tool,
                    (
                        f"tool '{tool}' needs '{other}' beside it, which is only for {formats}; "
                        f"the formats of '{variant.variant}' are {', '.join(variant.formats)}"
                    ),
                )
    claims = ("path", "command", "port", "kernel")
    for claim in claims:
        owners: dict[str, str] = {}
        for tool in suited:
            for thing in _claims(catalog.tools[tool], claim):
                first = owners.setdefault(thing, tool)
                if first != tool:
                    yield tool, f"tools '{first}' and '{tool}' both want the {claim} '{thing}'"


def _only_for(tool: Tool) -> tuple[str, ...]:
    """The formats that a tool is for, by what it says itself or by all its sources; () when it is for all."""
    if tool.formats or not all(source.formats for source in tool.sources):
        return tool.formats
    return tuple(dict.fromkeys(format for source in tool.sources for format in source.formats))


def _claims(tool: Tool, claim: str) -> Iterable[str]:
    match claim:
        case "path":
            return tool.files
        case "command":
            return tool.commands
        case "port":
            return [str(tool.service.port)] if tool.service else []
        case _:
            return [tool.kernel.name] if tool.kernel else []
