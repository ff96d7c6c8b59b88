"""The answers of `invoke compat`, with and without `--explain`."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field

from dsvm.model.answers.common import Answer, Fault, Text
from dsvm.model.common import Accelerator, Model
from dsvm.model.compatibility import Compat, EndRow, GateLevel
from dsvm.model.lock import LeftOut

JudgedBy = Literal["lock", "promises"]
Verdict = Literal["fits", "refused"]


class EndToday(EndRow):
    """When something's maintenance ends, and what the policy makes of it today."""

    level: GateLevel = Field(description="what the gate says of it today")


class RowsToday(Compat):
    """All rows of the gate; empty lists where there are none."""

    ends: tuple[EndToday, ...] = Field(description="when maintenance ends")


class JudgedVariant(Model):
    """What the gate says of a variant."""

    variant: str = Field(description="name of the variant")
    judged_by: JudgedBy = Field(description="its lock, or what its manifests promise where no lock fits them")
    verdict: Verdict = Field(description="whether the gate lets it pass")
    refused_by: tuple[str, ...] = Field(description="names of the rules that refuse it")
    findings: dict[GateLevel, int] = Field(description="number of findings of each level")


class CompatAnswer(Answer):
    """The answer of `invoke compat`: what fits together, and what that says of every variant."""

    schema_: Literal["dsvm.compat/1"] = Field(
        "dsvm.compat/1", alias="schema", description="this schema and its version"
    )
    today: datetime.date = Field(description="day by which ends of life are judged, ISO 8601")
    rows: RowsToday = Field(description="rows of the project and of further folders, each with source and date")
    variants: tuple[JudgedVariant, ...] = Field(description="variants without faults, by name")
    faults: tuple[Fault, ...] = Field(description="what is wrong with the variants that are not judged")


class Found(Model):
    """What a rule found on one thing."""

    level: GateLevel = Field(description="error: the gate refuses the variant; not_checked: no row speaks about it")
    what: Text = Field(description="what it looked at and found, in words")
    source: Text | None = Field(description="who says so, in words; null: nobody needs to")
    remedy: Text | None = Field(description="what to do, in words; null: nothing")


class ExplainedRule(Model):
    """A rule of the gate, and what it found."""

    rule: str = Field(description="name of the rule")
    statement: str = Field(description="what holds where it finds nothing wrong, in words")
    findings: tuple[Found, ...] = Field(description="none: nothing in this variant that it looks at")


class ExplainAnswer(Answer):
    """The answer of `invoke compat --explain VARIANT`: every rule, what it looked at and what it found."""

    schema_: Literal["dsvm.explain/1"] = Field(
        "dsvm.explain/1", alias="schema", description="this schema and its version"
    )
    variant: str = Field(description="name of the variant")
    base: str = Field(description="name of its base")
    accelerator: Accelerator = Field(description="what its images compute on")
    judged_by: JudgedBy = Field(description="its lock, or what its manifests promise where no lock fits them")
    verdict: Verdict = Field(description="whether the gate lets it pass")
    rules: tuple[ExplainedRule, ...] = Field(description="all rules, in the order in which people read them")
    left_out: tuple[LeftOut, ...] = Field(description="tools that it names and that are for other formats only")
