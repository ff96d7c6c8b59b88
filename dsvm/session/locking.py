"""Locking as a step: a lock that fits the manifests, made anew where it has to be."""

from __future__ import annotations

import datetime
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsvm import lock as locks
from dsvm.model import (
    ON_REQUEST,
    OUT_OF_REACH,
    DsvmError,
    Holds,
    InputError,
    LeftOut,
    LeftOutKind,
    Lock,
    LockError,
    OutOfReachError,
)
from dsvm.session.gating import gate_variant
from dsvm.session.session import Session


def lock_variant(
    session: Session,
    variant: str,
    *,
    only: str | None = None,
    upgrade: bool = False,
    leave_out: Sequence[str] = (),
    put_back: Sequence[str] = (),
    leave_out_unreachable: bool = False,
    stays: Callable[[str, DsvmError], None] | None = None,
) -> Lock:
    """Lock `variant` and say what moved.

    What was left out on request stays out until it is put back; what was out of reach comes in when its source answers.
    What is held stays at its version until the hold expires; `stays` is told of sections that cannot be resolved anew.
    Nothing moves that need not: packages stay at the version of the lock before, or where there is none, of the lock of
    a variant that is like it. `upgrade`, and `only` for its ecosystem, take the newest.

    With `leave_out_unreachable`, tools that no source gives now are left out, and those that need them.
    """
    if session.offline:
        raise LockError("locking asks the network", hint="Leave --offline out")
    session.catalog.refuse_retired((*leave_out, *put_back))
    previous = locks.find(session.catalog, variant)
    start = previous if previous is not None else _start(session, variant)
    gone = _gone(session, variant, start, leave_out, put_back)
    gate_variant(session, variant, left_out=[*gone])
    stay = locks.versions(start.sections, without=only) if start is not None and not upgrade else {}
    wishes = replace(locks.Wishes.of(_held(session, variant)), prefer=stay)
    asked = only or upgrade or leave_out or put_back or leave_out_unreachable
    begun = time.monotonic()
    if previous is not None and not locks.stale_sections(session.catalog, previous):
        locks.check(session.catalog, previous)
        if not asked:
            new = _with_all_in_reach(session, previous, reasons=True)
            if new != previous:
                return _keep(session, previous, new, begun)
            name = locks.lock_path(session.catalog, variant).name
            session.echo(f"lock: {name} is up to date (--upgrade looks for newer versions)")
            return previous
    while True:
        try:
            new = _resolved(session, variant, start, gone, wishes, only=only, upgrade=upgrade, stays=stays)
            break
        except OutOfReachError as error:
            absent = session.catalog.with_dependents(error.tools, session.catalog.variant(variant))
            if not leave_out_unreachable or gone.keys() >= {*absent}:
                raise
            session.warn(f"left out: {', '.join(absent)}\n{error.message}")
            gone |= {tool: _left_out(tool, OUT_OF_REACH, "unreachable") for tool in error.tools}
            gone = _with_dependents(session, variant, gone)
    locks.check(session.catalog, new)  # what was kept of the one before included
    gate_variant(session, variant, new)
    new = _with_all_in_reach(session, new, reasons=True)
    return _keep(session, start, new, begun)


def need_lock(session: Session, variant: str, *, locked: bool = False) -> Lock:
    """The lock of `variant`, made or brought up to date when it has to be, unless `locked` forbids it."""
    found = locks.find(session.catalog, variant)
    stale = locks.stale_sections(session.catalog, found) if found is not None else ["everything"]
    if found is not None and not stale:
        return locks.check(session.catalog, found)
    if locked or session.offline:
        why = f"does not fit the manifests: {', '.join(stale)}" if found is not None else "does not exist"
        option = "--locked" if locked else "--offline"
        raise LockError(
            f"the lock of {variant} {why}, and {option} forbids to resolve",
            hint=f"Run: invoke lock --variant {variant}",
        )
    session.echo(f"lock: {variant}: {', '.join(stale)} to resolve")
    return lock_variant(session, variant)


def complete_lock(session: Session, variant: str, *, locked: bool = False) -> Lock:
    """The same, with the tools that were out of reach and are not any more; asks once in a run.

    Nothing else moves by it. Neither does anything with `locked`, nor offline.
    """
    found = need_lock(session, variant, locked=locked)
    if locked or session.offline or variant in session.asked:
        return found
    begun = time.monotonic()
    new = _with_all_in_reach(session, found)
    return _keep(session, found, new, begun) if new != found else found


def _start(session: Session, variant: str) -> Lock | None:
    """What a variant without a lock starts from: the lock of one that is like it, with what was out of reach there."""
    found = locks.relative(session.catalog, variant)
    if found is None:
        return None
    session.echo(f"lock: {variant} starts from the lock of {found.variant}: what need not move stays")
    tools = session.catalog.variant(variant).tools
    out = tuple(one for one in found.left_out if one.kind == "unreachable" and one.tool in tools)
    return found.model_copy(update={"variant": variant, "left_out": out})


