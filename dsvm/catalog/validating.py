"""What a file says as a model, or what is wrong with it: pydantic's errors in words for people, with file:line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from dsvm.catalog.reading import Loc, read_yaml
from dsvm.catalog.words import near
from dsvm.model import Model

Read = TypeVar("Read", bound=Model)


def load_model(path: Path, model: type[Read], faults: list[str]) -> Read | None:
    """The data of one file as `model`, or None and its faults."""
    return parse(path, read_yaml(path), model, faults)


def parse(path: Path, read: tuple[Any, Mapping[Loc, int]] | str, model: type[Read], faults: list[str]) -> Read | None:
    """What `read_yaml` gave for `path` as `model`, or None and its faults."""
    if isinstance(read, str):
        faults.append(read)
        return None
    data, lines = read
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults += [_say(path, lines, model, detail) for detail in _most_telling(error.errors(include_url=False))]
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
