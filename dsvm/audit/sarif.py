"""Audits as SARIF 2.1.0, which code scanning takes: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dsvm.model import LEVELS as LEVEL_NAMES
from dsvm.model import Audit, Finding, Level

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
# SARIF knows no unknown: it is shown as a warning, for it is never clean
LEVELS: dict[Level, str] = {"error": "error", "warning": "warning", "unknown": "warning", "note": "note"}


# a run with more results is refused whole:
# https://docs.github.com/en/code-security/reference/code-scanning/sarif-files/sarif-support-for-code-scanning
MOST_RESULTS = 25_000


def to_sarif(audits: Sequence[Audit], rules: dict[str, str], version: str) -> dict[str, Any]:
    """One run with the findings of all audits; `rules` is rule -> what it is about, `version` this project's."""
    every = [(one, finding) for one in audits for finding in one.findings]
    # the worst first, for who reads them takes no more than so many
    every.sort(key=lambda pair: LEVEL_NAMES.index(pair[1].level))
    kept = every[:MOST_RESULTS]
    used = sorted({finding.rule for _, finding in kept})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "DSVM",
                        "version": version,
                        "rules": [{"id": rule, "shortDescription": {"text": rules.get(rule, rule)}} for rule in used],
                    }
                },
                "automationDetails": {"id": f"dsvm-audit/{','.join(one.variant for one in audits)}"},
                "invocations": [_invocation(len(every) - len(kept))],
                "results": [_result(one, finding, used.index(finding.rule)) for one, finding in kept],
            }
        ],
    }


def _invocation(left_out: int) -> dict[str, Any]:
    """That the run went to its end, and what of it does not stand here."""
    if not left_out:
        return {"executionSuccessful": True}
    text = f"{left_out} more findings are left out: code scanning takes no more than {MOST_RESULTS}"
    return {
        "executionSuccessful": True,
        "toolExecutionNotifications": [{"level": "warning", "message": {"text": text}}],
    }


def _result(audit: Audit, finding: Finding, rule: int) -> dict[str, Any]:
    text = [f"{audit.variant}: {finding.what}", finding.why, finding.action and f"Do: {finding.action}"]
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": LEVELS[finding.level],
        "message": {"text": "\n".join(filter(None, text))},
        "locations": [_location(finding)],
        "partialFingerprints": {"dsvm/v1": f"{audit.variant}:{finding.fingerprint}"},
        "properties": {
            "level": finding.level,
            "variant": audit.variant,
            "source": finding.source,
            **({"aliases": list(finding.aliases)} if finding.aliases else {}),
            **({"date": finding.date.isoformat()} if finding.date else {}),
        },
    }
    if finding.waived is not None:
        # without a status it counts as accepted, and drafts of the schema call that otherwise
        result["suppressions"] = [{"kind": "external", "justification": finding.waived}]
    return result


def _location(finding: Finding) -> dict[str, Any]:
    """Where code scanning shows it; a finding of an image alone is shown at the policy."""
    where = finding.where
    place: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(where.file or "manifests/policy.yaml")},
            "region": {"startLine": where.line or 1},
        }
    }
    names = [(name, kind) for name, kind in ((where.pin, "package"), (where.path, "resource")) if name]
    if names:
        place["logicalLocations"] = [{"fullyQualifiedName": name, "kind": kind} for name, kind in names]
    return place


def _uri(file: str) -> str:
    """Relative to the checkout, or as a whole where it lies elsewhere."""
    return Path(file).as_uri() if Path(file).is_absolute() else quote(file)
