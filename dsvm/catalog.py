"""YAML manifests -> Catalog: strict keys, every fault of every file at once, each with file:line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, Tag, ValidationError, create_model
from pydantic_core import ErrorDetails

from dsvm import ecosystems
from dsvm.errors import InputError
from dsvm.model import (
    Base,
    Compat,
    Index,
    Model,
    Repository,
    Retired,
    RetiredTools,
    Source,
    Tool,
    Variant,
)

MANIFESTS = Path(__file__).resolve().parent.parent / "manifests"
COMPAT = "compat.yaml"
RETIRED = "retired.yaml"
# Folders that tools' environments and the project itself own; a tool's file may not land there.
RESERVED = ("/etc/dsvm", "/dsvm", "/proc", "/sys", "/dev", "/run", "/tmp", "/out")  # noqa: S108

Loc = tuple[str | int, ...]
# What the YAML reader raises for a scalar that is none of its kind, such as the date 2026-13-01
NOT_OF_ITS_KIND = (yaml.YAMLError, ValueError, TypeError, AttributeError)
Read = TypeVar("Read", bound=Model)


@cache
def source_model() -> type[Source]:
    """Source with one optional field for each ecosystem."""
    fields: dict[str, Any] = {
        name: (one.request_type | None, Field(None, description=(type(one).__doc__ or name).strip()))
        for name, one in ecosystems.registry().items()
    }
    return create_model("Source", __base__=Source, **fields)


@cache
def tool_model() -> type[Tool]:
    source: Any = source_model()
    return create_model("Tool", __base__=Tool, sources=(tuple[source, ...], Field(min_length=1)))


@cache
def kinds() -> Mapping[str, type[Model]]:
    """Folder of the catalog -> the model of its files; a file's first key names the thing."""
    return {
        "tools": tool_model(),
        "bases": Base,
        "variants": Variant,
        "indexes": Index,
        "repositories": Repository,
    }


@dataclass(frozen=True)
class Catalog:
    """All manifests, loaded and checked."""

    tools: Mapping[str, Tool]
    bases: Mapping[str, Base]
    variants: Mapping[str, Variant]
    indexes: Mapping[str, Index]
    repositories: Mapping[str, Repository] = field(default_factory=dict)
    # where each thing was written, (kind, name) -> file, for messages
    origin: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    folders: tuple[Path, ...] = (MANIFESTS,)
    compat: Compat = field(default_factory=Compat)
    # tools that their makers have ended, by name and by every other name that people ask for them by
    retired: Mapping[str, Retired] = field(default_factory=dict)

    def variant(self, name: str) -> Variant:
        """The variant called `name`; InputError with the known names when there is none."""
        if name not in self.variants:
            known = ", ".join(sorted(self.variants))
            if not name:
                raise InputError("no variant is named", hint=f"Name one: --variant NAME. Known variants: {known}")
            raise InputError(f"unknown variant '{name}'{near(name, self.variants)}", hint=f"Known variants: {known}")
        return self.variants[name]

    @property
    def registries(self) -> Mapping[str, Index | Repository]:
        """Indexes and repositories by name, which no two of them share: a lock names its registries so."""
        return {**self.indexes, **self.repositories}

    def no_tool(self, name: str) -> str:
        """What to say of a name that no tool has: since when it is retired, or which name is near."""
        row = self.retired.get(name.lower())
        if row is None:
            return f"unknown tool '{name}'{near(name, self.tools)}"
        return (
            f"tool '{name}' is retired since {row.since}: {row.why} ({row.source}); "
            f"in its place: {', '.join(row.successors)}"
        )

    def refuse_retired(self, names: Iterable[str]) -> None:
        """Raise InputError for every name that once was a tool."""
        faults = [self.no_tool(name) for name in names if name not in self.tools and name.lower() in self.retired]
        if faults:
            raise InputError(faults)

    def file(self, relative: str) -> Path:
        """A file inside the manifests folders, the latest overlay first; InputError when there is none."""
        for folder in reversed(self.folders):
            path = folder / relative
            if path.is_file():
                return path
        raise InputError(f"{relative}: no such file in {', '.join(map(str, self.folders))}")


