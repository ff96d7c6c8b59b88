"""What is in an image, whether it may be shipped, and what differs: nothing is built or locked for it."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm import audit as audits
from dsvm import container, ledger
from dsvm import diff as diffs
from dsvm import lock as locks
from dsvm import report as reports
from dsvm import sbom as bills
from dsvm.host import scratch, write_whole
from dsvm.model import Audit, Difference, DsvmError, Finding, Lock, LockError, PolicyError
from dsvm.plan import make_plan
from dsvm.session import Session

if TYPE_CHECKING:
    from dsvm.audit import AuditOptions, Evidence
    from dsvm.report import Asked
    from dsvm.sbom import Bill


def audit(session: Session, variant: str | None, options: AuditOptions) -> list[Audit]:
    """What is known of a locked variant, or of all, and what the policy makes of it; nothing is built or locked."""
    found = []
    shared: dict[str, object] = {}
    with scratch("audit") as work:
        for lock in _locked(session, variant).values():
            evidence = audits.Evidence(
                session.catalog,
                lock,
                session.store,
                options.today,
                options.advisories,
                options.vex,
                online=not session.offline,
                echo=session.note,
                host=None if session.offline else session.host,
                work=None if session.offline else work,
                cache=shared,
            )
            more = _image_findings(session, evidence, alone=variant is not None) if options.image else None
            found.append(audits.auditing.audit(evidence, more, fail_on=options.fail_on))
    return audits.settle(found, session.catalog.policy)


def refuse_forbidden(audited: Sequence[Audit]) -> None:
    """Raise PolicyError when the policy forbids to ship one of the audited variants."""
    faults = [
        f"{one.variant}: the policy forbids it: {len(one.forbidden)} findings" for one in audited if one.forbidden
    ]
    if faults:
        hint = "Mend what is named above, or waive it in a policy.yaml of your own: docs/audit.md"
        raise PolicyError("\n".join(faults), hint=hint)


def diff(
    session: Session, variant: str | None, old: str | None, new: str | None, *, advisories: Sequence[str] = ()
) -> Difference:
    """What differs between two locks, images or machines, as people name them; nothing is built, locked or asked."""
    options = audits.AuditOptions.of(fail_on=None, advisories=advisories)
    before, after = diffs.both_sides(session, variant, old, new)
    found = diffs.difference(before, after)
    return diffs.further(found, before, after, session, advisories=options.advisories, today=options.today)


def sbom(session: Session, variant: str, *, image: bool = False) -> Bill:
    """The bill of materials of a locked variant, or of what is in its built `image`.

    Nothing is built, locked or fetched, and nothing of the image runs.
    """
    lock = locks.find(session.catalog, variant)
    if lock is None:
        raise LockError(f"{variant} has no lock", hint=f"Run: invoke lock --variant {variant}")
    bill = bills.bill_of(session.catalog, lock, session.store, licenses(session, lock))
    if not image:
        return bill
    name = container.image_name(variant)
    _need_image(session, name, lock)
    plan = make_plan(session.catalog, lock)
    found = ledger.inventory(name, plan, session.store, session.engine, echo=session.note)
    return bills.bill_of_image(bill, found, plan)


def licenses(session: Session, lock: Lock) -> Mapping[str, str]:
    """SHA-256 of what is locked -> its license, where that is known."""
    today = datetime.datetime.now(datetime.UTC).date()
    return audits.licenses_by_digest(audits.Evidence(session.catalog, lock, session.store, today, echo=session.note))


def report(session: Session, variant: str | None, asked: Asked) -> list[Path]:
    """Write the page of a locked variant, or of all, and the overview; returns where they are, the overview last."""
    chosen = _locked(session, variant)
    of_image = partial(_image_findings, session, alone=variant is not None) if asked.image else None
    found = [reports.look(session, lock, asked, of_image) for lock in chosen.values()]
    found += [reports.look(session, lock, asked) for lock in _other_locks(session, chosen)]
    paths = []
    for one in (looked := reports.settled(found, session.catalog.policy))[: len(chosen)]:
        page = reports.page_of(session, one, asked)
        paths.append(session.folder(one.lock.variant) / reports.PAGE)
        write_whole(paths[-1], reports.page_html(page))
    overview = reports.overview_of(session, sorted(looked, key=lambda one: one.lock.variant))
    paths.append(session.folder(reports.OVERVIEW) / "index.html")
    write_whole(paths[-1], reports.overview_html(overview))
    return paths


def _other_locks(session: Session, chosen: Collection[str]) -> Iterator[Lock]:
    """The locks of the other variants; one that is none is said."""
    for name in sorted({*session.catalog.variants} - {*chosen}):
        try:
            if (lock := locks.find(session.catalog, name)) is not None:
                yield lock
        except LockError as error:
            session.warn(error.message)


def _locked(session: Session, variant: str | None) -> dict[str, Lock]:
    """The lock of a variant, or of all that have one. Raises LockError, with every lock that is none."""
    found: dict[str, Lock] = {}
    faults: list[LockError] = []
    for name in [variant] if variant is not None else sorted(session.catalog.variants):
        try:
            lock = locks.find(session.catalog, name)
        except LockError as error:
            faults.append(error)
            continue
        if lock is not None:
            found[name] = lock
        elif variant is not None:
            raise LockError(f"{name} has no lock", hint=f"Run: invoke lock --variant {name}")
    if faults:
        raise LockError("\n".join(fault.message for fault in faults), hint=faults[0].hint)
    return found


def _image_findings(session: Session, evidence: Evidence, *, alone: bool) -> Iterator[Finding]:
    """What the image of a variant has; of several variants, one without an image of ours is a finding itself."""
    variant = evidence.lock.variant
    name = container.image_name(variant)
    try:
        _need_image(session, name, evidence.lock)
    except DsvmError as error:
        if alone:
            raise
        return iter([audits.no_image(name, error)])
    plan = make_plan(session.catalog, evidence.lock)
    return audits.image_findings(name, plan, evidence, session.engine, session.folder(variant))


def _need_image(session: Session, name: str, lock: Lock) -> None:
    """Raise InputError when there is no image of ours, and say when it was built from another lock."""
    digest, present = container.need_ours(name, lock.variant, session.engine), lock.of("docker").digest
    if digest != present:
        ours = f"{lock.variant}'s present one, {present[:12]}"
        session.warn(f"{name} was built from lock {digest[:12]}, and is compared with {ours}")
