"""What verification found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dsvm.model.common import Model, Name, Sha256, is_empty
from dsvm.model.lock import LeftOut

Outcome = Literal["passed", "failed", "not exercised"]


class CheckResult(Model):
    tool: str
    check: str
    outcome: Outcome
    seconds: float
    output: str = Field("", description="of a failure, or the reason why it was not exercised")


class Report(Model):
    """What verification found on one image."""

    variant: Name
    image: str = Field(description="image digest, sha256:HEX")
    lock: Sha256
    results: tuple[CheckResult, ...]
    left_out: tuple[LeftOut, ...] = ()
    facts: dict[str, str] = Field(
        default_factory=dict, exclude_if=is_empty, description="what else was measured, such as a machine's boot time"
    )

    def count(self, outcome: Outcome) -> int:
        return sum(result.outcome == outcome for result in self.results)
