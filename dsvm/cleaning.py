"""What no lock needs goes: build folders, artefacts and images."""

from __future__ import annotations

import shutil

from dsvm import images
from dsvm import lock as locks
from dsvm.errors import EngineError
from dsvm.pipeline import ROOT, Workshop
from dsvm.store import megabytes


def clean(shop: Workshop, *, everything: bool = False) -> tuple[int, int]:
    """Remove build folders and what no lock needs from the store; returns (files, bytes) that went.

    With `everything`, the whole store goes.
    """
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    keep: set[str] = set()
    if not everything:
        for folder in shop.catalog.folders:
            for path in (folder / "locks").glob("*.json"):
                keep |= {pin.sha256 for section in locks.read(path).sections for pin in section.pins}
    return shop.store.prune(keep)


def clean_up(shop: Workshop, *, everything: bool) -> None:
    """Clean build folders, store and, where there is an engine, images that no lock names any more."""
    files, size = clean(shop, everything=everything)
    shop.say(f"removed {files} artefacts, {megabytes(size)}, and the build folders")
    try:
        env = shop.engine.env
    except EngineError:
        return
    found = {name: locks.find(shop.catalog, name) for name in shop.catalog.variants}
    digests = {name: lock.of("docker").digest for name, lock in found.items() if lock is not None}
    for name in images.remove_old(digests, env):
        shop.say(f"removed image {name}")
