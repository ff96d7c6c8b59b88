"""Findings -> what the policy makes of them."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dsvm.catalog import near
from dsvm.model import Audit, Finding, Policy, Waiver

TOO_BROAD = ("*", "*-*", "**")


UNUSED = "it waives nothing"


@dataclass(frozen=True)
class Rules:
    """Names of all rules that there are, and of those that have looked and asked this time."""

    known: Collection[str]
    ran: Collection[str]


def judge(
    findings: Iterable[Finding], policy: Policy, *, variant: str, today: datetime.date, rules: Rules | None = None
) -> list[Finding]:
    """The findings with the policy's levels and waivers, and what is wrong with these.

    A waiver is called unused where its rule has looked; without `rules` all have.
    """
    told = [one.model_copy(update={"level": policy.levels.get(one.rule, one.level)}) for one in findings]
    current = [one for one in policy.waivers if one.expires >= today and not _fault(one, policy, today)]
    used: set[Waiver] = set()
    judged = []
    for finding in told:
        waiver = next((one for one in current if covers(one, finding, variant)), None)
        if waiver is not None:
            used.add(waiver)
            reason = f"{waiver.reason} ({waiver.owner}, until {waiver.expires})"
            finding = finding.model_copy(update={"waived": reason[:500]})
        judged.append(finding)
    return [*judged, *_of_levels(policy, rules), *_of_waivers(policy, used, variant, today, rules)]


def settle(audits: Sequence[Audit], policy: Policy) -> list[Audit]:
    """The same audits: what one of them uses, a waiver or a VEX statement, is not called unused in the others."""
    used = {_name(waiver) for waiver in policy.waivers if not all(_is_unused(waiver, one) for one in audits)}
    waived = "\n".join(finding.waived or "" for one in audits for finding in one.findings)

    def stays(finding: Finding) -> bool:
        if UNUSED not in finding.what:
            return True
        if finding.rule == "vex":
            return cited(finding.id) not in waived
        return not (finding.rule == "waiver" and finding.id in used)

    return [
        one.model_copy(update={"findings": tuple(finding for finding in one.findings if stays(finding))})
        for one in audits
    ]


def cited(statement: str) -> str:
    """How the reason of what a VEX statement waives names it."""
    return f"({statement}, "


def _is_unused(waiver: Waiver, audit: Audit) -> bool:
    """Whether an audit calls a waiver unused, or has nothing to do with it."""
    if waiver.variant is not None and not fnmatchcase(audit.variant, waiver.variant):
        return True
    names = (one.id for one in audit.findings if one.rule == "waiver" and UNUSED in one.what)
    return _name(waiver) in names


def _name(waiver: Waiver) -> str:
    return f"{waiver.rule} {waiver.id}" + (f" of {waiver.package}" if waiver.package else "")


def covers(waiver: Waiver, finding: Finding, variant: str) -> bool:
    """Whether a waiver speaks of a finding."""
    ids = (finding.id, *finding.aliases)
    packages = ((finding.where.pin or "").partition(" ")[0], *finding.packages)
    return (
        waiver.rule == finding.rule
        and any(fnmatchcase(one, waiver.id) for one in ids)
        and (waiver.package is None or any(fnmatchcase(one, waiver.package) for one in packages))
        and (waiver.variant is None or fnmatchcase(variant, waiver.variant))
    )


def _fault(waiver: Waiver, policy: Policy, today: datetime.date) -> str:
    """What makes a waiver one that counts for nothing, or ""."""
    if waiver.id in TOO_BROAD and waiver.package in (None, *TOO_BROAD):
        return "it is too broad: it waives the whole rule"
    if (waiver.expires - today).days > policy.longest_waiver:
        return f"it lasts longer than {policy.longest_waiver} days from today"
    return ""


def _of_levels(policy: Policy, rules: Rules | None) -> Iterator[Finding]:
    for rule, level in policy.levels.items():
        if rules is not None and rule not in rules.known:
            yield Finding(
                rule="waiver",
                id=f"levels {rule}",
                level="warning",
                what=f"the level '{level}' is for nothing: there is no rule '{rule}'{near(rule, rules.known)}",
                why="whoever wrote it thinks that it counts",
                action="correct the name under 'levels'",
                source="policy.yaml",
            )


def _of_waivers(
    policy: Policy, used: set[Waiver], variant: str, today: datetime.date, rules: Rules | None
) -> Iterator[Finding]:
    for waiver in policy.waivers:
        if waiver.variant is not None and not fnmatchcase(variant, waiver.variant):
            continue
        name = _name(waiver)
        fault = _fault(waiver, policy, today)
        if rules is not None and waiver.rule not in rules.known:
            fault, action = f"there is no rule '{waiver.rule}'{near(waiver.rule, rules.known)}", "correct its name"
        elif waiver.expires < today:
            fault, action = f"it expired {waiver.expires}", "mend what it waives, or give it a new reason and date"
        elif fault:
            action = "name the findings that it is for, and a nearer date"
        elif waiver not in used and (rules is None or waiver.rule in rules.ran):
            where = f" in {variant}" if waiver.variant is None else " any more"
            fault, action = UNUSED + where, "take it out of policy.yaml, or say which variant it is for"
        else:
            continue
        yield Finding(
            rule="waiver",
            id=name,
            level="warning",
            what=f"the waiver of {name} does not count: {fault}",
            why=f"{waiver.owner} gave it for: {waiver.reason}",
            action=action,
            source="policy.yaml",
        )