def _gone(
    session: Session, variant: str, previous: Lock | None, leave_out: Sequence[str], put_back: Sequence[str]
) -> dict[str, LeftOut]:
    """What is out from the beginning, by tool: as the lock before has it, and as was asked for now."""
    gone = {left.tool: left for left in previous.left_out} if previous is not None else {}
    gone |= {tool: _left_out(tool, ON_REQUEST, "requested") for tool in leave_out}
    for tool in put_back:
        if gone.pop(tool, None) is None:
            raise InputError(f"'{tool}' is not left out of {variant}")
    return _with_dependents(session, variant, gone)


def _with_dependents(session: Session, variant: str, gone: Mapping[str, LeftOut]) -> dict[str, LeftOut]:
    """`gone` with the tools that need one of them: they come in when that one does."""
    found = dict(gone)
    for tool in session.catalog.with_dependents(gone, session.catalog.variant(variant)):
        if tool not in found:
            needs = ", ".join(other for other in session.catalog.tools[tool].requires if other in found)
            found[tool] = _left_out(tool, f"it needs {needs}, which is left out", "unreachable")
    return found


def _left_out(tool: str, reason: str, kind: LeftOutKind) -> LeftOut:
    return LeftOut(tool=tool, reason=reason, kind=kind)


def _held(session: Session, variant: str) -> Holds:
    return locks.find_holds(session.catalog, variant).on(datetime.datetime.now(datetime.UTC).date())


def _resolved(
    session: Session,
    variant: str,
    previous: Lock | None,
    gone: Mapping[str, LeftOut],
    wishes: locks.Wishes,
    **more: Any,
) -> Lock:
    with session.using_store(), session.context(variant) as context:
        return locks.resolve(
            session.catalog,
            variant,
            context,
            previous=previous,
            leave_out=[*gone.values()],
            wishes=wishes,
            echo=lambda line: session.echo(f"lock: {line}"),
            **more,
        )


def _with_all_in_reach(session: Session, locked: Lock, *, reasons: bool = False) -> Lock:
    """`locked` with the tools that were out of reach and whose sources answer now; says which came in, and which not.

    What they are made of is all that moves.
    """
    session.asked.add(locked.variant)
    held = _held(session, locked.variant).tools
    reach = locks.ask_again(session.catalog, locked, session.context(locked.variant), held=held)
    new = _taken_in(session, locked, reach.back)
    stayed = {left.tool for left in new.left_out}
    back = [tool for tool in reach.back if tool not in stayed]
    parts = {"came in": back, "still out of reach": sorted({*reach.out, *reach.back} - {*back})}
    if said := "; ".join(f"{words}: {', '.join(tools)}" for words, tools in parts.items() if tools):
        session.echo(f"lock: {locked.variant}: {said}")
    for tool, why in sorted(reach.out.items()) if reasons else ():
        session.echo(f"  {tool}: {textwrap.shorten(why, 300)}")
    return new


def _taken_in(session: Session, locked: Lock, tools: Sequence[str]) -> Lock:
    """`locked` with `tools`; those that cannot be taken in stay out, and a warning says why."""
    if not tools:
        return locked
    gone = {left.tool: left for left in locked.left_out if left.tool not in tools}
    anew = locks.companions(session.catalog, locked, tools)
    as_they_are = locks.versions(locked.sections)
    wishes = replace(locks.Wishes.of(_held(session, locked.variant)), prefer=as_they_are)
    try:
        new = _resolved(session, locked.variant, locked, gone, wishes, keep_base=True, anew=anew)
        locks.check(session.catalog, new)
        gate_variant(session, locked.variant, new)
        return new
    except DsvmError as error:  # what was locked and built before goes on without them
        apart = locks.apart(session.catalog, tools)
        if len(apart) < 2:
            session.warn(f"{', '.join(tools)}: within reach again, and cannot come in: {error}")
            return locked
    for some in apart:
        locked = _taken_in(session, locked, some)
    return locked


def _keep(session: Session, previous: Lock | None, new: Lock, begun: float) -> Lock:
    """Write a new lock, and say what moved since the one before."""
    path = locks.lock_path(session.catalog, new.variant)
    for change in locks.changes(previous, new):
        session.echo(f"  {change}")
    for hold in _held(session, new.variant).holds:
        session.echo(f"  held: {hold.name}, until {hold.expires}: {hold.reason}")
    if previous == new:
        session.echo(f"lock: {path.name}: nothing moved")
        return new
    locks.write(path, new)
    pins = {pin.sha256: pin for section in new.sections for pin in section.pins}
    size = sum(pin.size for pin in pins.values()) / 1e6
    session.echo(f"lock: {len(pins)} artefacts, {size:.0f} MB, in {time.monotonic() - begun:.0f} s: {path}")
    return new
