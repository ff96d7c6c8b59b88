"""A night of several variants: all of them go out together, or none."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from dsvm import lock as locks
from dsvm.model import NIGHT_VERDICTS, DsvmError, InputError, Night
from dsvm.nightly.night import Auditor, Result, night_of
from dsvm.nightly.publishing import Out, Publisher
from dsvm.nightly.staging import clear
from dsvm.nightly.times import Times
from dsvm.release import CHANNELS
from dsvm.session import Session


@dataclass(frozen=True)
class NightlyOptions:
    """What is asked of a night, beside the variants."""

    may_hold: bool = True
    # minutes after which no further trial begins
    budget: float | None = None
    registry: str | None = None
    # names that move to the release; what the first one names is what is out
    channels: Sequence[str] = CHANNELS


def nightly(
    session: Session, variants: Sequence[str], options: NightlyOptions, audit: Auditor, publisher: Publisher
) -> tuple[Night, DsvmError | None]:
    """The night of these variants, and the error that it ends with, where one of them is red.

    Locks and holds are written only when all passed, and after their images are out: a night that is killed is taken
    up by the next one where it was.
    """
    if not variants:
        raise InputError("which variants?", hint="Name them: --variant NAME, once for each")
    began, start = datetime.datetime.now(datetime.UTC), time.monotonic()
    end = None if options.budget is None else start + 60 * options.budget
    with ExitStack() as claims:
        for variant in sorted({*variants}):
            claims.enter_context(session.working_on(variant))
            clear(session, variant)
        released = publisher.released()
        results = {
            variant: night_of(
                session,
                variant,
                Times(end),
                audit,
                today=began.date(),
                released=released.get(variant),
                may_hold=options.may_hold,
            )
            for variant in dict.fromkeys(variants)
        }
        error = next((one.error for one in results.values() if one.error is not None), None)
        published = Out()
        if error is None:
            try:
                published = _release(session, results, released, publisher)
                _write(session, results)
            except DsvmError as fault:
                error = fault
        for variant in results:
            clear(session, variant)
    nights = [one.night.model_copy(update={"pull": published.pull.get(variant)}) for variant, one in results.items()]
    worst = max((one.verdict for one in nights), key=NIGHT_VERDICTS.index)
    return Night(
        schema="dsvm.night/1",
        began=began,
        seconds=round(time.monotonic() - start, 1),
        registry=options.registry,
        channels=tuple(options.channels) if options.registry is not None else (),
        verdict="red" if error is not None else worst,
        why=error.message[-4000:] if error is not None else "",
        release=published.release,
        variants=tuple(nights),
    ), error


def _release(session: Session, results: Mapping[str, Result], released: Mapping[str, str], publisher: Publisher) -> Out:
    """Release what is not out yet, with the rest of the variants."""
    new = {
        variant: result.session
        for variant, result in results.items()
        if result.session is not None and result.plan != released.get(variant)
    }
    if not new:
        return Out()
    session.echo(f"nightly: releasing {', '.join(new)}")
    return publisher.release(new)


def _write(session: Session, results: Mapping[str, Result]) -> None:
    """Write the locks and holds that were taken to where the catalog has them."""
    for variant, result in results.items():
        if result.lock is not None and result.lock != locks.find(session.catalog, variant):
            path = locks.lock_path(session.catalog, variant)
            locks.write(path, result.lock)
            session.echo(f"nightly: {path}")
        if result.lock is not None and result.holds != locks.find_holds(session.catalog, variant):
            locks.write_holds(locks.holds_path(session.catalog, variant), result.holds)
