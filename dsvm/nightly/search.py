"""What broke an image: the smallest change of its lock, and how it is held back."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence

from dsvm import lock as locks
from dsvm.lock import Move
from dsvm.model import TOOLS, WHOLE, Culprit, Hold, Lock, LockError, Trial
from dsvm.nightly import culprit
from dsvm.nightly.staging import staged
from dsvm.nightly.times import Times
from dsvm.nightly.trials import BUILD, STARTS, Attempt, attempt
from dsvm.session import Session

OWNER = "nightly"
HOLD_DAYS = 14  # then it is not held any more, whoever has looked at it or not


def suspects_first(session: Session, old: Lock, new: Lock, broken: Attempt) -> tuple[list[Move], int]:
    """All moves from one lock to another in the order in which they are to be suspected, and how many are suspects.

    First what the tools whose checks are broken need, then what is in the same sections.
    """
    base = session.catalog.bases[new.base]
    found = locks.moves(old, new, base_ecosystem=base.ecosystem)
    tools = set(broken.tools)
    stages = {name.partition(": ")[2].partition("_")[0] for name in broken.broken if name.startswith(f"{BUILD}: ")}
    needed: set[tuple[str, str]] = set()
    near: set[str] = set(stages)
    for section in new.sections:
        if tools & set(section.tools):
            near.add(section.id)
            ways = locks.ways(session.catalog, new, section, session.store)
            needed |= {(section.id, name) for name, way in ways.items() if tools & set(way.tools)}

    def rank(move: Move) -> int:
        return 0 if (move.section, move.package) in needed else 1 if move.section in near else 2

    found.sort(key=lambda move: (rank(move), move))
    return found, sum(rank(move) == 0 for move in found)


def search(
    session: Session, variant: str, old: Lock, new: Lock, broken: Attempt, times: Times
) -> tuple[Culprit, tuple[Move, ...]] | None:
    """The smallest change from `old` to `new` that breaks what is `broken`; None where nothing moved.

    Raises BudgetSpent when time runs out.
    """
    moves, suspects = suspects_first(session, old, new, broken)
    if not moves:
        return None
    names = set(broken.broken)
    unbuilt = broken.tools == (BUILD,)
    only = () if STARTS in names else tuple(tool for tool in broken.tools if tool != BUILD)
    trials: list[Trial] = []

    def breaks(taken: tuple[Move, ...]) -> bool | None:
        times.need_time()
        begun = time.monotonic()
        said = tuple(move.name for move in taken)
        session.echo(f"nightly: trial {len(trials) + 1}: {len(taken)} of {len(moves)} changes")
        try:
            with times.of("lock"), session.context(variant) as context:
                between = locks.mix(session.catalog, old, new, taken, context)
        except LockError:
            trials.append(Trial(moves=said, went="not tried", seconds=round(time.monotonic() - begun, 1)))
            return None
        trial = staged(session, variant, "trial", lock=between)
        here = {choice.tool for choice in between.choices}
        checked = tuple(tool for tool in only if tool in here or tool not in session.catalog.tools)
        # without the tools whose checks are broken, nothing of it is
        there = bool(checked) or not only
        found = attempt(trial, variant, times, only=checked, build_alone=unbuilt) if there else Attempt()
        # another fault than the one that is looked for is none of this search
        bad = bool(names & set(found.broken))
        went = "broke" if bad else "passed"
        trials.append(Trial(moves=said, went=went, seconds=round(time.monotonic() - begun, 1)))
        session.echo(f"nightly: trial {len(trials)}: {went}")
        return bad

    guilty = culprit.find(moves, breaks, suspects=suspects)
    first = min(names)
    return Culprit(
        moves=tuple(move.name for move in guilty),
        with_them=_brought(session, variant, old, new, guilty),
        checks=tuple(sorted(names)),
        output=broken.broken[first],
        trials=tuple(trials),
    ), guilty


def _brought(session: Session, variant: str, old: Lock, new: Lock, guilty: Sequence[Move]) -> tuple[str, ...]:
    """What the solver moves with the guilty ones."""
    try:
        with session.context(variant) as context:
            between = locks.mix(session.catalog, old, new, guilty, context)
    except LockError:
        return ()
    ecosystem = session.catalog.bases[new.base].ecosystem
    moved = locks.moves(old, between, base_ecosystem=ecosystem)
    known = {(move.section, move.package) for move in guilty}
    return tuple(move.name for move in moved if (move.section, move.package) not in known)


def holds_of(
    move: Move, found: Culprit, old: Lock, new: Lock, today: datetime.date, *, base_ecosystem: str
) -> tuple[Hold, ...]:
    """What keeps a move from `old` to `new` back: the package, the sections that move as one, the tools that came in.

    Of these the ones whose own checks broke, or else all. Nothing keeps a tool in that went.
    """
    check = found.checks[0]
    together = f", together with {', '.join(found.moves[:-1])}" if len(found.moves) > 1 else ""
    common = {
        "check": check,
        "reason": f"{check} breaks with {move.name}{together}"[:500],
        "owner": OWNER,
        "expires": today + datetime.timedelta(days=HOLD_DAYS),
    }
    if move.section == TOOLS:
        came = {one.tool for one in old.left_out} - {one.tool for one in new.left_out}
        broken = came & {name.partition(": ")[0] for name in found.checks}
        return tuple(Hold(section=TOOLS, package=tool, **common) for tool in sorted(broken or came))
    if move.package != WHOLE:
        return (Hold(section=move.section, package=move.package, version=move.old, broken=move.new, **common),)
    names = [move.section]
    if move.section == "base":  # what lies on top of it is solved for it
        names = [section.id for section in old.sections if section.ecosystem == base_ecosystem]
    return tuple(Hold(section=name, package=WHOLE, **common) for name in names)
