"""A verified image of this machine, with all documents that belong to it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from dsvm import ROOT, container
from dsvm.host import read_bounded
from dsvm.model import Audit, EngineError, Lock, Plan, canonical_json
from dsvm.release.provenance import CYCLONEDX as CYCLONEDX_PREDICATE
from dsvm.release.provenance import PROVENANCE, provenance_of
from dsvm.release.publishing import Attachment, Candidate
from dsvm.release.seals import Claim
from dsvm.release.surroundings import Surroundings, revisions
from dsvm.report import PAGE
from dsvm.sbom import Bill, to_cyclonedx, to_spdx
from dsvm.session import Session

# What each is by its artifactType
CYCLONEDX, SPDX = "application/vnd.cyclonedx+json", "application/spdx+json"
LOCK, AUDIT, REPORT = (f"application/vnd.dsvm.{one}.v1+json" for one in ("lock", "audit", "report"))
PAGE_TYPE = "application/vnd.dsvm.page.v1+html"


def candidate_of(session: Session, plan: Plan, lock: Lock, bill: Bill, audits: Sequence[Audit]) -> Candidate:
    """The verified image of `plan`, with its bill in two forms, what was found out about it, and its lock.

    Raises InputError when there is none, or none that was verified.
    """
    image = container.need_verified(session, plan)
    if bill.image != image:
        raise EngineError(f"{container.image_name(plan.variant)} became another image meanwhile", hint="Run it again")
    attachments = (*documents_of(lock, bill, audits), *_written(session, plan.variant))
    return Candidate(plan.variant, image, plan.lock_digest, plan.digest, attachments)


def documents_of(lock: Lock, bill: Bill, audits: Sequence[Audit]) -> tuple[Attachment, ...]:
    """What belongs to everything that is released: its bill in two forms, its lock, and what is known of it."""
    return (
        Attachment(CYCLONEDX, "sbom.cdx.json", to_cyclonedx(bill).encode()),
        Attachment(SPDX, "sbom.spdx.json", to_spdx(bill).encode()),
        Attachment(LOCK, "lock.json", canonical_json(lock).encode()),
        *(Attachment(AUDIT, "audit.json", canonical_json(one).encode()) for one in audits),
    )


def _written(session: Session, variant: str) -> Iterator[Attachment]:
    """The report of the verification, and the page about it where somebody has asked for one since."""
    folder = session.folder(variant)
    yield Attachment(REPORT, "report.json", read_bounded(folder / "report.json"))
    page = folder / PAGE
    try:
        if page.stat().st_mtime >= (folder / "report.json").stat().st_mtime:
            yield Attachment(PAGE_TYPE, "report.html", read_bounded(page))
    except FileNotFoundError:
        return


def claims_of(
    session: Session, plan: Plan, lock: Lock, candidate: Candidate, around: Surroundings
) -> tuple[Claim, ...]:
    """What is to be said of a candidate's image: where it comes from, and what is in it."""
    made = provenance_of(
        lock,
        session.catalog.bases[lock.base],
        around,
        revisions([ROOT, *session.catalog.folders]),
        format="docker",
        plan=plan.digest,
        version=version("dsvm"),
        times=_times(session, candidate),
    )
    bill = next(one.data for one in candidate.attachments if one.kind == CYCLONEDX)
    return Claim(PROVENANCE, made.written), Claim(CYCLONEDX_PREDICATE, json.loads(bill))


def _times(session: Session, candidate: Candidate) -> tuple[datetime.datetime, datetime.datetime] | None:
    """When the build that an image came out of began and ended, as long as it is remembered."""
    for one in container.history.kept(session.folder(candidate.variant)):
        if one.image == candidate.image and one.built.plan == candidate.plan:
            return one.time - datetime.timedelta(seconds=one.built.seconds), one.time
    return None
