"""What building and verifying left of a variant, and which of it is of its present lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from dsvm import diff as diffs
from dsvm.container import Built, Kept, history
from dsvm.host import read_bounded
from dsvm.model import Difference, DsvmError, Lock, Plan, Report
from dsvm.plan import make_plan
from dsvm.report.contents import Machine
from dsvm.session import Session


def builds_of(folder: Path) -> list[Kept]:
    """The builds that are remembered, the last one first."""
    found = history.kept(folder)
    if found:
        return found
    path = folder / "build.json"  # of a DSVM that remembered none
    try:
        built = Built.model_validate_json(read_bounded(path))
        time = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return [Kept(time=time, image=built.image, built=built, lock="")]
    except (OSError, ValidationError):
        return []


def plan_of(session: Session, lock: Lock) -> Plan | None:
    """None for a lock that does not fit the manifests any more."""
    try:
        return make_plan(session.catalog, lock)
    except DsvmError:
        return None


def is_of(build: Kept, plan: Plan | None) -> bool:
    """Whether a build is of the present lock and manifests; none is of a lock that does not fit the manifests."""
    return plan is not None and build.built.plan == plan.digest


def report_of(path: Path, lock: Lock, build: Kept | None) -> Report | None:
    """What verification found, where it is of this build."""
    try:
        found = Report.model_validate_json(read_bounded(path))
    except (OSError, ValidationError):
        return None
    if build is None or found.lock != lock.of("docker").digest:
        return None
    return found if found.image in (build.image, build.built.image) else None


def machine_of(folder: Path, lock: Lock) -> Machine | None:
    """The virtual machine that was made here of this lock."""
    try:
        found = Report.model_validate_json(read_bounded(folder / "machine" / "report.json"))
    except (OSError, ValidationError):
        return None
    if found.lock != lock.of("qcow2").digest:
        return None
    return Machine(found.facts, found.count("passed"), found.count("failed"), found.count("not exercised"))


def changes_of(
    session: Session, lock: Lock, builds: Sequence[Kept], advisories: tuple[Path, ...]
) -> tuple[Kept | None, Difference | None]:
    """The last build that had another lock, and what differs from that."""
    folder = session.folder(lock.variant)
    for one in builds:
        if one.lock == lock.digest or history.kept_lock(folder, one) is None:
            continue
        try:
            old, new = diffs.both_sides(session, lock.variant, str(history.lock_file(folder, one)), lock.variant)
        except DsvmError:
            continue
        today = datetime.now(UTC).date()
        found = diffs.difference(old, new)
        return one, diffs.further(found, old, new, session, advisories=advisories, today=today)
    return None, None
