"""Which licences are in a variant, and what the policy makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from dsvm.audit.evidence import Evidence
from dsvm.audit.stated import answers, once, resolved
from dsvm.model import (
    LEVELS,
    Finding,
    Level,
    LicensePolicy,
    Pin,
    Section,
    Several,
    Stated,
    Terms,
    all_of,
    canonical,
    parse,
    terms,
)
from dsvm.plan import own_pin

Kind = Literal["denied", "opt_in", "other"]
WHY: dict[Kind, str] = {
    "denied": "the policy denies it",
    "opt_in": "the policy allows it only for packages that a waiver names: not everybody may use it, or pass it on",
    "other": "no list of the policy names it",
}
DO: dict[Kind, str] = {
    "denied": "leave the package out, or take another version of it",
    "opt_in": "read the terms; then a waiver of rule license in a policy.yaml of your own, with who agreed to them",
    "other": "read the terms, and put them into a list of policy.yaml",
}
LONGEST = 1000  # characters of what an artefact says in a message
SHOWN = 8  # names in one message


@dataclass(frozen=True)
class Problem:
    """A licence that the policy does not allow."""

    name: str
    kind: Kind


def license(evidence: Evidence) -> Iterator[Finding]:
    """Licences that artefacts say they are under, by the policy's lists"""
    missing: dict[str, list[Pin]] = {}
    sections = {section.id: section for section in evidence.lock.sections}
    for section, pin in once(evidence):
        said = _said(evidence, section, pin)
        if said is None:
            missing.setdefault(section.id, []).append(pin)
        else:
            yield from _findings(evidence, section, pin, said)
    for name, pins in missing.items():
        yield _missing(evidence, sections[name], pins)


def license_differs(evidence: Evidence) -> Iterator[Finding]:
    """What a tool's manifest claims to be its licence, and what its own package says"""
    for choice in evidence.lock.choices:
        tool = evidence.catalog.tools.get(choice.tool)
        own = own_pin(evidence.catalog, evidence.lock, tool) if tool is not None else None
        if tool is None or own is None or own[1].sha256 in answers(evidence).silent:
            continue
        said = _said(evidence, *own)
        if said is None or not differs(tool.license, said):
            continue
        section, pin = own
        where = evidence.where_tool(tool.tool, "license")
        yield Finding(
            rule="license-differs",
            id=tool.tool,
            level="warning",
            what=f"{tool.tool}: its manifest says {tool.license}, and {pin.name} {pin.version} "
            + _short(said.main or said.expression or ""),
            where=where.model_copy(update={"section": section.id, "pin": f"{pin.name} {pin.version}"}),
            why="people read the manifest's in lists and labels, and go by it",
            action="correct 'license' in the manifest, or tell the package's makers",
            source=f"{said.file}: {said.said}",
        )


def differs(claim: str, said: Stated) -> bool:
    """Whether an artefact says anything that a claim leaves out.

    More may be claimed: a tool may be several packages. Of whole texts it is enough that the claim is among them.
    """
    if said.expression is None:
        return False
    claimed, whole = {*terms(canonical(claim) or claim)}, {*terms(said.expression)}
    if said.by_words:
        return not claimed <= whole
    return not ({*terms(said.main)} if said.main else whole) <= claimed


def _said(evidence: Evidence, section: Section, pin: Pin) -> Stated | None:
    """What an artefact says, in the terms that the policy knows; of what says nothing, what its manifest says."""
    if pin.sha256 in answers(evidence).silent:
        return _claimed(evidence, section)
    said = resolved(evidence, section, pin)
    known = _terms(said, pin, evidence.catalog.policy.licenses) if said is not None else None
    if said is None or known is None:
        return said
    others = [one for one in terms(said.expression or known.license) if "LicenseRef-" not in one]
    return said.model_copy(update={"expression": all_of([known.license, *others]), "why": ""})


def _claimed(evidence: Evidence, section: Section) -> Stated:
    tool = evidence.catalog.tools.get(section.tools[0]) if len(section.tools) == 1 else None
    if tool is None:
        return Stated(why="packages of this kind say nothing of their licences")
    return Stated(expression=tool.license, said="license of its manifest", file=f"tools/{tool.tool}.yaml")


