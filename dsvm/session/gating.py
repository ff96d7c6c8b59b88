"""The gate as a step: refuses what cannot work, and says what may not."""

from __future__ import annotations

from collections.abc import Sequence

from dsvm import gate as rules
from dsvm import lock as locks
from dsvm.model import Lock
from dsvm.session.session import Session


def gate_findings(
    session: Session, variant: str, locked: Lock | None = None, *, left_out: Sequence[str] = ()
) -> list[rules.Finding]:
    """What the rules of the gate find on `variant`, by its lock or else by what its manifests promise."""
    one = session.catalog.variant(variant)
    return rules.examine(
        rules.make_scene(session.catalog, one, locked, left_out=left_out, gpus=session.gpus, driver=session.driver)
    )


def gate_variant(session: Session, variant: str, locked: Lock | None = None, *, left_out: Sequence[str] = ()) -> None:
    """Refuse a combination that cannot work, every reason at once; say warnings, each once."""
    found = gate_findings(session, variant, locked, left_out=left_out)
    for left in locks.unsuited(session.catalog, session.catalog.variant(variant)):
        if left.tool not in session.warned:
            session.warned.add(left.tool)
            session.echo(f"left out: {left.tool} ({left.reason})")
    for finding in found:
        if finding.level == "warning" and finding.what not in session.warned:
            session.warned.add(finding.what)
            session.warn(f"{finding.rule}: {finding.what}")
    gate_refuse(variant, found)


def gate_refuse(variant: str, found: Sequence[rules.Finding]) -> None:
    """Raise one error with every finding that rules `variant` out, where there is one."""
    rules.refuse(variant, found, hint=f"The reasoning: invoke compat --explain {variant}")
