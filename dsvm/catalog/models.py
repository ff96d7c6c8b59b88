"""Which model the files of each folder have, and their JSON Schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from dsvm import ecosystems
from dsvm.model import Base, Compat, Index, Model, Policy, Repository, RetiredTools, Source, Tool, Variant


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


def key_of(kind: str) -> str:
    """The first key of the files in folder `kind`: tools -> tool."""
    return {"indexes": "index", "repositories": "repository"}.get(kind, kind.removesuffix("s"))


def schemas(names: Mapping[str, Sequence[str]]) -> Mapping[str, Mapping[str, Any]]:
    """File name -> JSON Schema, for editors; `names`, kind -> known names, are what they offer where one is wanted."""
    models = {key_of(kind): model for kind, model in kinds().items()}
    models |= {"compat": Compat, "policy": Policy, "retired": RetiredTools}
    return {f"{name}.json": schema_of(model, f"schema:{name}", names) for name, model in models.items()}


def schema_of(
    model: type[Model], name: str, names: Mapping[str, Sequence[str]], *, mode: JsonSchemaMode = "validation"
) -> Mapping[str, Any]:
    """The JSON Schema of `model`, with the URN `name`: of what it takes, or with `serialization` of what it prints."""
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"urn:dsvm:{name}",
        **_offering(model.model_json_schema(mode=mode), names),
    }


def _offering(schema: Any, names: Mapping[str, Sequence[str]]) -> Any:
    """`schema` with the known names beside each pattern of a name (`"names": kind`); others are right too."""
    if isinstance(schema, list):
        return [_offering(one, names) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _offering(value, names) for key, value in schema.items()}
    kind = inner.pop("names", None) if isinstance(inner.get("names"), str) else None
    if not (known := names.get(kind or "", ())):
        return inner
    pattern = {key: inner.pop(key) for key in ("type", "pattern", "maxLength", "anyOf") if key in inner}
    return {**inner, "anyOf": [{"enum": sorted(known)}, pattern]}
