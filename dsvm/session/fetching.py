"""Fetching as a step: everything that a lock names, in the store and compared with it."""

from __future__ import annotations

from collections.abc import Callable

from dsvm import ecosystems
from dsvm import lock as locks
from dsvm.ecosystems import Context
from dsvm.model import Format, GoneError, Lock, Pin, Section, StoreError
from dsvm.session.locking import lock_variant
from dsvm.session.session import Session
from dsvm.store import WRONG_SIZE_HINT, FetchSummary, Want, megabytes, wrong_size


def fetch(session: Session, locked: Lock, *, jobs: int = 8) -> FetchSummary:
    """Bring every artefact of a lock into the store. Raises GoneError naming what mirrors have dropped."""
    pins = _pins(locked)
    missing = {sha: pair for sha, pair in pins.items() if not session.store.has(sha)}
    for line in session.store.damaged:
        session.warn(line)
    session.store.damaged.clear()
    session.store.hashed.save()
    every = [pin for section in locked.sections for pin in section.pins if pin.sha256 in pins]
    wrong = [
        wrong_size(pin.filename, pin.size, real)
        for pin in every
        if (real := session.store.size(pin.sha256)) is not None and real != pin.size
    ]
    if wrong:
        raise StoreError("\n".join(wrong), hint=WRONG_SIZE_HINT)
    if not missing:
        return FetchSummary(0, len(pins), 0)
    if session.offline:
        names = [pin.filename for _, pin in missing.values()]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
        raise StoreError(
            f"--offline, but the store lacks {shown}", hint=f"Run: invoke fetch --variant {locked.variant}"
        )
    with session.context(locked.variant) as context:
        wants = [
            Want(pin.filename, sha, pin.size, _locator(section, pin, context)) for sha, (section, pin) in pins.items()
        ]
        return session.store.fetch(wants, host=session.host, progress=session.views.fetch(), jobs=jobs)


def _pins(locked: Lock) -> dict[str, tuple[Section, Pin]]:
    """SHA-256 -> pin of everything that the store holds as a file; a registry's base is a layout of its own."""
    return {
        pin.sha256: (section, pin)
        for section in locked.sections
        for pin in section.pins
        if not (section.id == "base" and locked.base_kind == "registry")
    }


def _locator(section: Section, pin: Pin, context: Context) -> Callable[[], list[str]]:
    return lambda: list(ecosystems.get(section.ecosystem).locate(pin, context))


def fetch_fresh(
    session: Session, locked: Lock, *, update_stale: bool, jobs: int = 8, format: Format | None = None
) -> Lock:
    """Fetch a lock, or what an image of `format` has of it; returns the lock that was fetched.

    What came is compared with it: LockError when artefacts are others than their pins say, or nobody asked for them.

    With `update_stale`, what mirrors have dropped is resolved again. Without it raises GoneError that says which
    packages are gone and how to go on.
    """
    try:
        done = fetch(session, locked.of(format) if format else locked, jobs=jobs)
    except GoneError as error:
        where = sorted({section.ecosystem for section, pin in _pins(locked).values() if pin.filename in error.gone})
        commands = [f"invoke lock --variant {locked.variant} --only {name}" for name in where]
        if not update_stale:
            raise GoneError(
                f"{len(error.gone)} locked packages are no longer served:\n    " + "\n    ".join(error.gone),
                gone=error.gone,
                hint="Resolve them again: " + " && ".join(commands) + " (or build with --update-stale)",
            ) from error
        for name in where:
            session.echo(f"lock: {len(error.gone)} locked packages are no longer served; resolving {name} again")
            locked = lock_variant(session, locked.variant, only=name)
        done = fetch(session, locked.of(format) if format else locked, jobs=jobs)
    locks.compare(session.catalog, locked, session.store, format)
    if done.fetched:
        session.echo(f"fetch: {done.fetched} files, {megabytes(done.bytes)} fetched; {done.reused} were there")
    return locked
