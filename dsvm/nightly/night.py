"""One variant's night: lock anew, look at it, build, verify, look again; and on a red one, search and hold back."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dsvm import diff
from dsvm import lock as locks
from dsvm.model import (
    Audit,
    BuildError,
    Culprit,
    DsvmError,
    Hold,
    Holds,
    Lock,
    LockError,
    NightVerdict,
    Outcome,
    PolicyError,
    Report,
    VariantNight,
    VerifyError,
)
from dsvm.nightly.search import holds_of, search
from dsvm.nightly.staging import staged
from dsvm.nightly.times import BudgetSpent, Times
from dsvm.nightly.trials import BUILD, Attempt, attempt, check, flaky
from dsvm.plan import make_plan
from dsvm.session import Session, lock_variant

MOST = 4000  # characters of an error in the record
ROUNDS = 3  # how many things may be broken at once, each held back on its own

# Which step an error is of; a night ends with the first one
STEPS: Mapping[type[DsvmError], str] = {
    LockError: "lock",
    BuildError: "build",
    VerifyError: "verify",
    PolicyError: "audit",
}

# An audit of the lock that a variant has in a session, with `image` of its built image too
Auditor = Callable[[Session, str, bool], Audit]


@dataclass
class State:
    """What a night knows of its variant while it goes on."""

    session: Session
    variant: str
    times: Times
    today: datetime.date
    audit: Auditor
    may_hold: bool
    old: Lock | None
    held: Holds
    stayed: dict[str, str] = field(default_factory=dict)
    flaky: tuple[str, ...] = ()
    culprits: list[Culprit] = field(default_factory=list)

    @property
    def base_ecosystem(self) -> str:
        catalog = self.session.catalog
        return catalog.bases[catalog.variant(self.variant).base].ecosystem


@dataclass(frozen=True)
class Result:
    """What is to be released and written down: a session in which the variant has the lock that was taken."""

    night: VariantNight
    lock: Lock | None = None
    plan: str | None = None  # its digest
    holds: Holds = field(default_factory=Holds)
    session: Session | None = None
    error: DsvmError | None = None


def night_of(
    session: Session,
    variant: str,
    times: Times,
    audit: Auditor,
    *,
    today: datetime.date,
    released: str | None,
    may_hold: bool = True,
) -> Result:
    """The night of a variant that only we work on; `released` is the digest of the plan that is out, None for none.

    Nothing of the catalog is written, and nothing is released: that is for whoever calls, when all variants passed.
    """
    old = locks.find(session.catalog, variant)
    held = locks.find_holds(session.catalog, variant)
    state = State(session, variant, times, today, audit, may_hold, old, held)
    try:
        taken, lock, holds = _relock(state)
        if released == make_plan(session.catalog, lock).digest:
            # or a night that was killed has released it, and not written it down
            return _result(state, "unchanged" if lock == old else _verdict(holds), lock, holds, taken, None)
        if holds is not held:  # something that was held is tried without
            try:
                return _finish(state, taken, lock, Holds())
            except (VerifyError, BuildError, PolicyError) as error:
                session.echo(f"nightly: {variant}: without its holds: {error.message}")
                held = _tried(held, lock)
                state.held = held
            taken, lock = _locked(state, "held", held)
            if released == make_plan(session.catalog, lock).digest:
                return _result(state, "unchanged" if lock == old else "held", lock, held, taken, None)
        return _finish(state, taken, lock, held)
    except DsvmError as error:
        return _red(state, error)


def _relock(state: State) -> tuple[Session, Lock, Holds]:
    """The lock of today, without holds where that was not tried before; and the holds that it was made with."""
    live = state.held.on(state.today)
    if live.holds:
        taken, lock = _locked(state, "free", Holds())
        if any(hold.tried != lock.artefacts for hold in live.holds):
            return taken, lock, Holds()
    taken, lock = _locked(state, "today", state.held)
    return taken, lock, state.held


def _locked(state: State, name: str, holds: Holds) -> tuple[Session, Lock]:
    """A lock within the manifests' ranges and these holds, in a session of its own."""
    taken = staged(state.session, state.variant, name, holds=holds)

    def stays(section: str, error: DsvmError) -> None:
        state.stayed[section] = error.message
        state.session.warn(f"{section} cannot be resolved anew, and stays as it is:\n{error.message}")

    with state.times.of("lock"):
        lock = lock_variant(taken, state.variant, upgrade=True, stays=stays)
    return taken, lock


def _tried(holds: Holds, lock: Lock) -> Holds:
    return Holds(holds=tuple(one.model_copy(update={"tried": lock.artefacts}) for one in holds.holds))


def _finish(state: State, taken: Session, lock: Lock, holds: Holds) -> Result:
    """Build and verify a lock, holding back what breaks it; raises the error of the first step that fails."""
    session, variant = state.session, state.variant
    for _ in range(ROUNDS + 1):
        _audited(state, taken, image=False)
        found = attempt(taken, variant, state.times)
        if found.broken:
            found = _again(state, taken, found)
        if not found.broken:
            _audited(state, taken, image=True)
            _all_exercised(state, found.report)
            return _result(state, _verdict(holds), lock, holds, taken, found)
        session.echo(f"nightly: {variant}: broken: {', '.join(sorted(found.broken))}")
        more = _held_back(state, state.old, lock, found) if state.may_hold and state.old is not None else ()
        if not more:
            raise _error_of(found)
        for hold in more:
            session.echo(f"nightly: {variant}: {hold.name} is held back until {hold.expires}: {hold.reason}")
        holds = Holds(holds=(*holds.holds, *more))
        taken, lock = _locked(state, "held", holds)
    raise _error_of(found)


