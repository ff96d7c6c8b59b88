"""The two forms of an answer: tables for people, or one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from dsvm.catalog import Catalog, near
from dsvm.model import InputError, answers
from dsvm.screen.console import put, with_catalog

Given = TypeVar("Given", bound=answers.Answer)
FORMS = ("table", "json")


def shown_as(form: str, tables: Callable[[Given], None]) -> Callable[[Given], None]:
    """What prints an answer in `form`: `tables`, or what prints JSON; InputError for a form that there is not."""
    if form not in FORMS:
        raise InputError(f"--format: unknown format '{form}'{near(form, FORMS)}", hint=f"Known: {', '.join(FORMS)}")
    return tables if form == "table" else _print_json


def _print_json(answer: answers.Answer) -> None:
    """Print one object, in ASCII: no character of foreign text does anything to a terminal."""
    put(json.dumps(_completed(answer.model_dump(mode="json", by_alias=True)), indent=1))


def _completed(value: Any) -> Any:
    """`value` with the user's own --catalog in every command that a text in it proposes."""
    if isinstance(value, dict):
        return {key: _completed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_completed(inner) for inner in value]
    return with_catalog(value) if isinstance(value, str) else value


def faults_of(catalog: Catalog) -> tuple[answers.Fault, ...]:
    """What is wrong with the variants of `catalog` that cannot be used."""
    return tuple(answers.Fault.of(text, variants) for text, variants in catalog.faults.items())
