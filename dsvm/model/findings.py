"""What an audit has to say: findings, the policy that limits them, and waivers of it."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from dsvm.model.common import Line, Model, Name, digest_of, is_empty, is_none

# The worst first. `unknown` is an answer that could not be had: it is never clean.
Level = Literal["error", "warning", "unknown", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "unknown", "note")
# what a waiver or a policy means: a name with stars, such as GHSA-* or nvidia-*
Pattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.*_+@:/ -]+$", max_length=200)]
Text = Annotated[str, StringConstraints(max_length=4000)]


class Where(Model):
    """Where a finding is, as far as it is anywhere."""

    file: Line | None = Field(None, exclude_if=is_none, description="a manifest or a lock, below its folder's parent")
    line: int | None = Field(None, ge=1, exclude_if=is_none, description="in that file")
    section: Line | None = Field(None, exclude_if=is_none, description="of the lock")
    pin: Line | None = Field(None, exclude_if=is_none, description="NAME VERSION of a locked package")
    tools: tuple[Line, ...] = Field((), exclude_if=is_empty, description="what brings it")
    path: Line | None = Field(None, exclude_if=is_none, description="in the image")


class Finding(Model):
    """One thing that an audit has to say."""

    rule: Name
    id: Line = Field(description="what it is about, the same in every run: an advisory, a package, a product")
    aliases: tuple[Line, ...] = Field((), exclude_if=is_empty, description="other ids of the same")
    packages: tuple[Line, ...] = Field(
        (), exclude_if=is_empty, description="names by which waivers may call what it is about, beside that of the pin"
    )
    level: Level
    what: Text
    where: Where = Where()
    why: Text = Field("", exclude_if=is_empty, description="why it matters")
    action: Text = Field("", exclude_if=is_empty, description="what to do")
    source: Text = Field("", exclude_if=is_empty, description="who says so")
    date: datetime.date | None = Field(None, exclude_if=is_none, description="of that knowledge")
    waived: Line | None = Field(None, exclude_if=is_none, description="the reason of the waiver that covers it")

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of what makes it the same finding in another run: neither lines nor words count."""
        where = self.where.model_dump(mode="json", include={"section", "path"})
        name = (self.where.pin or "").partition(" ")[0]
        return digest_of([self.rule, self.id, name, where])


class Waiver(Model):
    """An exception from the policy. Who made it, why and until when stand in it."""

    rule: Name
    id: Pattern = Field(description="the finding's own or an alias of it, or a pattern with stars")
    package: Pattern | None = Field(
        None, description="only for this locked package, or the source package that it is built from, or with stars"
    )
    variant: Pattern | None = Field(None, description="only in this variant, or a pattern with stars")
    reason: Line = Field(min_length=10)
    owner: Line = Field(min_length=2, description="who answers for it: a name, a team, an address")
    expires: datetime.date


class Terms(Model):
    """Terms that SPDX has no name for, by what artefacts say of themselves."""

    license: Pattern = Field(description="a name of one's own, LicenseRef-NAME", pattern=r"^LicenseRef-[A-Za-z0-9.-]+$")
    packages: tuple[Pattern, ...] = Field(("*",), description="names of packages, or patterns with stars")
    says: tuple[Line, ...] = Field(
        min_length=1, description="what stands in the artefact, in any letter case, with stars: *Proprietary*"
    )
    source: Line = Field(min_length=1, description="where the terms can be read")
    date: datetime.date = Field(description="when this was written down")


class LicensePolicy(Model):
    """Licences by their SPDX names, or patterns with stars. What no list names is the policy's `other`.

    The strictest list counts: denied, then opt_in, then allowed.
    """

    allowed: tuple[Pattern, ...] = ()
    opt_in: tuple[Pattern, ...] = Field((), description="allowed for packages that a waiver of rule `license` names")
    denied: tuple[Pattern, ...] = ()
    other: Level = Field("warning", description="the level of a licence that no list names")
    terms: tuple[Terms, ...] = Field((), description="terms that SPDX has no name for; the first that fits counts")


class Policy(Model):
    """What an audit may find in an image that is shipped."""

    fail_on: Level = Field("error", description="findings of this level, or a worse one, forbid it")
    levels: dict[Name, Level] = Field(default_factory=dict, description="rule -> the level of all its findings")
    licenses: LicensePolicy = LicensePolicy()
    every_check: bool = Field(
        False, description="a night releases only images of which every check ran: those of GPUs too"
    )
    longest_waiver: int = Field(365, ge=1, description="days until which a waiver may last, counted from today")
    waivers: tuple[Waiver, ...] = ()

    def with_later(self, later: Self) -> Self:
        """This one with what a later folder says: its keys take the place, levels and waivers come on top."""
        said = {name: getattr(later, name) for name in later.model_fields_set}
        if "licenses" in said:
            ours = {name: getattr(later.licenses, name) for name in later.licenses.model_fields_set}
            ours["terms"] = (*later.licenses.terms, *self.licenses.terms)
            said["licenses"] = self.licenses.model_copy(update=ours)
        said["levels"] = self.levels | later.levels
        said["waivers"] = (*self.waivers, *later.waivers)
        return self.model_copy(update=said)


class Audit(Model):
    """What an audit of one variant found."""

    schema_: Literal["dsvm.audit/1"] = Field("dsvm.audit/1", alias="schema", serialization_alias="schema")
    variant: Line
    lock: Line = Field(description="digest of the lock that was audited")
    day: datetime.date = Field(description="the day that counts as today")
    fail_on: Level
    artefacts: int = Field(ge=0, description="different artefacts of the lock")
    findings: tuple[Finding, ...]

    @property
    def forbidden(self) -> tuple[Finding, ...]:
        """What the policy does not let pass."""
        worst = LEVELS[: LEVELS.index(self.fail_on) + 1]
        return tuple(finding for finding in self.findings if finding.level in worst and finding.waived is None)
