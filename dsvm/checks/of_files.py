"""What the ledger found of an image, as results of checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsvm.checks.planned import IMAGE
from dsvm.ledger import LEVELS, Account, Difference
from dsvm.model import CheckResult, Outcome

SETTINGS = "settings and labels"
LAYERS = "layers are those of its build"
# check -> what the ledger may find that makes it fail; the last one has all the rest
CHECKS: dict[str, tuple[str, ...]] = {
    SETTINGS: ("settings",),
    LAYERS: ("layers",),
    "every file is explained": ("unexplained", "changed", "missing", "mode", "owner"),
    "byte code is that of its sources": ("stale",),
    "rights of files": ("setuid", "setgid", "capability", "writable"),
    "accounts": ("account", "sudo"),
    "programs and libraries are found": ("hidden-program", "library"),
    "no secrets in its files": ("secret",),
    "settings of services are closed": ("service",),
    "nothing else is found in its files": (),
}
MOST = 30  # findings that the output of a check names


def accounted(account: Account, seconds: float, tool: str = IMAGE) -> Iterator[CheckResult]:
    """The checks of an image that look at its files and settings alone; `seconds` is what all of them took.

    With another `tool`, which is that of a machine, they are of a disk: it has no settings and no layers.
    """
    known = {*LEVELS, *(verdict for verdicts in CHECKS.values() for verdict in verdicts)}
    for name, verdicts in CHECKS.items():
        if tool != IMAGE and name in (SETTINGS, LAYERS):
            continue
        yield check_of(
            name,
            [one for one in account.differences if (one.verdict in verdicts if verdicts else one.verdict not in known)],
            seconds if name == "every file is explained" else 0,
            tool,
        )
    if unread := [one for one in account.differences if LEVELS.get(one.verdict) == "unknown"]:
        yield CheckResult(
            tool=tool, check="all files are read", outcome="not exercised", seconds=0, output=_lines(unread)
        )
    for section, files in account.untold.items():
        yield CheckResult(
            tool=tool,
            check=f"files of {section}",
            outcome="not exercised",
            seconds=0.0,
            output=f"packages of {account.silent[section]} do not tell which files they bring: {files} are unexplained",
        )


def check_of(name: str, found: Sequence[Difference], seconds: float = 0, tool: str = IMAGE) -> CheckResult:
    """A check of the image that fails when anything was found."""
    outcome: Outcome = "failed" if found else "passed"
    return CheckResult(tool=tool, check=name, outcome=outcome, seconds=round(seconds, 3), output=_lines(found))


def _lines(found: Sequence[Difference]) -> str:
    lines = [f"{one.path}: {one.what}" for one in found[:MOST]]
    return "\n".join([*lines, *([f"and {len(found) - MOST} more"] if found[MOST:] else [])])
