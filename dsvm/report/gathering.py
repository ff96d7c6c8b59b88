"""A locked variant -> what its page shows. Nothing is built, fetched or asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from dsvm import audit as audits
from dsvm import sbom as bills
from dsvm.lock import unsuited
from dsvm.model import Finding, Lock, Policy, upstream_version
from dsvm.plan import locked_versions
from dsvm.report.built import builds_of, changes_of, is_of, machine_of, plan_of, report_of
from dsvm.report.contents import Cell, Overview, Page, Standing
from dsvm.report.rows import layer_rows, package_rows, tool_rows
from dsvm.report.timeline import timeline
from dsvm.report.treemap import to_json
from dsvm.session import Session

PAGE = "report.html"
Ledger = Callable[[audits.Evidence], Iterator[Finding]]
OVERVIEW = "report"  # the folder, beside those of variants


@dataclass(frozen=True)
class Asked:
    """What a report is asked for, and what its variants share."""

    # every file of the built images too
    image: bool = False
    # folders or zip files in OSV form; without any, what the store keeps of a service counts
    advisories: tuple[Path, ...] = ()
    cache: dict[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, *, image: bool, advisories: Sequence[str]) -> Asked:
        """What people ask for. Raises InputError."""
        return cls(image, audits.AuditOptions.of(fail_on=None, advisories=advisories).advisories)


@dataclass(frozen=True)
class Looked:
    """A locked variant that was looked at."""

    lock: Lock
    evidence: audits.Evidence
    standing: Standing


def look(session: Session, lock: Lock, asked: Asked, ledger: Ledger | None = None) -> Looked:
    """How it stands with a locked variant; `ledger` finds what is wrong with the files of its image."""
    variant = session.catalog.variant(lock.variant)
    folder = session.folder(lock.variant)
    plan = plan_of(session, lock)
    builds = builds_of(folder)
    build = next((one for one in builds[:1] if is_of(one, plan)), None)
    evidence = _evidence(session, lock, asked)
    part = lock.of("docker")
    standing = Standing(
        variant=lock.variant,
        summary=variant.summary,
        accelerator=variant.accelerator,
        base=lock.base,
        base_kind=lock.base_kind,
        changed=datetime.fromtimestamp(part.epoch, UTC),
        lock=part.digest,
        download=sum({pin.sha256: pin.size for section in part.sections for pin in section.pins}.values()),
        audit=audits.auditing.audit(evidence, ledger(evidence) if ledger is not None else None),
        accounted=ledger is not None,
        plan=plan,
        builds=tuple(builds),
        build=build,
        report=report_of(folder / "report.json", lock, build),
    )
    return Looked(lock, evidence, standing)


def settled(found: Sequence[Looked], policy: Policy) -> list[Looked]:
    """The same: a waiver that one variant uses is not called unused in the others."""
    together = audits.settle([one.standing.audit for one in found], policy)
    return [
        replace(one, standing=replace(one.standing, audit=audit)) for one, audit in zip(found, together, strict=True)
    ]


def page_of(session: Session, looked: Looked, asked: Asked) -> Page:
    """The page of a locked variant."""
    lock, standing, evidence = looked.lock, looked.standing, looked.evidence
    bill = bills.bill_of(session.catalog, lock, session.store, audits.licenses_by_digest(evidence))
    changed_from, changes = changes_of(session, lock, standing.builds, asked.advisories)
    return Page(
        standing=standing,
        made=datetime.now(UTC),
        tools=tuple(tool_rows(session, lock, bill, standing)),
        packages=tuple(package_rows(bill, standing.audit)),
        layers=tuple(layer_rows(lock, standing)),
        tree=to_json(bills.tree_of(bill, session.catalog, lock)),
        timeline=timeline(standing.build.built.timings) if standing.build is not None else None,
        changes=changes,
        changed_from=changed_from,
        machine=machine_of(session.folder(lock.variant), lock),
    )


def overview_of(session: Session, found: Sequence[Looked]) -> Overview:
    """All variants that are locked, beside each other."""
    catalog = session.catalog
    standings = [one.standing for one in found]
    locks = {one.lock.variant: one.lock for one in found}
    versions = {name: locked_versions(catalog, lock.of("docker")) for name, lock in locks.items()}
    reasons = {
        name: {left.tool: left.reason for left in (*unsuited(catalog, catalog.variants[name]), *lock.left_out)}
        for name, lock in locks.items()
    }
    matrix: dict[str, dict[tuple[str, str], tuple[Cell, ...]]] = {}
    for tool in sorted(catalog.tools.values(), key=lambda tool: (tool.group, tool.tool)):
        cells = tuple(_cell(versions[one.variant], reasons[one.variant], tool.tool) for one in standings)
        if any(cell.text for cell in cells):
            matrix.setdefault(tool.group.replace("-", " "), {})[tool.tool, tool.summary] = cells
    return Overview(
        made=datetime.now(UTC),
        standings=tuple(standings),
        unlocked=tuple(sorted({*catalog.variants} - locks.keys())),
        pages={name: f"../{name}/{PAGE}" for name in locks if (session.folder(name) / PAGE).is_file()},
        matrix=matrix,
    )


def _cell(versions: Mapping[str, str], reasons: Mapping[str, str], tool: str) -> Cell:
    if tool in versions:
        return Cell(upstream_version(versions[tool]).partition("+")[0], has=True)
    return Cell("left out", reasons[tool]) if tool in reasons else Cell("")


def _evidence(session: Session, lock: Lock, asked: Asked) -> audits.Evidence:
    kept = session.store.root / audits.KEPT
    advisories = asked.advisories or ((kept,) if any(kept.glob("*.json")) else ())
    today = datetime.now(UTC).date()
    return audits.Evidence(
        session.catalog, lock, session.store, today, advisories, echo=session.note, cache=asked.cache
    )
