"""A session of the small catalog with folders of its own: what a page is made of, without an engine or a network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import tiny

from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.checks import make_report, planned_checks, write_report
from dsvm.container import Built, Kept, Layer, Timing, history
from dsvm.model import CheckResult, Lock, Outcome, Plan
from dsvm.plan import make_plan
from dsvm.session import Session
from dsvm.store import Store

BEGIN = datetime(2026, 11, 26, 22, 59, tzinfo=UTC)


@dataclass
class Here(Session):
    """A session whose build folders are the test's."""

    place: Path = Path("/nowhere")

    def folder(self, variant: str) -> Path:
        return self.place / "build" / variant


def session(place: Path, catalog: Catalog | None = None) -> Here:
    """With manifests of one's own in `place/mine`, where locks go."""
    (place / "mine").mkdir(parents=True, exist_ok=True)
    found = Here(lambda line: None, lambda line: None, offline=True, place=place)
    known = catalog or tiny.catalog()
    found.catalog = replace(known, folders=(*known.folders, place / "mine"))
    found.store = Store(place / "store")
    return found


def lock(here: Session, found: Lock | None = None) -> Lock:
    """Write a lock, the small one by default."""
    found = found or tiny.lock()
    locks.write(locks.lock_path(here.catalog, found.variant), found)
    return found


TIMINGS = (
    Timing(row="base", what="[base 1/1] FROM x", begun=0, seconds=0, cached=True),
    Timing(row="system", what="[system 1/1] RUN install-apt", begun=0, seconds=6, critical=True),
    Timing(row="env-base", what="[env-base 1/1] RUN install-pypi", begun=1, seconds=3),
    Timing(row="export", what="exporting to image", begun=6, seconds=4, critical=True),
)


def build(here: Session, found: Lock, number: int = 0) -> tuple[Plan, Built]:
    """Remember a build of a lock as the `number`-th one."""
    plan = make_plan(here.catalog, found)
    layers = (
        Layer(stage="base", digest="sha256:" + "1" * 64, size=100_000_000),
        Layer(stage="system", digest="sha256:" + "2" * 64, size=(300 + number) * 1_000_000),
    )
    built = Built(
        variant=found.variant,
        image=f"sha256:{number:064d}",
        plan=plan.digest,
        lock=plan.lock_digest,
        seconds=10.0 + number,
        layers=layers,
        stages={},
        timings=TIMINGS,
    )
    history.keep(here.folder(found.variant), built, built.image, found, BEGIN + timedelta(days=number))
    return plan, built


def verify(here: Session, plan: Plan, built: Built, failed: str = "", output: str = "") -> None:
    """Leave a report in which everything has passed, but what is of the tool `failed`."""
    results = []
    for case in planned_checks(plan):
        outcome: Outcome = "failed" if case.tool == failed else "passed"
        said = output if outcome == "failed" else ""
        results.append(CheckResult(tool=case.tool, check=case.name, outcome=outcome, seconds=0.25, output=said))
    report = make_report(plan, built.image, results)
    write_report(here.folder(plan.variant), report)
    history.note_checks(here.folder(plan.variant), report)


def kept(here: Session, variant: str) -> list[Kept]:
    return history.kept(here.folder(variant))


def newer(found: Lock) -> Lock:
    """The small lock with arrays 1.5.0."""
    sections = []
    for section in found.sections:
        pins = tuple(tiny.pin("pypi", "arrays", "1.5.0") if pin.name == "arrays" else pin for pin in section.pins)
        sections.append(section.model_copy(update={"pins": pins}))
    return found.model_copy(update={"sections": tuple(sections)})
