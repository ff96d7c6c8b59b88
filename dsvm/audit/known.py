"""Which known vulnerabilities a lock has, for comparing it with another one."""

from __future__ import annotations

from collections.abc import Collection

from dsvm.audit.asking import ask, is_asked
from dsvm.audit.evidence import Evidence
from dsvm.audit.vulnerabilities import vulnerability
from dsvm.model import Finding

KEPT = "advisories"  # the folder of the store with what a service gave


def known_vulnerabilities(evidence: Evidence, sections: Collection[str]) -> dict[tuple[str, str], Finding] | None:
    """(advisory, package) -> the finding, of what is in `sections`; None when there is nobody to ask."""
    if not is_asked(evidence):
        return None
    found = {}
    for one in vulnerability(evidence):
        # what names no package says that something is unknown
        if one.packages and one.where.section in sections:
            found[one.id, one.packages[0]] = one
    return found


def asked_of(evidence: Evidence) -> str:
    """Who was asked, and up to when they know."""
    answers = ask(evidence)
    return f"{answers.source}{f' of {answers.day}' if answers.day else ''}"
