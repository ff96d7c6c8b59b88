"""Folders of artefacts, as builds mount them: links into the store."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dsvm.model import StoreError
from dsvm.store.blobs import Blobs, mtime_of


def lay_out(blobs: Blobs, dest: Path, files: Mapping[str, str]) -> None:
    """Make folder `dest` hold exactly `files`, relative name -> SHA-256, as links to artefacts or copies.

    Does nothing when it is right already; otherwise builds it beside and swaps, so that nobody sees half.
    Raises StoreError for a name that leaves `dest` or clashes with another, or a missing artefact.
    """
    check_names(files)
    dest = dest.absolute()
    with blobs.faults(dest), blobs.locked("tree-" + hashlib.sha256(os.fsencode(dest)).hexdigest()[:32]):
        if broken := sorted(name for name, sha256 in files.items() if not blobs.has(sha256)):
            told = "".join(f"\n  {line}" for line in blobs.damaged)
            what = f"{', '.join(broken[:5])}: not in the store, or damaged there{told}"
            raise StoreError(what, hint="Fetch it: invoke fetch")
        if _tree_is_right(blobs, dest, files):
            blobs.hashed.save()
            return
        dest.parent.mkdir(parents=True, exist_ok=True)
        for left in dest.parent.glob(f".{glob.escape(dest.name[:100])}.????????"):
            shutil.rmtree(left, ignore_errors=True)  # of a run that was killed: this one has the lock
        new = Path(tempfile.mkdtemp(prefix=f".{dest.name[:100]}.", dir=dest.parent))
        try:
            new.chmod(0o755)
            for name, sha256 in sorted(files.items()):
                _place(blobs, sha256, new, name)
            if dest.is_symlink() or dest.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{dest.name[:100]}.", dir=dest.parent))
                try:
                    dest.rename(old / "old")
                    new.rename(dest)
                finally:
                    shutil.rmtree(old, ignore_errors=True)
            else:
                new.rename(dest)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        for sha256 in files.values():
            # links came and went, which moves the time of the inode's last change
            blobs.hashed.note(blobs.path(sha256), sha256)
        blobs.hashed.save()


def _place(blobs: Blobs, sha256: str, folder: Path, name: str) -> None:
    target = folder
    for part in name.split("/")[:-1]:
        target = target / part
        if not target.exists():
            target.mkdir()
            target.chmod(0o755)
    target, blob = folder / name, blobs.path(sha256)
    try:
        target.hardlink_to(blob)
    except OSError as error:
        if not blob.exists():
            raise StoreError(f"{name}: not in the store ({sha256})", hint="Fetch it: invoke fetch") from error
        if isinstance(error, FileNotFoundError | FileExistsError):
            raise
        shutil.copy2(blob, target)  # another file system, or one that cannot link


def _tree_is_right(blobs: Blobs, dest: Path, files: Mapping[str, str]) -> bool:
    if dest.is_symlink() or not dest.is_dir():
        return False
    folders = {parent for name in files for parent in parents(name)}
    found: set[str] = set()
    for folder, folder_names, names in os.walk(dest):
        here = os.path.relpath(folder, dest)
        prefix = "" if here == "." else here + "/"
        if any(prefix + name not in folders for name in folder_names):
            return False
        for name in names:
            sha256 = files.get(prefix + name)
            if sha256 is None or not _is_blob(blobs, Path(folder, name), sha256):
                return False
            found.add(prefix + name)
    return len(found) == len(files)


def _is_blob(blobs: Blobs, path: Path, sha256: str) -> bool:
    """A link to the artefact, or a copy of it with the same contents and the time that derives from them."""
    try:
        blob, here = blobs.path(sha256).stat(), path.lstat()
    except FileNotFoundError:
        return False
    if (blob.st_dev, blob.st_ino) == (here.st_dev, here.st_ino):
        return True
    alike = (here.st_mode, here.st_size, here.st_mtime) == (blob.st_mode, blob.st_size, mtime_of(sha256))
    return alike and blobs.hashed.digest(path) == sha256


def check_names(names: Iterable[str]) -> None:
    """Raise StoreError unless all are relative file names that stay inside a folder and do not clash."""
    files = set(names)
    for name in sorted(files):
        parts = name.split("/")
        try:
            long = any(len(os.fsencode(part)) > 255 for part in parts)
        except UnicodeEncodeError:
            long = True
        if long or any(part in ("", ".", "..") for part in parts) or re.search(r"[\x00-\x1f\x7f\\]", name):
            raise StoreError(f"{name!r} is no name for a file in a folder of artefacts")
        if clash := next((parent for parent in parents(name) if parent in files), None):
            raise StoreError(f"{clash!r} is a file, and {name!r} needs it as a folder")


def parents(name: str) -> Iterator[str]:
    """The folders of a relative name: a and a/b for a/b/c."""
    parts = name.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))
