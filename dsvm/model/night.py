"""The record of a night: what moved, what broke, what was held back, and what was released."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field

from dsvm.model.common import Line, Model
from dsvm.model.difference import Difference
from dsvm.model.findings import Text
from dsvm.model.holds import Hold

# unchanged: nothing moved, and nothing was built. green: all that moved is out. held: the rest is. red: nothing is.
NightVerdict = Literal["unchanged", "green", "held", "red"]
NIGHT_VERDICTS: tuple[NightVerdict, ...] = ("unchanged", "green", "held", "red")  # the best first
Went = Literal["passed", "broke", "not tried"]


class Trial(Model):
    """An image that was made to find out what breaks a check."""

    moves: tuple[Line, ...] = Field(description="changes that it had")
    went: Went = Field(description="not tried: the solver does not allow these without others")
    seconds: float = Field(ge=0, description="how long it took")


class Culprit(Model):
    """The smallest change that breaks something."""

    moves: tuple[Line, ...] = Field(description="all are needed for it to break")
    with_them: tuple[Line, ...] = Field((), description="what the solver moves with them")
    checks: tuple[Line, ...] = Field(description="what breaks, TOOL: CHECK, or build: STAGE")
    output: Text = Field("", description="the end of what the first of them said")
    trials: tuple[Trial, ...] = Field(description="how it was found, in order")


class StepTime(Model):
    """How long a step took."""

    step: Line = Field(description="lock, audit, build, verify, search, release, ...")
    seconds: float = Field(ge=0, description="of all its times together")


class VariantNight(Model):
    """What a night came to for one variant."""

    variant: Line = Field(description="its name")
    verdict: NightVerdict = Field(
        description="unchanged: nothing was built; green: all that moved is out; held: the rest of it; red: nothing"
    )
    old: Line | None = Field(description="digest of yesterday's lock; null on the first night")
    new: Line | None = Field(description="digest of the lock that was taken; null when none was")
    changes: Difference | None = Field(None, description="between the two, as invoke diff has it")
    broke: Line = Field("", description="the step that ended it: lock, audit, build, verify, ...")
    why: Text = Field("", description="the error of that step")
    stayed: dict[Line, Text] = Field(default_factory=dict, description="section that could not be resolved anew -> why")
    flaky: tuple[Line, ...] = Field((), description="checks that failed, and then passed")
    culprits: tuple[Culprit, ...] = Field((), description="what broke something, in the order in which it was found")
    holds: tuple[Hold, ...] = Field((), description="what is held back now")
    dropped: tuple[Hold, ...] = Field((), description="what was held, and passes now")
    passed: int | None = Field(None, description="checks that passed; null where none ran")
    failed: int | None = Field(None, description="checks that failed")
    not_exercised: int | None = Field(None, description="checks that could not be made here")
    image: Line | None = Field(None, description="id of the image that passed")
    size: int | None = Field(None, description="bytes of its layers, unpacked; null where it was built before")
    pull: int | None = Field(None, description="bytes that a machine with the last release fetches for this one")
    steps: tuple[StepTime, ...] = Field(
        (), description="how long each kind of step took; a search is made of the others"
    )


class Night(Model):
    """What a night came to."""

    schema_: Literal["dsvm.night/1"] = Field(
        "dsvm.night/1", alias="schema", serialization_alias="schema", description="form of this record"
    )
    began: datetime.datetime = Field(description="UTC")
    seconds: float = Field(ge=0, description="from then to its end")
    registry: Line | None = Field(description="where releases go; null when nothing is published")
    channels: tuple[Line, ...] = Field(description="names that move to this release")
    verdict: NightVerdict = Field(description="the worst of its variants")
    why: Text = Field("", description="of a red one: the first error")
    release: Line | None = Field(None, description="digest of the release's index; null when none was made")
    variants: tuple[VariantNight, ...] = Field(description="in the order in which they were named")
