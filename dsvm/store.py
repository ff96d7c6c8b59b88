"""The content-addressed store: every fetched artefact once, under its SHA-256, visible only when it is right.

blobs/ab/SHA256   the artefacts, read-only        partial/     downloads under way, kept for resuming
quarantine/       files that were not what was    locks/       one run at a time works on one artefact
                  asked for                       keys/        other digests of artefacts
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from dsvm.errors import DsvmError, GoneError, StoreError

if TYPE_CHECKING:
    from dsvm.machine import Machine

SPARE = 1.05  # of the missing bytes must be free before a fetch starts


@dataclass(frozen=True)
class Want:
    """An artefact that a lock names. `locate` gives candidate URLs, best first, and may use the network."""

    name: str
    sha256: str
    size: int
    locate: Callable[[], Iterable[str]]


@dataclass(frozen=True)
class FetchSummary:
    """Files fetched and files that were there already; `bytes` counts the fetched ones."""

    fetched: int
    reused: int
    bytes: int


class Progress(Protocol):
    """Hears how a fetch goes on, one call at a time."""

    def start(self, total_bytes: int, files: int) -> None: ...

    def advance(self, count: int) -> None:
        """`count` bytes more; negative when a download starts over."""

    def done_file(self, name: str) -> None: ...

    def stop(self) -> None: ...


def default_root() -> Path:
    """DSVM_STORE, or the user's cache folder."""
    if chosen := os.environ.get("DSVM_STORE"):
        return Path(chosen).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("dsvm") / "store"


