"""What a page shows, before it is HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from dsvm.container import Kept
from dsvm.model import LEVELS, Audit, CheckResult, Difference, Finding, Level, Outcome, Plan, Report
from dsvm.report.timeline import Timeline
from dsvm.report.words import plural

# may: built, verified, and the policy lets it pass. Whatever nobody has looked at is never that.
Verdict = Literal["may", "must not", "not verified", "not exercised"]
VERDICTS: Mapping[Verdict, str] = {
    "may": "May be shipped",
    "must not": "Must not be shipped",
    "not verified": "Not verified",
    "not exercised": "Not exercised",
}


# Rules of the ledger that speak of more than a path
LEDGER = ("layers", "ledger")


@dataclass(frozen=True)
class ToolRow:
    """A tool, or the image itself, with what verification found."""

    name: str
    group: str
    version: str = ""
    license: str = ""
    size: int | None = None
    place: str = ""
    summary: str = ""
    homepage: str = ""
    # why it is not in the image
    left_out: str = ""
    checks: tuple[CheckResult, ...] = ()
    # planned checks that no report has
    planned: int = 0

    def count(self, outcome: Outcome) -> int:
        """How many of its checks had that outcome."""
        return sum(one.outcome == outcome for one in self.checks)

    @property
    def state(self) -> str:
        """The worst that is to be said of it."""
        if self.left_out:
            return "left out"
        if self.count("failed"):
            return "failed"
        return "passed" if self.count("passed") and not self.count("not exercised") else "not exercised"


@dataclass(frozen=True)
class PackageRow:
    """A package in one place of the image."""

    name: str
    version: str
    section: str
    ecosystem: str
    license: str
    size: int | None
    tools: tuple[str, ...]
    # the worst that is said of it, and how often
    level: Level | None
    findings: int


@dataclass(frozen=True)
class LayerRow:
    """A layer of the built image, or what will be one."""

    name: str
    # what it holds, in words
    title: str
    size: int
    # in percent of all
    share: float
    digest: str = ""
    unreproducible: str = ""


@dataclass(frozen=True)
class Machine:
    """A virtual machine of the same variant, and what its verification found."""

    facts: Mapping[str, str]
    passed: int
    failed: int
    not_exercised: int


@dataclass(frozen=True)
class Standing:
    """How it stands with a locked variant."""

    variant: str
    summary: str
    accelerator: str
    base: str
    base_kind: str
    # when a pin last changed
    changed: datetime
    # digest of what a container has of the lock
    lock: str
    # bytes to download, of each artefact once
    download: int
    audit: Audit
    # whether the ledger of the image is among the findings
    accounted: bool
    # None for a lock that does not fit the manifests any more
    plan: Plan | None
    # the last builds, the last one first
    builds: tuple[Kept, ...]
    # that of this lock and these manifests
    build: Kept | None
    # of that build
    report: Report | None

    @property
    def verdict(self) -> Verdict:
        """What may be done with it, by everything that is known."""
        if self.audit.forbidden or (self.report is not None and self.report.count("failed")):
            return "must not"
        if self.build is None:
            return "not exercised"
        return "may" if self.report is not None else "not verified"

    @property
    def headline(self) -> str:
        """The verdict in two to four words."""
        return VERDICTS[self.verdict]

    def of_level(self, level: Level) -> tuple[Finding, ...]:
        """Findings of a level that nobody has waived."""
        return tuple(one for one in self.audit.findings if one.level == level and one.waived is None)

    @property
    def counted(self) -> str:
        """For example '1 error, 5 warnings and 3 unknown'; '' where there is no finding."""
        words = [
            plural(len(found), level, level if level == "unknown" else None)
            for level in LEVELS
            if (found := self.of_level(level))
        ]
        return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))

    @property
    def of_files(self) -> tuple[Finding, ...]:
        """What is said of the files and layers of the image, where they were looked at."""
        return tuple(one for one in self.audit.findings if one.where.path or one.rule in LEDGER)

    @property
    def waived(self) -> tuple[Finding, ...]:
        """Findings that a waiver covers."""
        return tuple(one for one in self.audit.findings if one.waived is not None)


@dataclass(frozen=True)
class Page:
    """Everything about one variant."""

    standing: Standing
    made: datetime
    tools: tuple[ToolRow, ...]
    packages: tuple[PackageRow, ...]
    layers: tuple[LayerRow, ...]
    tree: Mapping[str, Any]
    timeline: Timeline | None
    # from the last build with another lock to the lock
    changes: Difference | None
    changed_from: Kept | None
    machine: Machine | None = None


@dataclass(frozen=True)
class Cell:
    """A tool in a variant: a version, or a word for why it has none."""

    text: str
    why: str = ""
    has: bool = False


@dataclass(frozen=True)
class Overview:
    """All variants beside each other."""

    made: datetime
    standings: tuple[Standing, ...]
    # those that are not locked
    unlocked: tuple[str, ...]
    # variant -> where its page is, seen from this one
    pages: Mapping[str, str]
    # group -> tool and what it is -> a cell for each locked variant
    matrix: Mapping[str, Mapping[tuple[str, str], tuple[Cell, ...]]]
