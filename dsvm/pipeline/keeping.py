"""Beginning manifests, and clearing away what nothing needs."""

from __future__ import annotations

import shutil
from pathlib import Path

from dsvm import ROOT, container
from dsvm import lock as locks
from dsvm.host import claims
from dsvm.model import EngineError
from dsvm.session import Session, begin
from dsvm.store import megabytes


def new(session: Session, kind: str, name: str, *, package: str, like: str) -> None:
    """Begin a tool or a variant, and say what is to be filled in."""
    path = begin(session, kind, name, package=package, like=like)
    session.echo(f"new {kind} {name}: {path}")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if (words := line.strip()).startswith("# fill in: "):
            session.echo(f"  line {number + 1}: {words.removeprefix('# fill in: ')}")


def clean(session: Session, *, everything: bool) -> None:
    """Remove build folders, and artefacts and images that no lock needs; with `everything`, the whole store.

    What another run is using stays, and is said; so does, without `everything`, what is remembered of earlier builds.
    """
    _clean_build_folders(session, everything=everything)
    files, size = clean_store(session, everything=everything)
    session.echo(f"removed {files} artefacts, {megabytes(size)}, and the build folders")
    try:
        engine = session.engine
    except EngineError:
        return
    found = {name: locks.find(session.catalog, name) for name in session.catalog.variants}
    for name, lock in found.items():
        with claims.if_free(claims.folder(), name) as who:
            digests = {name: lock.of("docker").digest} if lock is not None and who is None else {}
            for gone in container.remove_old(digests, engine) if digests else ():
                session.echo(f"removed image {gone}")


def _clean_build_folders(session: Session, *, everything: bool) -> None:
    """What is in them goes, but what is remembered of builds only with `everything`."""
    with session.store.faults(session.store.root):
        for folder in sorted((ROOT / "build").glob("*")):
            with claims.if_free(claims.folder(), folder.name) as who:
                if who is None:
                    kept = folder / container.history.HISTORY
                    for path in [folder] if everything or not kept.is_dir() else {*folder.iterdir()} - {kept}:
                        _remove(path)
                else:
                    session.echo(f"{folder.name}: its build folder and image stay: {who}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def clean_store(session: Session, *, everything: bool = False) -> tuple[int, int]:
    """Remove what no lock needs from the store; returns how many files and bytes went."""
    root = session.store.root
    keep: set[str] = set()
    if not everything:
        for catalog in session.catalog.folders:
            for path in (catalog / "locks").glob("*.json"):
                keep |= {pin.sha256 for section in locks.read(path).sections for pin in section.pins}
    with session.store.faults(root), claims.to_clean(root) as alone:
        if not alone:
            session.echo(f"{root}: another run is using it, so all its artefacts stay")
            return 0, 0
        return session.store.prune(keep)