class Store:
    def __init__(self, root: Path | None = None) -> None:
        self.root = default_root() if root is None else root.absolute()

    def path(self, sha256: str) -> Path:
        """Where the artefact is, or would be."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise StoreError(f"{sha256!r} is no SHA-256")
        return self.root / "blobs" / sha256[:2] / sha256

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether it is there, by its size: contents were verified when they came in."""
        path = self.path(sha256)
        with self._faults(path):
            try:
                found = path.stat()
            except FileNotFoundError:
                return False
        return size is None or found.st_size == size

    def add(self, path: Path, *, sha256: str | None = None) -> tuple[str, int]:
        """Copy a file in; returns SHA-256 and size. Raises StoreError when it is not what `sha256` names."""
        with self._faults(path):
            part = self._temporary()
            try:
                digest, size = hashlib.sha256(), 0
                with path.open("rb") as source, part.open("wb") as target:
                    while chunk := source.read(1 << 20):
                        digest.update(chunk)
                        size += target.write(chunk)
                found = digest.hexdigest()
                if sha256 is not None and found != sha256:
                    raise StoreError(f"{path}: its SHA-256 is {found}, not {sha256}")
                self._commit(part, found)
            finally:
                part.unlink(missing_ok=True)
        return found, size

    # --- fetching ---

    def fetch(
        self, wants: Sequence[Want], *, machine: Machine, progress: Progress | None = None, jobs: int = 8
    ) -> FetchSummary:
        """Bring in all that is missing, `jobs` at a time, the largest first.

        Goes on after a failure and reports all of them: GoneError when registries no longer serve some files
        and nothing else is wrong, else StoreError. Ctrl-C leaves what has arrived for the next run.
        """
        unique = {want.sha256: want for want in wants}
        missing = [want for want in unique.values() if not self.has(want.sha256, want.size)]
        if not missing:
            return FetchSummary(0, len(unique), 0)
        missing.sort(key=lambda want: (-want.size, want.name))
        with self._faults(self.root):
            self._check_space(missing)
        run = _Fetch(self, missing, machine, progress)
        run.work(jobs)
        run.report()
        return FetchSummary(run.files, len(unique) - run.files, run.bytes)

    def download(
        self,
        urls: Iterable[str],
        *,
        name: str,
        machine: Machine,
        sha256: str | None = None,
        verify: Callable[[Path], str | None] | None = None,
        key: str | None = None,
    ) -> tuple[str, int]:
        """Bring in one file whose SHA-256 or size is not known yet; returns both, the size in bytes.

        `verify` looks at the file before it counts and returns what is wrong with it, if anything. `key` is
        another digest that determines the content (npm's integrity): what is known by it is not fetched again.
        """
        from dsvm.download import download

        if (known := self._by_key(key)) is not None:
            return known
        if sha256 is not None and self.has(sha256):
            return sha256, self.path(sha256).stat().st_size
        with self._faults(self.root), ExitStack() as stack:
            if sha256 is None:
                part = self._temporary()
                stack.callback(part.unlink, missing_ok=True)
            else:  # may have been begun by an earlier run, or just now by another one
                stack.enter_context(self.locked(sha256))
                part = self.partial(sha256)
                part.parent.mkdir(parents=True, exist_ok=True)
            got = download(
                machine.client,
                urls,
                part,
                sha256=sha256,
                name=name,
                verify=verify,
                quarantine=self.root / "quarantine",
            )
            self._commit(part, got.sha256)
            if key is not None:
                self._remember(key, got.sha256, got.size)
        return got.sha256, got.size

    def _key_path(self, key: str) -> Path:
        return self.root / "keys" / hashlib.sha256(key.encode()).hexdigest()

    def _by_key(self, key: str | None) -> tuple[str, int] | None:
        try:
            sha256, size = self._key_path(key or "").read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return (sha256, int(size)) if self.has(sha256, int(size)) else None

    def _remember(self, key: str, sha256: str, size: int) -> None:
        path, part = self._key_path(key), self._temporary()
        part.write_text(f"{sha256} {size}\n")
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)

    def _check_space(self, missing: Sequence[Want]) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        have = 0
        for want in missing:
            with suppress(FileNotFoundError):
                have += min(self.partial(want.sha256).stat().st_size, want.size)
        needed = int((sum(want.size for want in missing) - have) * SPARE)
        free = shutil.disk_usage(self.root).free
        if needed > free:
            what = f"{len(missing)} files need {megabytes(needed)}, {megabytes(free)} are free"
            raise StoreError(
                f"{self.root}: disk full: {what}",
                hint="Free some space there (invoke clean), or put the store elsewhere with DSVM_STORE.",
            )

    def partial(self, sha256: str) -> Path:
        """Where a download of it grows."""
        return self.root / "partial" / f"{sha256}.part"

    @contextmanager
    def locked(self, name: str, cancel: threading.Event | None = None) -> Iterator[None]:
        """Hold the lock `name` against other runs and threads. Raises Cancelled once `cancel` is set."""
        from filelock import FileLock, Timeout

        from dsvm.download import Cancelled

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

    def _temporary(self) -> Path:
        folder = self.root / "partial"
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="new-", suffix=".part", dir=folder)
        os.close(handle)
        return Path(name)

    def _commit(self, part: Path, sha256: str) -> None:
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

    @contextmanager
    def _faults(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{error.filename or path}: {error.strerror or error}",
                hint=f"The store is {self.root}; DSVM_STORE puts it elsewhere.",
            ) from error

    # --- folders of artefacts ---

    def tree(self, dest: Path, files: Mapping[str, str]) -> None:
        """Make folder `dest` hold exactly `files`, relative name -> SHA-256, as links to artefacts or copies.

        Does nothing when it is right already; otherwise builds it beside and swaps, so that nobody sees half.
        Raises StoreError for a name that leaves `dest` or clashes with another, or a missing artefact.
        """
        check_names(files)
        dest = dest.absolute()
        with self._faults(dest), self.locked("tree-" + hashlib.sha256(os.fsencode(dest)).hexdigest()[:32]):
            if self._tree_is_right(dest, files):
                return
            dest.parent.mkdir(parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(prefix=f".{dest.name[:100]}.", dir=dest.parent))
            try:
                new.chmod(0o755)
                for name, sha256 in sorted(files.items()):
                    self._place(sha256, new, name)
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

    def _place(self, sha256: str, folder: Path, name: str) -> None:
        target = folder
        for part in name.split("/")[:-1]:
            target = target / part
            if not target.exists():
                target.mkdir()
                target.chmod(0o755)
        target, blob = folder / name, self.path(sha256)
        try:
            target.hardlink_to(blob)
        except OSError as error:
            if not blob.exists():
                raise StoreError(f"{name}: not in the store ({sha256})", hint="Fetch it: invoke fetch") from error
            if isinstance(error, FileNotFoundError | FileExistsError):
                raise
            shutil.copy2(blob, target)  # another file system, or one that cannot link

    def _tree_is_right(self, dest: Path, files: Mapping[str, str]) -> bool:
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
                if sha256 is None or not self._is_blob(Path(folder, name), sha256):
                    return False
                found.add(prefix + name)
        return len(found) == len(files)

    def _is_blob(self, path: Path, sha256: str) -> bool:
        """A link to the artefact, or a copy of it: its times derive from the content (see `mtime_of`)."""
        try:
            blob, here = self.path(sha256).stat(), path.lstat()
        except FileNotFoundError:
            return False
        if (blob.st_dev, blob.st_ino) == (here.st_dev, here.st_ino):
            return True
        return (here.st_mode, here.st_size, here.st_mtime) == (blob.st_mode, blob.st_size, mtime_of(sha256))

    # --- care ---

    def verify(self) -> list[str]:
        """Hash every artefact; the SHA-256 names of damaged ones, which are moved to quarantine."""
        bad = []
        for blob in sorted((self.root / "blobs").glob("??/*")):
            with self._faults(blob), blob.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != blob.name:
                bad.append(blob.name)
                place = self.root / "quarantine" / f"{found[:16]}-{blob.name}"
                with self._faults(place):
                    place.parent.mkdir(exist_ok=True)
                    blob.replace(place)
        return bad

    def prune(self, keep: set[str]) -> tuple[int, int]:
        """Remove all artefacts but `keep`, quarantined files, and unfinished ones that no run is working on.

        Returns how many files and bytes that freed.
        """
        from filelock import FileLock, Timeout

        files = freed = 0
        doomed = [blob for blob in (self.root / "blobs").glob("??/*") if blob.name not in keep]
        doomed += (self.root / "quarantine").glob("*")
        hour_ago = time.time() - 3600
        for part in (self.root / "partial").glob("*.part"):
            lock = FileLock(self.root / "locks" / f"{part.stem}.lock", timeout=0)
            with suppress(Timeout, FileNotFoundError), lock:
                # one without a name of its own has no lock: its age tells
                if not part.name.startswith("new-") or part.stat().st_mtime < hour_ago:
                    doomed.append(part)
        doomed += [key for key in (self.root / "keys").glob("*") if not self._key_is_live(key, keep)]
        for path in doomed:
            with self._faults(path), suppress(FileNotFoundError):
                freed += path.stat().st_size if path.stat().st_nlink == 1 else 0
                path.unlink()
                files += 1
        for path in (self.root / "locks").glob("*.lock"):
            with suppress(Timeout, FileNotFoundError), FileLock(path, timeout=0):
                path.unlink()  # whoever waits for it notices that it has gone and makes a new one
        return files, freed

    def _key_is_live(self, key: Path, keep: set[str]) -> bool:
        return key.read_text().partition(" ")[0] in keep


