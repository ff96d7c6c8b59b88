"""JSON Schemas as files: of manifests, for editors, and of answers, for programs that read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsvm import ROOT
from dsvm.catalog import MANIFESTS, known_names, schema_of, schemas
from dsvm.host import write_whole
from dsvm.model import Difference, InputError, Model, Night, answers
from dsvm.screen.console import echo

ANSWERS_FOLDER = ROOT / "docs" / "schema"


def write_schemas(folders: Sequence[Path]) -> None:
    """Write those of manifests to the latest of the catalog's folders; InputError when there is none such.

    Those of answers know no names: they are written with the project's own.
    """
    latest = (MANIFESTS, *folders)[-1]
    if not latest.is_dir():
        raise InputError(f"{latest}: no such folder")
    _write(latest / "schema", schema_texts(folders))
    if not folders:
        _write(ANSWERS_FOLDER, answer_texts())


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        write_whole(folder / name, text)
    echo(f"{len(texts)} schemas in {folder}")


def schema_texts(folders: Sequence[Path] = ()) -> dict[str, str]:
    """File name -> text of each manifest's schema, which knows the names in the project's manifests and `folders`."""
    return {name: _text(schema) for name, schema in schemas(known_names([MANIFESTS, *folders])).items()}


def answer_texts() -> dict[str, str]:
    """File name -> text of each answer's schema."""
    texts = {}
    models: tuple[type[Model], ...] = (*answers.ANSWERS, Difference, Night)
    for model in models:
        command, version = model.model_fields["schema_"].default.removeprefix("dsvm.").split("/")
        schema = schema_of(model, f"answer:{command}:{version}", {}, mode="serialization")
        texts[f"{command}.json"] = _text(_open(schema))
    return texts


def _open(schema: Any) -> Any:
    """`schema` without its ban on further keys: a program that reads answers passes over those that are new to it."""
    if isinstance(schema, list):
        return [_open(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {key: _open(one) for key, one in schema.items() if (key, one) != ("additionalProperties", False)}


def _text(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"
