"""Holds: packages that are kept back because a newer one of them broke a check. The form is that of waivers."""

from __future__ import annotations

import datetime

from pydantic import Field

from dsvm.model.common import Line, Model, Sha256
from dsvm.model.lock import Word

TOOLS = "tools"  # stands for a section where it is about tools as such: that came in, went, or stay out
WHOLE = "*"  # stands for a package where a section is held as it is


class Hold(Model):
    """A package of a section that stays at a version, a whole section that stays as it is, or a tool that stays out."""

    section: Word = Field(description="section of the lock: env-base, system, ...; or tools, for one that stays out")
    package: Word = Field(description="name of the package, or * for all that the section has; or of the tool")
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
        if self.section == TOOLS:
            return f"the tool {self.package}"
        what = "everything" if self.package == WHOLE else f"{self.package} {self.version or ''}".strip()
        return f"{what} of {self.section}"


class Holds(Model):
    """What is held back in one variant."""

    holds: tuple[Hold, ...] = ()

    @property
    def tools(self) -> tuple[str, ...]:
        """Tools that stay out where they are, whoever brings them again."""
        return tuple(one.package for one in self.holds if one.section == TOOLS)

    def on(self, today: datetime.date) -> Holds:
        """Those that count on a day: one that has expired holds nothing."""
        return Holds(holds=tuple(one for one in self.holds if one.expires >= today))