class _Fetch:
    """One run of Store.fetch: threads of its own, since a pool would keep Ctrl-C waiting for its sockets."""

    def __init__(self, store: Store, wants: Sequence[Want], machine: Machine, progress: Progress | None) -> None:
        self.store, self.wants, self.machine, self.progress = store, wants, machine, progress
        self.cancel = threading.Event()
        self.mutex = threading.Lock()
        self.dead: dict[str, str] = {}
        self.failures: list[tuple[str, DsvmError]] = []
        self.fatal: BaseException | None = None
        self.files = self.bytes = 0

    def work(self, jobs: int) -> None:
        queue: SimpleQueue[Want] = SimpleQueue()
        for want in self.wants:
            queue.put(want)
        _ = self.machine.client  # made once, before the threads need it
        if self.progress is not None:
            self.progress.start(sum(want.size for want in self.wants), len(self.wants))
        count = max(1, min(jobs, len(self.wants)))
        threads = [threading.Thread(target=self._worker, args=(queue,), daemon=True) for _ in range(count)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive() and not self.cancel.is_set():
                    thread.join(0.2)
        finally:
            self.cancel.set()
            deadline = time.monotonic() + 2
            for thread in threads:
                if thread.ident is not None:
                    thread.join(max(0.0, deadline - time.monotonic()))
            if self.progress is not None:
                with self.mutex:
                    self.progress.stop()
                    self.progress = None
        if self.fatal is not None:
            raise self.fatal

    def report(self) -> None:
        """Raise for all failures together."""
        if not self.failures:
            return
        errors = sorted(self.failures, key=lambda failure: failure[0])
        if len(errors) == 1:
            raise errors[0][1]
        hint = "\n".join(dict.fromkeys(error.hint for _, error in errors if error.hint))
        if all(isinstance(error, GoneError) for _, error in errors):
            names = [name for name, _ in errors]
            listed = "".join(f"\n  {name}" for name in names)
            raise GoneError(f"{len(names)} files are no longer served:{listed}", gone=names, hint=hint)
        texts = [(name, error.message.removeprefix(f"{name}: ")) for name, error in errors]
        blocks = []
        for text, group in itertools.groupby(sorted(texts, key=lambda one: one[1]), key=lambda one: one[1]):
            names = [name for name, _ in group]
            listed = "".join(f"\n    {name}" for name in names[:10])
            more = f"\n    and {len(names) - 10} more" if names[10:] else ""
            blocks.append(f"{names[0]}: {text}" if len(names) == 1 else f"{text}{listed}{more}")
        raise StoreError(
            f"{len(errors)} of {len(self.wants)} files could not be fetched:\n" + "\n".join(blocks), hint=hint
        )

    def _worker(self, queue: SimpleQueue[Want]) -> None:
        from dsvm.download import Cancelled, DiskFullError

        while not self.cancel.is_set():
            try:
                want = queue.get_nowait()
            except Empty:
                return
            try:
                self._one(want)
            except Cancelled:
                return
            except DiskFullError as error:
                self._stop(error)
            except DsvmError as error:
                with self.mutex:
                    self.failures.append((want.name, error))
            except BaseException as error:  # raised again by the thread that waits for us
                self._stop(error)

    def _stop(self, error: BaseException) -> None:
        with self.mutex:
            self.fatal = self.fatal or error
        self.cancel.set()

    def _one(self, want: Want) -> None:
        from dsvm.download import download

        store, part = self.store, self.store.partial(want.sha256)
        with store._faults(part), store.locked(want.sha256, self.cancel):
            if store.has(want.sha256, want.size):  # another run was quicker
                self._advance(want.size)
                self._done(want, 0)
                return
            part.parent.mkdir(parents=True, exist_ok=True)
            problems: list[DsvmError] = []
            try:
                got = download(
                    self.machine.client,
                    _located(want, problems),
                    part,
                    sha256=want.sha256,
                    size=want.size,
                    on_bytes=self._advance,
                    name=want.name,
                    quarantine=store.root / "quarantine",
                    cancel=self.cancel,
                    dead=self.dead,
                )
            except GoneError:
                if problems:  # we do not know that it has gone when a place could not be asked
                    raise problems[0] from None
                raise
            store._commit(part, want.sha256)
            self._done(want, got.size)

    def _advance(self, count: int) -> None:
        with self.mutex:
            if self.progress is not None:
                self.progress.advance(count)

    def _done(self, want: Want, count: int) -> None:
        with self.mutex:
            self.files += count > 0 or want.size == 0
            self.bytes += count
            if self.progress is not None:
                self.progress.done_file(want.name)


def _located(want: Want, problems: list[DsvmError]) -> Iterator[str]:
    """The candidates of `want`; what goes wrong while looking for them ends the list and is kept."""
    import httpx

    from dsvm.download import NetworkError
    from dsvm.urls import NETWORK_HINT, explain

    try:
        yield from want.locate()
    except DsvmError as error:
        problems.append(error)
    except httpx.TransportError as error:
        problems.append(NetworkError(f"{want.name}: {explain(error, '')}", hint=NETWORK_HINT))
    except (httpx.HTTPError, OSError) as error:
        problems.append(StoreError(f"{want.name}: {explain(error, '')}"))


def mtime_of(sha256: str) -> int:
    """Modification time of an artefact, in seconds since 1970.

    Derived from the content, so that it is the same on every machine and yet another one for another content:
    BuildKit takes a file of the same name, size and time for unchanged.
    """
    return 1_000_000_000 + int(sha256[:7], 16)


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


def megabytes(count: float) -> str:
    return f"{count / 1e6:.0f} MB" if count < 10e9 else f"{count / 1e9:.1f} GB"
