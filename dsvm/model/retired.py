"""Tools that image makers once had."""

from __future__ import annotations

import re
from datetime import date

from pydantic import Field, field_validator

from dsvm.model.common import Line, Model, Name, ToolName


class Retired(Model):
    """A tool that its makers have ended: asking for it says so, and what takes its place."""

    tool: Name
    aliases: tuple[Name, ...] = Field((), description="other names that people ask for it by")
    since: Line = Field(description="date as far as it is known: YYYY, YYYY-MM or YYYY-MM-DD")
    why: Line
    successors: tuple[ToolName, ...] = Field(min_length=1, description="tools that take its place")
    source: Line = Field(description="where this stands")

    @field_validator("since", mode="before", json_schema_input_type=str | int)
    @classmethod
    def _text(cls, value: object) -> object:
        # YAML reads 2023 as a number and 2023-07-01 as a date
        return str(value) if isinstance(value, int | date) else value

    @field_validator("since")
    @classmethod
    def _is_date(cls, value: str) -> str:
        if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", value):
            raise ValueError(f"'{value}' is no date: YYYY, YYYY-MM or YYYY-MM-DD")
        return value


class RetiredTools(Model):
    """Tools that image makers once had, by name."""

    retired: tuple[Retired, ...]
