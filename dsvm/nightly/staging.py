"""Locks that nobody sees: a night's trials stand in folders of their own, over those of the catalog."""

from __future__ import annotations

import shutil
from dataclasses import replace

import yaml

from dsvm import lock as locks
from dsvm.host import write_whole
from dsvm.model import Holds, Lock
from dsvm.session import Session

FOLDER = "night"  # in the build folder of a variant


def staged(
    session: Session, variant: str, name: str, *, lock: Lock | None = None, holds: Holds | None = None
) -> Session:
    """A session in which `variant` has another lock, or other holds, than the catalog says; it writes neither there.

    A lock that is made in it stays in the folder `name`. Only whoever works on the variant may call it.
    """
    folder = session.folder(variant) / FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "locks").mkdir(parents=True)
    if lock is not None:
        locks.write(folder / "locks" / f"{variant}.json", lock)
    if holds is not None:  # no holds are written too: they hide those of the catalog
        text = yaml.safe_dump(holds.model_dump(mode="json", exclude_none=True))
        write_whole(folder / "locks" / f"{variant}.holds.yaml", text)
    return replace(session, overlays=(*session.overlays, folder))


def clear(session: Session, variant: str) -> None:
    """Remove what a night, or one that was killed, staged for `variant`."""
    shutil.rmtree(session.folder(variant) / FOLDER, ignore_errors=True)
