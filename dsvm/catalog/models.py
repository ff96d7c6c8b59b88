"""Which model the files of each folder have, and their JSON Schemas."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import Field, create_model

from dsvm import ecosystems
from dsvm.model import Base, Compat, Index, Model, Repository, RetiredTools, Source, Tool, Variant


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


def schemas() -> Mapping[str, Mapping[str, Any]]:
    """File name -> JSON Schema, for editors."""
    models = {key_of(kind): model for kind, model in kinds().items()}
    models |= {"compat": Compat, "retired": RetiredTools}
    return {f"{name}.json": model.model_json_schema() for name, model in models.items()}
