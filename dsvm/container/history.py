"""The builds of a variant that are remembered, in `history` of its build folder: trends, and what was there before.

TIME.json     one build, and what verification made of it      LOCK.lock.json     the lock of a build
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from dsvm import lock as locks
from dsvm.container.buildkit import Built
from dsvm.host import read_bounded, write_whole
from dsvm.model import Line, Lock, LockError, Model, Outcome, Report, canonical_json

HISTORY = "history"
MOST_BUILDS, MOST_LOCKS = 50, 5
NAME = "%Y%m%dT%H%M%S%f"


class Kept(Model):
    """One build of a variant."""

    time: datetime = Field(description="when it ended, UTC")
    image: Line = Field(description="id of the image")
    built: Built
    lock: Line = Field(description="digest of the whole lock, of which `built` has what is in a container")
    checks: dict[Outcome, int] = Field(
        default_factory=dict, description="how many had which outcome; none: not verified"
    )


def keep(folder: Path, built: Built, image: str, lock: Lock, time: datetime | None = None) -> None:
    """Remember that `built` came out as the image with the id `image`; the oldest builds are forgotten."""
    one = Kept(time=time or datetime.now(UTC), image=image, built=built, lock=lock.digest)
    locks.write(lock_file(folder, one), lock)
    write_whole(folder / HISTORY / f"{one.time.strftime(NAME)}.json", canonical_json(one))
    _forget(folder)


def note_checks(folder: Path, report: Report) -> None:
    """Remember what verification found on the last build that the report's image came out of."""
    for path, one in _read(folder):
        if one.image == report.image and one.built.lock == report.lock:
            outcomes: tuple[Outcome, ...] = ("passed", "failed", "not exercised")
            counts = {outcome: report.count(outcome) for outcome in outcomes}
            write_whole(path, canonical_json(one.model_copy(update={"checks": counts})))
            return


def kept(folder: Path) -> list[Kept]:
    """The builds that are remembered, the last one first; what cannot be read is none."""
    return [one for _, one in _read(folder)]


def kept_lock(folder: Path, one: Kept) -> Lock | None:
    """The lock of a build, as long as it is remembered."""
    try:
        lock = locks.read(lock_file(folder, one))
    except LockError:
        return None
    return lock if lock.digest == one.lock else None


def lock_file(folder: Path, one: Kept) -> Path:
    """Where the lock of a build is."""
    return folder / HISTORY / f"{one.lock[:12]}.lock.json"


def _read(folder: Path) -> Iterator[tuple[Path, Kept]]:
    for path in sorted(_builds(folder), reverse=True):
        with suppress(OSError, ValueError):
            yield path, Kept.model_validate_json(read_bounded(path))


def _builds(folder: Path) -> list[Path]:
    return [path for path in (folder / HISTORY).glob("*.json") if not path.name.endswith(".lock.json")]


def _forget(folder: Path) -> None:
    for path in sorted(_builds(folder), reverse=True)[MOST_BUILDS:]:
        path.unlink(missing_ok=True)
    wanted = list(dict.fromkeys(lock_file(folder, one) for one in kept(folder)))[:MOST_LOCKS]
    for path in (folder / HISTORY).glob("*.lock.json"):
        if path not in wanted:
            path.unlink(missing_ok=True)
