"""Packages that are kept back, and until when."""

from __future__ import annotations

from collections.abc import Iterator

from dsvm.audit.evidence import Evidence, shown
from dsvm.catalog import line_of
from dsvm.lock import find_holds, find_holds_path
from dsvm.model import TOOLS, Finding, Hold, Where


def held(evidence: Evidence) -> Iterator[Finding]:
    """Packages that are kept back, because a newer one broke a check"""
    path = find_holds_path(evidence.catalog, evidence.lock.variant)
    for hold in find_holds(evidence.catalog, evidence.lock.variant).holds:
        expired = hold.expires < evidence.today
        far = (hold.expires - evidence.today).days > evidence.catalog.policy.longest_waiver
        tools = next((one.tools for one in evidence.lock.sections if one.id == hold.section), ())
        if hold.section == TOOLS:
            tools = (hold.package,)
        yield Finding(
            rule="held",
            id=f"{hold.section}:{hold.package}",
            level="warning" if expired or far else "note",
            what=f"{hold.name} {_how(hold, expired=expired, far=far, longest=evidence.catalog.policy.longest_waiver)}",
            where=Where(
                file=shown(path) if path else None,
                line=line_of(path, hold.package) if path else None,
                section=hold.section,
                pin=f"{hold.package} {hold.version}" if hold.version else None,
                tools=tools if len(tools) == 1 else (),
            ),
            why=f"{hold.owner} gave it for: {hold.reason}" + (f" ({hold.check})" if hold.check else ""),
            action="take it out of the file, or give it a new reason and date"
            if expired or far
            else f"mend what it breaks, or ask for another version: it counts until {hold.expires}",
            source=path.name if path else "",
        )


def _how(hold: Hold, *, expired: bool, far: bool, longest: int) -> str:
    if expired:
        return f"is held no longer: that expired {hold.expires}"
    newer = f" back from {hold.broken}" if hold.broken else ""
    if far:
        return f"is held{newer} for longer than {longest} days from today"
    return f"is held{newer} until {hold.expires}"
