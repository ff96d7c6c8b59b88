"""What no lock needs goes: build folders, artefacts and images."""

from __future__ import annotations

import shutil

from dsvm import claims, images
from dsvm import lock as locks
from dsvm.errors import EngineError
from dsvm.pipeline import ROOT, Workshop
from dsvm.store import megabytes


def clean(shop: Workshop, *, everything: bool = False) -> tuple[int, int]:
    """Remove build folders and what no lock needs from the store; returns (files, bytes) that went.

    With `everything`, the whole store goes. What another run is using stays, and is said.
    """
    root = shop.store.root
    with shop.store.faults(root):
        for folder in sorted((ROOT / "build").glob("*")):
            with claims.if_free(claims.folder(), folder.name) as who:
                if who is None:
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    shop.say(f"{folder.name}: its build folder and image stay: {who}")
    keep: set[str] = set()
    if not everything:
        for catalog in shop.catalog.folders:
            for path in (catalog / "locks").glob("*.json"):
                keep |= {pin.sha256 for section in locks.read(path).sections for pin in section.pins}
    with shop.store.faults(root), claims.to_clean(root) as alone:
        if not alone:
            shop.say(f"{root}: another run is using it, so all its artefacts stay")
            return 0, 0
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
    for name, lock in found.items():
        with claims.if_free(claims.folder(), name) as who:
            digests = {name: lock.of("docker").digest} if lock is not None and who is None else {}
            for gone in images.remove_old(digests, env) if digests else ():
                shop.say(f"removed image {gone}")