def near(word: str, known: Iterable[str]) -> str:
    """ " (did you mean 'x'?)", or nothing when no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def load(overlays: Sequence[Path] = (), *, main: Path = MANIFESTS) -> Catalog:
    """Read the project's manifests and then each overlay folder; a later file replaces an earlier thing of its name.

    Raises InputError with every fault of all files.
    """
    faults: list[str] = []
    things: dict[str, dict[str, Any]] = {kind: {} for kind in kinds()}
    origin: dict[tuple[str, str], Path] = {}
    broken: set[tuple[str, str]] = set()
    compat = Compat()
    retired: dict[str, Retired] = {}
    for folder in (main, *overlays):
        if not folder.is_dir():
            faults.append(f"{folder}: no such folder")
            continue
        compat = compat.with_later(_load_compat(folder / COMPAT, compat, faults))
        retired |= _retired(folder / RETIRED, faults, origin)
        for kind, path in _files(folder, faults):
            thing = _load_file(path, kind, faults)
            if thing is None:
                broken.add((kind, path.stem))
                continue
            name = getattr(thing, _key(kind))
            earlier = origin.get((kind, name))
            if earlier is not None and earlier.is_relative_to(folder):
                faults.append(f"{path}:1: {_key(kind)} '{name}' stands in {earlier} too")
            things[kind][name] = thing
            origin[kind, name] = path
    faults += _extend(things["variants"], origin, broken)
    catalog = Catalog(origin=origin, folders=(main, *overlays), compat=compat, retired=retired, **things)
    faults += _cross_check(catalog, broken)
    if faults:
        raise InputError(faults)
    return catalog


def _key(kind: str) -> str:
    return {"indexes": "index", "repositories": "repository"}.get(kind, kind.removesuffix("s"))


def _files(folder: Path, faults: list[str]) -> Iterator[tuple[str, Path]]:
    for sub in sorted(folder.iterdir()):
        if not sub.is_dir():
            continue
        for path in sorted(sub.glob("*.y*ml")):
            if sub.name in kinds():
                yield sub.name, path
            elif sub.name not in ("checks", "files", "schema", "locks"):
                faults.append(f"{path}:1: unknown kind of manifest '{sub.name}'{near(sub.name, kinds())}")


def _load_file(path: Path, kind: str, faults: list[str]) -> Model | None:
    thing = load_model(path, kinds()[kind], faults)
    if thing is None:
        return None
    if getattr(thing, _key(kind)) != path.stem:
        faults.append(f"{path}:1: {_key(kind)} '{getattr(thing, _key(kind))}' must stand in a file of that name")
    return thing


def load_model(path: Path, model: type[Read], faults: list[str]) -> Read | None:
    """The data of one file as `model`, or None and its faults."""
    return _parse(path, read_yaml(path), model, faults)


def _retired(path: Path, faults: list[str], origin: dict[tuple[str, str], Path]) -> dict[str, Retired]:
    """The retired tools that a file names, under each of their names; none when there is no such file."""
    rows = load_model(path, RetiredTools, faults) if path.is_file() else None
    found: dict[str, Retired] = {}
    for row in rows.retired if rows is not None else ():
        origin["retired", row.tool] = path
        names = (row.tool, *row.aliases)
        faults += [f"{path}:{_line_of(path, name)}: '{name}' stands twice" for name in names if name in found]
        found |= dict.fromkeys(names, row)
    return found


def _extend(
    variants: dict[str, Variant], origin: Mapping[tuple[str, str], Path], broken: set[tuple[str, str]]
) -> Iterator[str]:
    """Make every variant that extends another one whole, in `variants`; one that cannot be becomes `broken`."""
    written = dict(variants)
    reported = frozenset(broken)
    for name, variant in written.items():
        chain = [variant]
        while (other := chain[-1].extends) in written and written[other] not in chain:
            chain.append(written[other])
        where = origin["variants", name]
        if other is not None:
            del variants[name]
            broken.add(("variants", name))
            if other == name:
                way = " -> ".join((*(one.variant for one in chain), name))
                yield f"{where}:{_line_of(where, 'extends')}: variant '{name}' extends itself: {way}"
            elif len(chain) == 1 and ("variants", other) not in reported:
                line = _line_of(where, "extends")
                yield f"{where}:{line}: extends unknown variant '{other}'{near(other, written)}"
            continue
        *steps, whole = chain
        for one in reversed(steps):
            yield from _without(one, whole, where) if one is variant else ()
            whole = one.extended(whole)
        variants[name] = whole


def _without(variant: Variant, base: Variant, where: Path) -> Iterator[str]:
    """What is wrong with the tools that `variant` takes out of those of `base`."""
    for tool in variant.without:
        line = _line_of(where, tool)
        if tool in variant.tools:
            yield f"{where}:{line}: tool '{tool}' stands under 'tools' and under 'without'"
        elif tool not in base.tools:
            yield f"{where}:{line}: variant '{base.variant}' has no tool '{tool}'{near(tool, base.tools)} to go without"


def _parse(path: Path, read: tuple[Any, Mapping[Loc, int]] | str, model: type[Read], faults: list[str]) -> Read | None:
    if isinstance(read, str):
        faults.append(read)
        return None
    data, lines = read
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults += [_say(path, lines, model, detail) for detail in _most_telling(error.errors(include_url=False))]
        return None


def _load_compat(path: Path, earlier: Compat, faults: list[str]) -> Compat:
    """The compatibility rows of one folder; empty where it has none. Two rows of one key in a file are a fault."""
    if not path.is_file():
        return Compat()
    read = read_yaml(path)
    rows = _parse(path, read, Compat, faults)
    if rows is None or isinstance(read, str):
        return Compat()
    known = earlier.sources | rows.sources
    for table, members in rows.tables.items():
        seen: set[tuple[str, ...]] = set()
        for number, row in enumerate(members):
            where = f"{path}:{read[1][table, number]}"
            if row.key in seen:
                faults.append(f"{where}: {table}: a row for {' '.join(row.key)} stands above already")
            seen.add(row.key)
            if row.source not in known:
                faults.append(f"{where}: unknown source '{row.source}'{near(row.source, known)}")
    return rows


def read_yaml(path: Path) -> tuple[Any, dict[Loc, int]] | str:
    """Data of a YAML file and the line of every key and item, or the fault as `file:line: what`."""
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem or error.context}"
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        return f"{path}:1: not valid YAML: {error}".replace("\n", " ")
    except OSError as error:
        return f"{path}: {error.strerror}"
    if node is None:
        return f"{path}:1: empty"
    lines: dict[Loc, int] = {}
    if fault := _index(node, (), lines):
        return f"{path}:{fault}"
    try:
        return loader.construct_document(node), lines
    except NOT_OF_ITS_KIND:
        scalar = _unreadable(loader, node)
        what = f"'{scalar.value}' is no {scalar.tag.split(':')[-1]}" if scalar is not None else "a tag does not fit"
        return f"{path}:{(scalar or node).start_mark.line + 1}: not valid YAML: {what}"


def _unreadable(loader: yaml.SafeLoader, node: yaml.Node) -> yaml.Node | None:
    """The first scalar below `node` that YAML takes for a date or number, and that is none."""
    if isinstance(node, yaml.ScalarNode):
        try:
            loader.construct_document(node)
        except NOT_OF_ITS_KIND:
            return node
        return None
    children = [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
    return next((found for child in children if (found := _unreadable(loader, child)) is not None), None)


def _index(node: yaml.Node, loc: Loc, lines: dict[Loc, int], above: tuple[yaml.Node, ...] = ()) -> str | None:
    """Fill `lines`; returns `line: what` for a key that stands twice or is no text, and for data inside itself."""
    if any(node is one for one in above):
        return f"{node.start_mark.line + 1}: an alias inside what it names"
    above = (*above, node)
    lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                return f"{key.start_mark.line + 1}: a key is one word, no list or table"
            child = (*loc, key.value)
            if child in lines:
                return f"{key.start_mark.line + 1}: key '{key.value}' stands twice"
            lines[child] = key.start_mark.line + 1
            if fault := _index(value, child, lines, above):
                return fault
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            if fault := _index(value, (*loc, number), lines, above):
                return fault
    return None


def _most_telling(errors: Sequence[ErrorDetails]) -> Iterator[ErrorDetails]:
    """One error for each place, and none for a list that is empty only because its items are wrong."""
    seen: set[tuple[Loc, str]] = set()
    for error in errors:
        key = (error["loc"], error["msg"])
        inner = any(other["loc"][: len(error["loc"])] == error["loc"] != other["loc"] for other in errors)
        if key not in seen and not (error["type"] == "too_short" and inner):
            seen.add(key)
            yield error


def _say(path: Path, lines: Mapping[Loc, int], model: type[BaseModel], error: ErrorDetails) -> str:
    loc = tuple(part for part in error["loc"] if part != "[key]")
    place = loc
    while place and place not in lines:
        place = place[:-1]
    where = f"{path}:{lines.get(place, 1)}"
    dotted = ".".join(str(part) for part in place) or "file"
    match error["type"]:
        case "extra_forbidden":
            key = str(loc[-1])
            return f"{where}: unknown key '{key}'{near(key, _fields_at(model, loc[:-1]))}"
        case "missing":
            return f"{where}: key '{loc[-1]}' is missing"
        case "value_error":
            return f"{where}: {str(error['msg']).removeprefix('Value error, ')}"
        case _:
            given = error.get("input")
            shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
            return f"{where}: {dotted}: {error['msg'][0].lower()}{error['msg'][1:]}{shown}"


def _fields_at(model: Any, loc: Loc) -> list[str]:
    """Keys that may stand at `loc` inside `model`."""
    for part in loc:
        model = _inner(model, part)
    models = [one for one in _branches(model) if isinstance(one, type) and issubclass(one, BaseModel)]
    return [name for one in models for name in one.model_fields]


def _branches(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Annotated:
        return _branches(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return tuple(branch for one in get_args(kind) for branch in _branches(one))
    return (kind,)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """What stands side by side in a union, each with what is noted on it, such as its tag."""
    if get_origin(kind) is Annotated:
        return _alternatives(get_args(kind)[0])
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else ()


def _inner(kind: Any, part: str | int) -> Any:
    for branch in _alternatives(kind):
        if Tag(str(part)) in getattr(branch, "__metadata__", ()):
            return branch
    for branch in _branches(kind):
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            if part in branch.model_fields:
                return branch.model_fields[str(part)].annotation
        elif get_origin(branch) is tuple and isinstance(part, int):
            return get_args(branch)[0]
        elif get_origin(branch) is dict:
            return get_args(branch)[1]
    return None


def _cross_check(catalog: Catalog, broken: Set[tuple[str, str]]) -> Iterator[str]:
    """Faults between files: names that lead nowhere, files that are missing, two tools that want one path.

    What is `broken` has been reported: that others name it is no further fault.
    """
    for name, tool in catalog.tools.items():
        where = catalog.origin["tools", name]
        yield from (
            f"{where}:{_line_of(where, other)}: requires {catalog.no_tool(other)}"
            for other in tool.requires
            if other not in catalog.tools and ("tools", other) not in broken
        )
        wanted = [check.script for check in tool.checks if check.script]
        wanted += [file.source for file in tool.files.values() if file.source]
        for relative in wanted:
            if not any((folder / relative).is_file() for folder in catalog.folders):
                yield f"{where}:{_line_of(where, relative)}: no file '{relative}' in the manifests"
        for path in tool.files:
            pure = PurePosixPath(path)
            if ".." in pure.parts or any(pure.is_relative_to(folder) for folder in RESERVED):
                yield f"{where}:{_line_of(where, path)}: a tool may not write '{path}'"
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
                yield f"{where}:{_line_of(where, other)}: {unknown}"
    for name, variant in catalog.variants.items():
        where = catalog.origin["variants", name]
        extended = catalog.variants.get(variant.extends or "")
        # what is wrong with the other variant is reported there
        known = {fault for _, fault in _check_variant(catalog, extended, broken)} if extended is not None else set()
        yield from (
            f"{where}:{_line_of(where, word)}: {fault}"
            for word, fault in _check_variant(catalog, variant, broken)
            if fault not in known
        )
    for row in {row.tool: row for row in catalog.retired.values()}.values():
        where = catalog.origin["retired", row.tool]
        yield from (
            f"{where}:{_line_of(where, other)}: successor of '{row.tool}': {catalog.no_tool(other)}"
            for other in row.successors
            if other not in catalog.tools and ("tools", other) not in broken
        )


def _check_source(
    catalog: Catalog, where: Path, tool: str, number: int, source: Source, broken: Set[tuple[str, str]]
) -> Iterator[str]:
    if not source.requests():
        known = ", ".join(ecosystems.registry())
        yield f"{where}:1: source {number + 1} of '{tool}' names no ecosystem (one of {known})"
    if source.index is not None and source.index not in catalog.indexes:
        line = _line_of(where, source.index)
        yield f"{where}:{line}: unknown index '{source.index}'{near(source.index, catalog.indexes)}"
    if source.repository is not None:
        line = _line_of(where, source.repository)
        if source.repository not in catalog.repositories and ("repositories", source.repository) not in broken:
            near_one = near(source.repository, catalog.repositories)
            yield f"{where}:{line}: unknown repository '{source.repository}'{near_one}"
        asked = [*source.requests(), *source.build]
        if not any(one.placement == "system" for name, one in ecosystems.registry().items() if name in asked):
            yield f"{where}:{line}: 'repository' goes with system packages, and source {number + 1} asks for none"
    for ecosystem, request in source.build.items():
        if ecosystem not in ecosystems.registry():
            line = _line_of(where, ecosystem)
            yield f"{where}:{line}: unknown ecosystem '{ecosystem}'{near(ecosystem, ecosystems.registry())}"
            continue
        try:
            ecosystems.parse_request(ecosystem, request)
        except ValueError as error:
            yield f"{where}:{_line_of(where, ecosystem)}: build.{ecosystem}: {error}"


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


def suits(formats: Sequence[str], variant: Variant) -> bool:
    """Whether what is only for `formats` (for all of them when there are none) can be in an image of `variant`."""
    return not formats or not set(formats).isdisjoint(variant.formats)


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


def _line_of(path: Path, word: str) -> int:
    """First line of `path` that holds `word`, for faults found between files."""
    lines = path.read_text(encoding="utf-8").splitlines()
    whole = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")
    return next((number for number, line in enumerate(lines, 1) if whole.search(line)), 1)


def schemas() -> Mapping[str, Mapping[str, Any]]:
    """File name -> JSON Schema, for editors."""
    models = {_key(kind): model for kind, model in kinds().items()}
    models |= {"compat": Compat, "retired": RetiredTools}
    return {f"{name}.json": model.model_json_schema() for name, model in models.items()}
