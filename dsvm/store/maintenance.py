"""What a store is checked for, and rid of."""

from __future__ import annotations

import hashlib
import shutil
import time
from contextlib import suppress
from pathlib import Path

from dsvm.store.blobs import Blobs


def verify(blobs: Blobs) -> list[str]:
    """Hash every artefact; the SHA-256 names of damaged ones, which are moved to quarantine."""
    bad = []
    for blob in sorted((blobs.root / "blobs").glob("??/*")):
        with blobs.faults(blob), blob.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != blob.name:
            bad.append(blob.name)
            place = blobs.root / "quarantine" / f"{found[:16]}-{blob.name}"
            with blobs.faults(place):
                place.parent.mkdir(exist_ok=True)
                blob.replace(place)
    return bad


def sweep(blobs: Blobs) -> None:
    """Remove what killed runs left half-made. Only whoever has the store for itself may call it."""
    left = [*(blobs.root / "partial").glob("new-*.part"), *blobs.root.glob("new-*.part"), *blobs.root.glob(".*.part")]
    for path in left:
        path.unlink(missing_ok=True)
    for folder in (blobs.root / "bases").glob("*.part"):
        shutil.rmtree(folder, ignore_errors=True)


def prune(blobs: Blobs, keep: set[str]) -> tuple[int, int]:
    """Remove all artefacts but `keep`, quarantined files, unfinished ones that no run is working on, what is old.

    Returns how many files and bytes that freed.
    """
    from filelock import FileLock, Timeout

    files = freed = 0
    doomed = [blob for blob in (blobs.root / "blobs").glob("??/*") if blob.name not in keep]
    doomed += (blobs.root / "quarantine").glob("*")
    hour_ago = time.time() - 3600
    for part in (blobs.root / "partial").glob("*.part"):
        lock = FileLock(blobs.root / "locks" / f"{part.stem}.lock", timeout=0)
        with suppress(Timeout, FileNotFoundError), lock:
            # one without a name of its own has no lock: its age tells
            if not part.name.startswith("new-") or part.stat().st_mtime < hour_ago:
                doomed.append(part)
    month_ago = time.time() - 30 * 86400
    doomed += [one for one in (blobs.root / "advisories").glob("*") if one.stat().st_mtime < month_ago]
    # what the ledger has read is read again when it is asked for
    doomed += [one for one in (blobs.root / "ledger").glob("*/*") if one.stat().st_mtime < month_ago]
    doomed += [one for one in (blobs.root / "ledger").glob("artefacts-*/*") if one.name[:64] not in keep]
    doomed += [key for key in (blobs.root / "keys").glob("*") if not _key_is_live(blobs, key, keep)]
    for path in doomed:
        with blobs.faults(path), suppress(FileNotFoundError):
            freed += path.stat().st_size if path.stat().st_nlink == 1 else 0
            path.unlink()
            files += 1
    for path in (blobs.root / "locks").glob("*.lock"):
        with suppress(Timeout, FileNotFoundError), FileLock(path, timeout=0):
            path.unlink()  # whoever waits for it notices that it has gone and makes a new one
    return files, freed


def _key_is_live(blobs: Blobs, key: Path, keep: set[str]) -> bool:
    return key.read_text().partition(" ")[0] in keep
