"""Audits on the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dsvm.audit import folded, sarif_report, to_markdown, verdict
from dsvm.model import Audit, Finding, Level
from dsvm.screen.console import echo, echo_marked, table

COLOURS: Mapping[Level, str] = {"error": "red", "warning": "yellow", "unknown": "yellow", "note": "dim"}
AUDIT_FORMATS = ("table", "json", "markdown", "sarif")


def show_audits(audits: Sequence[Audit], format: str) -> None:
    """Print audits in one of AUDIT_FORMATS."""
    if format == "json":
        found = [audit.model_dump(mode="json", by_alias=True) for audit in audits]
        echo(json.dumps(found[0] if len(found) == 1 else found, indent=1))
    elif format == "sarif":
        echo(json.dumps(sarif_report(audits), indent=1))
    elif format == "markdown":
        echo(to_markdown(audits).rstrip("\n"))
    else:
        for audit in audits:
            _show(audit)


def _show(audit: Audit) -> None:
    open_findings = [one for one in audit.findings if one.waived is None]
    shown, more = folded(open_findings)
    for level in COLOURS:
        for finding in (one for one in shown if one.level == level):
            echo_marked(level, COLOURS[level], f"  {_line(finding)}")
            for word, text in (("why", finding.why), ("do", finding.action)):
                if text and level in ("error", "warning"):
                    echo(f"{'':<9}{word}: {text}")
    for (level, rule), number in more.items():
        echo_marked(level, COLOURS[level], f"  {rule}: and {number} more: --format json names all")
    rules = sorted({one.rule for one in audit.findings})
    rows = [
        [rule, *(str(sum(one.rule == rule and one.level == level for one in open_findings)) for level in COLOURS),
         str(sum(one.rule == rule and one.waived is not None for one in audit.findings))]
        for rule in rules
    ]  # fmt: skip
    if rows:
        echo("")
        table("", ["rule", *(f"{level}" for level in COLOURS), "waived"], rows, right=(1, 2, 3, 4, 5))
        echo("")
    echo(f"{audit.variant}: {verdict(audit)}")
    echo(f"lock {audit.lock[:12]}: {audit.artefacts} artefacts, each with a SHA-256")


def _line(finding: Finding) -> str:
    where = finding.where
    place = f" ({where.file}:{where.line})" if where.file and where.line else ""
    return f"{finding.rule}: {finding.what}{place}"