def _terms(said: Stated, pin: Pin, policy: LicensePolicy) -> Terms | None:
    """The known terms that an artefact speaks of, where its own words are no licence of SPDX."""
    words = " ".join((said.said, *(part for part in (said.expression or "").split() if part.startswith("LicenseRef"))))
    if said.expression is not None and "LicenseRef-" not in said.expression:
        return None
    for one in policy.terms:
        if any(fnmatchcase(pin.name, pattern) for pattern in one.packages) and any(
            fnmatchcase(words.lower(), pattern.lower()) for pattern in one.says
        ):
            return one
    return None


def _findings(evidence: Evidence, section: Section, pin: Pin, said: Stated) -> Iterator[Finding]:
    """One for each licence; of a system package, which has those of all its files, one for each list."""
    source = f"{said.file}: {said.said}" if said.said else said.file
    policy = evidence.catalog.policy.licenses
    found = problems(said.expression, policy) if said.expression else ()
    for kind in WHY:
        names = [one.name for one in found if one.kind == kind]
        for group in _groups(names):
            yield Finding(
                rule="license",
                id=" AND ".join(group)[:200],
                level=policy.other if kind == "other" else "error",
                what=f"{pin.name} {pin.version} is under {_listed(group)}",
                where=evidence.where(section, pin),
                why=WHY[kind],
                action=DO[kind],
                source=source,
            )
    if said.expression is None or said.why:
        yield Finding(
            rule="license",
            id="unknown",
            level="unknown",
            what=f"{pin.name} {pin.version}: its licence is unknown: {said.why}",
            where=evidence.where(section, pin),
            why="what nobody can tell may forbid to pass it on",
            action=f"read {said.file or 'what its makers say'}, then waive it with what you found",
            source=source,
        )


def _groups(names: Sequence[str]) -> list[Sequence[str]]:
    return [[name] for name in names] if len(names) <= 2 else [names]


def _missing(evidence: Evidence, section: Section, pins: Sequence[Pin]) -> Finding:
    return Finding(
        rule="license",
        id=section.id,
        level="unknown",
        what=f"not in the store, so with a licence that is unknown, {len(pins)} of {section.id}: "
        + _listed([pin.name for pin in pins]),
        where=evidence.where(section),
        why="a licence is read from the artefact itself",
        action=f"invoke fetch --variant {evidence.lock.variant}",
        source="the store",
    )


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return _short(", ".join(map(_short, names[:SHOWN]))) + (f" and {rest} more" if rest > 0 else "")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def problems(expression: str, policy: LicensePolicy) -> tuple[Problem, ...]:
    """What of an SPDX expression the policy does not allow: of AND all counts, of OR the branch that it likes best."""
    return tuple(sorted(_problems(parse(expression), policy), key=lambda one: one.name))


def _problems(tree: Several | str, policy: LicensePolicy) -> frozenset[Problem]:
    if isinstance(tree, str):
        # an exception allows more than its licence, so it counts as that where no list names both
        kind = _listed_as(tree, policy) or _listed_as(tree.partition(" WITH ")[0], policy) or "other"
        return frozenset() if kind == "allowed" else frozenset({Problem(tree, kind)})
    found = [_problems(one, policy) for one in tree.branches]
    if tree.operator == "AND":
        return frozenset(one for part in found for one in part)
    return min(found, key=lambda one: _weight(one, policy))


def _weight(found: frozenset[Problem], policy: LicensePolicy) -> tuple[int, int]:
    """How bad a branch is: by its worst problem, then by how many it has."""
    ranks = {"denied": 0, "opt_in": 0, "other": LEVELS.index(policy.other)}
    order: list[Level] = [*LEVELS]
    worst = min((ranks[one.kind] for one in found), default=len(order))
    return len(order) - worst, len(found)


def _listed_as(name: str, policy: LicensePolicy) -> Literal["denied", "opt_in", "allowed"] | None:
    if _matches(name, policy.denied):
        return "denied"
    if _matches(name, policy.opt_in):
        return "opt_in"
    return "allowed" if _matches(name, policy.allowed) else None


@lru_cache(maxsize=10_000)
def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
