"""What `invoke compat` answers: the rows of the gate, what they say of every variant, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import get_args

from dsvm import gate
from dsvm import lock as locks
from dsvm.model import Compat, GateLevel, Lock, answers
from dsvm.screen.forms import faults_of
from dsvm.session import Session, gate_findings


def compat_answer(session: Session) -> answers.CompatAnswer:
    """The rows of compat.yaml with their sources, and what the gate says of each variant."""
    today = date.today()
    return answers.CompatAnswer(
        today=today,
        rows=_rows(session.catalog.compat, today),
        variants=tuple(_judged(session, name) for name in sorted(session.catalog.variants)),
        faults=faults_of(session.catalog),
    )


def _rows(rows: Compat, today: date) -> answers.RowsToday:
    ends = (answers.EndToday(**dict(row), level=gate.end_state(rows, row, today)[0]) for row in rows.ends)
    return answers.RowsToday(**{**dict(rows), "ends": tuple(ends)})


def _judged(session: Session, variant: str) -> answers.JudgedVariant:
    lock = fresh_lock(session, variant)
    found = gate_findings(session, variant, lock)
    count = Counter(finding.level for finding in found)
    return answers.JudgedVariant(
        variant=variant,
        judged_by=_judged_by(lock),
        verdict=_verdict(found),
        refused_by=tuple(dict.fromkeys(finding.rule for finding in gate.violations(found))),
        findings={level: count[level] for level in get_args(GateLevel)},
    )


def fresh_lock(session: Session, variant: str) -> Lock | None:
    """The lock of `variant` if it fits the manifests: else it says nothing about what will be in the image."""
    lock = locks.find(session.catalog, variant)
    return lock if lock is not None and not locks.stale_sections(session.catalog, lock) else None


def _judged_by(lock: Lock | None) -> answers.JudgedBy:
    return "lock" if lock is not None else "promises"


def _verdict(found: Sequence[gate.Finding]) -> answers.Verdict:
    return "refused" if gate.violations(found) else "fits"


def explain_answer(
    session: Session, variant: str, lock: Lock | None, found: Sequence[gate.Finding]
) -> answers.ExplainAnswer:
    """Every rule with what it looked at and its verdict: `found`, by `lock` or by what manifests promise."""
    one = session.catalog.variant(variant)
    return answers.ExplainAnswer(
        variant=variant,
        base=one.base,
        accelerator=one.accelerator,
        judged_by=_judged_by(lock),
        verdict=_verdict(found),
        rules=tuple(_explained(rule, found) for rule in gate.RULES),
        left_out=tuple(locks.unsuited(session.catalog, one)),
    )


def _explained(rule: gate.Rule, found: Sequence[gate.Finding]) -> answers.ExplainedRule:
    name = gate.rule_name(rule)
    return answers.ExplainedRule(
        rule=name,
        statement=rule.__doc__ or "",
        findings=tuple(
            answers.Found(level=one.level, what=one.what, source=one.why or None, remedy=one.remedy or None)
            for one in found
            if one.rule == name
        ),
    )