def _verdict(holds: Holds) -> NightVerdict:
    return "held" if holds.holds else "green"


def _again(state: State, taken: Session, found: Attempt) -> Attempt:
    """What is still broken when it is checked again; an image gets its name by one pass over everything."""
    unsteady = flaky(taken, state.variant, found, state.times)
    state.flaky = tuple(sorted({*state.flaky, *unsteady}))
    for name in unsteady:
        state.session.warn(f"{name} failed, and passed when it was repeated: it is flaky")
    left = {name: said for name, said in found.broken.items() if name not in unsteady}
    if left:
        return replace(found, broken=left)
    broken, report = check(taken, state.variant, state.times)
    return replace(found, broken=broken, report=report)


def _held_back(state: State, old: Lock, lock: Lock, found: Attempt) -> tuple[Hold, ...]:
    """What to hold back so that the rest may go; nothing where no change of the lock is to blame, or time is over."""
    try:
        with state.times.of("search"):
            result = search(state.session, state.variant, old, lock, found, state.times)
    except BudgetSpent:
        state.session.warn("the time for searching is over: see --budget")
        return ()
    if result is None:
        return ()
    blamed, guilty = result
    state.culprits.append(blamed)
    held = holds_of(guilty[-1], blamed, old, lock, state.today, base_ecosystem=state.base_ecosystem)
    known = {(one.section, one.package) for one in state.held.holds}
    return tuple(one for one in held if (one.section, one.package) not in known)


def _audited(state: State, taken: Session, *, image: bool) -> None:
    """Raise PolicyError when the policy forbids what was found."""
    with state.times.of("audit"):
        audit = state.audit(taken, state.variant, image)
    if audit.forbidden:
        lines = "\n".join(f"    {one.rule}: {one.what}" for one in audit.forbidden[:20])
        of = "image" if image else "lock"
        raise PolicyError(
            f"{state.variant}: the policy forbids its {of}: {len(audit.forbidden)} findings\n{lines}",
            hint="Mend them, or waive them in a policy.yaml of your own: docs/audit.md",
        )


def _all_exercised(state: State, report: Report | None) -> None:
    """Raise PolicyError where the policy wants every check to have run, and some could not."""
    if report is None or not state.session.catalog.policy.every_check:
        return
    if silent := [f"{one.tool}: {one.check}" for one in report.results if one.outcome == "not exercised"]:
        raise PolicyError(
            f"{state.variant}: checks that were not exercised: {', '.join(silent)}",
            hint="Run the night where they can be, or say 'every_check: false' in policy.yaml",
        )


def _error_of(found: Attempt) -> DsvmError:
    names = sorted(found.broken)
    text = "\n".join(f"{name}\n{found.broken[name]}" for name in names)
    if found.tools == (BUILD,):
        return BuildError(text)
    return VerifyError(text, report=found.report)


def _red(state: State, error: DsvmError) -> Result:
    broke = next((step for kind, step in STEPS.items() if isinstance(error, kind)), "error")
    report = error.report if isinstance(error, VerifyError) else None
    why = error.message[-MOST:]
    return Result(
        _told(state, report, verdict="red", new=None, broke=broke, why=why, holds=state.held.holds), error=error
    )


def _result(
    state: State, verdict: NightVerdict, lock: Lock, holds: Holds, taken: Session, found: Attempt | None
) -> Result:
    report = found.report if found is not None else None
    changes = None
    if state.old is not None and lock != state.old:
        with state.times.of("diff"):
            catalog = state.session.catalog
            before, after = diff.of_lock(catalog, state.old, "old", "lock"), diff.of_lock(catalog, lock, "new", "lock")
            changes = diff.difference(before, after)
            changes = diff.further(changes, before, after, state.session, advisories=(), today=state.today)
    night = _told(
        state,
        report,
        verdict=verdict,
        new=lock.digest,
        changes=changes,
        holds=holds.holds,
        dropped=tuple(one for one in state.held.holds if not _stands(one, holds)),
        image=report.image if report is not None else None,
        size=found.size if found is not None else None,
    )
    return Result(night, lock, make_plan(state.session.catalog, lock).digest, holds, taken)


def _told(state: State, report: Report | None, **more: Any) -> VariantNight:
    """What is known of a night whatever it came to, and `more`."""
    outcomes: tuple[Outcome, ...] = ("passed", "failed", "not exercised")
    counts = {name.replace(" ", "_"): report.count(name) for name in outcomes} if report is not None else {}
    return VariantNight(
        variant=state.variant,
        old=state.old.digest if state.old is not None else None,
        stayed={name: why[-MOST:] for name, why in state.stayed.items()},
        flaky=state.flaky,
        culprits=tuple(state.culprits),
        steps=state.times.steps,
        **counts,
        **more,
    )


def _stands(hold: Hold, holds: Holds) -> bool:
    return any((one.section, one.package) == (hold.section, hold.package) for one in holds.holds)
