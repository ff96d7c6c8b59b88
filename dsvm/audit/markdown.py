"""Audits as Markdown, for pull requests and CI pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dsvm.model import LEVELS, Audit, Finding, Level

# findings of one rule that people are shown: more of them say nothing more
MOST: Mapping[Level, int] = {"error": 200, "warning": 200, "unknown": 200, "note": 20}


def folded(findings: Iterable[Finding]) -> tuple[list[Finding], dict[tuple[Level, str], int]]:
    """The findings that people are shown, and of the other ones how many each level and rule has."""
    shown: list[Finding] = []
    seen: Counter[tuple[Level, str]] = Counter()
    for finding in findings:
        seen[finding.level, finding.rule] += 1
        if seen[finding.level, finding.rule] <= MOST[finding.level]:
            shown.append(finding)
    return shown, {one: number - MOST[one[0]] for one, number in seen.items() if number > MOST[one[0]]}


def to_markdown(audits: Sequence[Audit]) -> str:
    """A section for each audit, with the verdict first and a table of what the policy does not waive."""
    return "\n".join(line for one in audits for line in _section(one)) + "\n"


def _section(audit: Audit) -> Iterator[str]:
    yield f"## {plain(audit.variant)}: {verdict(audit)}"
    yield ""
    yield f"Lock `{audit.lock[:12]}`, {audit.artefacts} artefacts, {audit.day}."
    yield ""
    open_findings = [one for one in audit.findings if one.waived is None]
    if open_findings:
        yield "| level | rule | what | do |"
        yield "| --- | --- | --- | --- |"
        shown, more = folded(open_findings)
        yield from (_row(one) for one in shown)
        yield from (f"| {level} | {plain(rule)} | and {number} more | |" for (level, rule), number in more.items())
        yield ""
    if waived := [one for one in audit.findings if one.waived is not None]:
        yield f"<details><summary>{len(waived)} waived</summary>"
        yield ""
        yield from (f"- {plain(one.rule)} {plain(one.id)}: {plain(one.waived or '')}" for one in waived)
        yield ""
        yield "</details>"
        yield ""


def verdict(audit: Audit) -> str:
    """For example 'may be shipped (2 warnings, 1 unknown)'."""
    counts = {level: sum(one.level == level and one.waived is None for one in audit.findings) for level in LEVELS}
    said = ", ".join(f"{number} {level}{_plural(level, number)}" for level, number in counts.items() if number)
    may = "must not be shipped" if audit.forbidden else "may be shipped"
    return f"{may} ({said or 'no findings'})"


def _plural(level: str, number: int) -> str:
    return "s" if number != 1 and level != "unknown" else ""


def _row(finding: Finding) -> str:
    cells = (finding.level, finding.rule, finding.what, finding.action)
    return "| " + " | ".join(plain(cell) for cell in cells) + " |"


def plain(text: str) -> str:
    """Text without Markdown's or HTML's marks: what comes from artefacts is not ours."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", " ".join(text.split()))
