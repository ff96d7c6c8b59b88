"""All findings of all rules, and what becomes of the variant."""

from __future__ import annotations

from collections.abc import Iterable

from dsvm.gate.rules import RULES, Finding, end_of_life, rule_name
from dsvm.gate.scene import Scene
from dsvm.model import InputError, PolicyError


def examine(scene: Scene) -> list[Finding]:
    """What every rule finds, all at once."""
    return [finding for rule in RULES for finding in rule(scene)]


def violations(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == "error"]


def sentence(variant: str, finding: Finding) -> str:
    """A finding in full: the rule, what, why, and what to do."""
    more = [f"\n    {word}: {text}" for word, text in (("why", finding.why), ("do", finding.remedy)) if text]
    return f"{variant}: rule {finding.rule}: {finding.what}" + "".join(more)


def refuse(variant: str, findings: Iterable[Finding], *, hint: str = "") -> None:
    """Raise one error with every violation.

    A combination that cannot work is a fault of the input; one that works, and that only the dates of the policy rule
    out, is a PolicyError.
    """
    found = violations(findings)
    texts = [sentence(variant, finding) for finding in found]
    if any(finding.rule != rule_name(end_of_life) for finding in found):
        raise InputError(texts, hint=hint)
    if found:
        raise PolicyError("\n".join(texts), hint=hint)
