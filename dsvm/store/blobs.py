"""Artefacts under their SHA-256, visible only when they are right."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dsvm.host import fault
from dsvm.model import StoreError
from dsvm.store.compared import Compared
from dsvm.store.hashed import Hashed


class Blobs:
    """The folder of a store, and what its other modules work with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hashed = Hashed(root / "hashed.json")
        self.compared = Compared(root / "compared.json")
        # what was found damaged and set aside, a line each, for whoever tells people
        self.damaged: list[str] = []

    def path(self, sha256: str) -> Path:
        """Where the artefact is, or would be."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise StoreError(f"{sha256!r} is no SHA-256")
        return self.root / "blobs" / sha256[:2] / sha256

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether it is there and right, by its contents: what was not hashed as it is now is hashed.

        A damaged one goes to quarantine.
        """
        path = self.path(sha256)
        with self.faults(path):
            try:
                found = self.hashed.digest(path)
                if found == sha256:
                    return size is None or path.stat().st_size == size
                place = self.root / "quarantine" / f"{found[:16]}-{sha256}"
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
            except FileNotFoundError:
                return False
        self.damaged.append(f"{path}: damaged, its SHA-256 is {found}; kept as {place}")
        return False

    def size(self, sha256: str) -> int | None:
        """Bytes of the artefact; None when it is not there."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def add(self, path: Path, *, sha256: str | None = None) -> tuple[str, int]:
        """Copy a file in; returns SHA-256 and size. Raises StoreError when it is not what `sha256` names."""
        with self.faults(path):
            part = self.temporary()
            try:
                digest, size = hashlib.sha256(), 0
                with path.open("rb") as source, part.open("wb") as target:
                    while chunk := source.read(1 << 20):
                        digest.update(chunk)
                        size += target.write(chunk)
                found = digest.hexdigest()
                if sha256 is not None and found != sha256:
                    raise StoreError(f"{path}: its SHA-256 is {found}, not {sha256}")
                self.commit(part, found)
            finally:
                part.unlink(missing_ok=True)
        return found, size

    def partial(self, sha256: str) -> Path:
        """Where a download of it grows."""
        return self.root / "partial" / f"{sha256}.part"

    @contextmanager
    def locked(self, name: str, cancel: threading.Event | None = None) -> Iterator[None]:
        """Hold the lock `name` against other runs and threads. Raises Cancelled once `cancel` is set."""
        from filelock import FileLock, Timeout

        from dsvm.host import Cancelled

        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        while True:
            try:
                lock.acquire(timeout=0.5, poll_interval=0.05)
                break
            except Timeout:
                if cancel is not None and cancel.is_set():
                    raise Cancelled from None
        try:
            yield
        finally:
            lock.release()

    def temporary(self) -> Path:
        folder = self.root / "partial"
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="new-", suffix=".part", dir=folder)
        os.close(handle)
        return Path(name)

    def commit(self, part: Path, sha256: str) -> None:
        """Make a verified file visible: on the disk first, then under its name."""
        final = self.path(sha256)
        final.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fchmod(handle, 0o444)
            os.utime(handle, (mtime_of(sha256),) * 2)
            os.fsync(handle)
        finally:
            os.close(handle)
        part.replace(final)
        self.hashed.note(final, sha256)

    @contextmanager
    def faults(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = Path(os.fsdecode(error.filename)) if error.filename else path
            if isinstance(error, FileNotFoundError) and not where.is_relative_to(self.root):
                raise StoreError(f"{where}: {error.strerror}") from error
            if not where.is_relative_to(self.root):  # what is laid out from the store lies elsewhere
                raise fault(where, error) from error
            raise StoreError(
                f"{where}: {error.strerror or error}",
                hint=f"The store is {self.root}; DSVM_STORE puts it elsewhere.",
            ) from error


def mtime_of(sha256: str) -> int:
    """Modification time of an artefact, in seconds since 1970.

    Derived from the content, so that it is the same on every machine and yet another one for another content:
    BuildKit takes a file of the same name, size and time for unchanged.
    """
    return 1_000_000_000 + int(sha256[:7], 16)
