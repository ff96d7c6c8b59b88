"""The answer of `invoke doctor`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dsvm.model.answers.common import Answer, Fault, Text
from dsvm.model.common import Model


class Diagnosed(Model):
    """One thing that this host has, lacks or does slowly."""

    level: Literal["ok", "optional", "slow", "missing"] = Field(
        description="missing: the command fails; optional: it is missing, and nothing that was asked about needs it"
    )
    subject: Text = Field(description="the thing: engine, disk, or the name of a program")
    what: Text = Field(description="what was found, in words, maybe in several lines")
    remedy: Text | None = Field(description="how to mend it, in words; null: nothing to mend")


class DoctorAnswer(Answer):
    """The answer of `invoke doctor`: what this host has, what is missing or slow."""

    schema_: Literal["dsvm.doctor/1"] = Field(
        "dsvm.doctor/1", alias="schema", description="this schema and its version"
    )
    variant: str | None = Field(description="name of the variant that was asked about; null: all of them")
    diagnoses: tuple[Diagnosed, ...] = Field(description="everything that was looked at")
    faults: tuple[Fault, ...] = Field(description="what is wrong with variants; of one that was asked about, nothing")
