"""Holds: packages that are kept back because a newer one of them broke a check. The form is that of waivers."""

from __future__ import annotations

import datetime

from pydantic import Field

from dsvm.model.common import Line, Model, Sha256
from dsvm.model.lock import Word

WHOLE = "*"  # stands for a package where a section is held as it is


class Hold(Model):
    """A package of one section that stays at a version, or a whole section that stays as it is."""

    section: Word = Field(description="section of the lock: env-base, system, ...")
    package: Word = Field(description="name of the package, or * for all that the section has")
    version: Word | None = Field(None, description="at which it stays; none for a whole section")
    broken: Word | None = Field(None, description="the version that breaks the check")
    check: Line = Field("", description="what breaks, TOOL: CHECK")
    reason: Line = Field(min_length=10, description="why it is held")
    owner: Line = Field(min_length=2, description="who answers for it: a name, a team, or the nightly")
    expires: datetime.date = Field(description="the last day on which it counts")
    tried: Sha256 | None = Field(None, description="digest of the artefacts that broke without it at last")

    @property
    def name(self) -> str:
        """For people: pandas 2.3.1 of env-base."""
        what = "everything" if self.package == WHOLE else f"{self.package} {self.version or ''}".strip()
        return f"{what} of {self.section}"


class Holds(Model):
    """What is held back in one variant."""

    holds: tuple[Hold, ...] = ()

    def on(self, today: datetime.date) -> Holds:
        """Those that count on a day: one that has expired holds nothing."""
        return Holds(holds=tuple(one for one in self.holds if one.expires >= today))
