"""Artefacts from the network into the store: in parallel, resumable, all failures reported together."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from dsvm.model import DsvmError, GoneError, StoreError
from dsvm.store.blobs import Blobs

if TYPE_CHECKING:
    from dsvm.host import Host

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


class FetchView(Protocol):
    """Hears how a fetch goes on, one call at a time."""

    def start(self, total_bytes: int, files: int) -> None: ...

    def advance(self, count: int) -> None:
        """`count` bytes more; negative when a download starts over."""

    def done_file(self, name: str) -> None: ...

    def stop(self) -> None: ...


def fetch(
    blobs: Blobs, wants: Sequence[Want], *, host: Host, progress: FetchView | None = None, jobs: int = 8
) -> FetchSummary:
    """Bring in all that is missing, `jobs` at a time, the largest first.

    Goes on after a failure and reports all of them: GoneError when registries no longer serve some files
    and nothing else is wrong, else StoreError. Ctrl-C leaves what has arrived for the next run.
    """
    unique = {want.sha256: want for want in wants}
    missing = [want for want in unique.values() if not blobs.has(want.sha256, want.size)]
    if not missing:
        return FetchSummary(0, len(unique), 0)
    missing.sort(key=lambda want: (-want.size, want.name))
    with blobs.faults(blobs.root):
        _check_space(blobs, missing)
    run = _Fetch(blobs, missing, host, progress)
    run.work(jobs)
    blobs.hashed.save()
    run.report()
    return FetchSummary(run.files, len(unique) - run.files, run.bytes)


def fetch_one(
    blobs: Blobs,
    urls: Iterable[str],
    *,
    name: str,
    host: Host,
    sha256: str | None = None,
    verify: Callable[[Path], str | None] | None = None,
    key: str | None = None,
    dead: dict[str, str] | None = None,
) -> tuple[str, int]:
    """Bring in one file whose SHA-256 or size is not known yet; returns both, the size in bytes.

    `verify` looks at the file before it counts and returns what is wrong with it, if anything. `key` is
    another digest that determines the content (npm's integrity): what is known by it is not fetched again. `dead`
    (host -> reason) is shared by downloads: a host that one of them could not reach is not tried again.
    """
    from dsvm.host import download

    if (known := _by_key(blobs, key)) is not None:
        return known
    if sha256 is not None and blobs.has(sha256):
        return sha256, blobs.path(sha256).stat().st_size
    with blobs.faults(blobs.root), ExitStack() as stack:
        if sha256 is None:
            part = blobs.temporary()
            stack.callback(part.unlink, missing_ok=True)
        else:  # may have been begun by an earlier run, or just now by another one
            stack.enter_context(blobs.locked(sha256))
            part = blobs.partial(sha256)
            part.parent.mkdir(parents=True, exist_ok=True)
        got = download(
            host.client,
            urls,
            part,
            sha256=sha256,
            name=name,
            verify=verify,
            quarantine=blobs.root / "quarantine",
            dead=dead,
        )
        blobs.commit(part, got.sha256)
        if key is not None:
            _remember(blobs, key, got.sha256, got.size)
    return got.sha256, got.size


def _key_path(blobs: Blobs, key: str) -> Path:
    return blobs.root / "keys" / hashlib.sha256(key.encode()).hexdigest()


def _by_key(blobs: Blobs, key: str | None) -> tuple[str, int] | None:
    try:
        sha256, size = _key_path(blobs, key or "").read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return (sha256, int(size)) if blobs.has(sha256, int(size)) else None


def _remember(blobs: Blobs, key: str, sha256: str, size: int) -> None:
    path, part = _key_path(blobs, key), blobs.temporary()
    part.write_text(f"{sha256} {size}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.replace(path)


def _check_space(blobs: Blobs, missing: Sequence[Want]) -> None:
    blobs.root.mkdir(parents=True, exist_ok=True)
    have = 0
    for want in missing:
        with suppress(FileNotFoundError):
            have += min(blobs.partial(want.sha256).stat().st_size, want.size)
    needed = int((sum(want.size for want in missing) - have) * SPARE)
    free = shutil.disk_usage(blobs.root).free
    if needed > free:
        what = f"{len(missing)} files need {megabytes(needed)}, {megabytes(free)} are free"
        raise StoreError(
            f"{blobs.root}: disk full: {what}",
            hint="Free some space there (invoke clean), or put the store elsewhere with DSVM_STORE.",
        )


class _Fetch:
    """One run of `fetch`: threads of its own, since a pool would keep Ctrl-C waiting for its sockets."""

    def __init__(self, blobs: Blobs, wants: Sequence[Want], host: Host, progress: FetchView | None) -> None:
        self.blobs, self.wants, self.host, self.progress = blobs, wants, host, progress
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
        _ = self.host.client  # made once, before the threads need it
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
        from dsvm.host import Cancelled, DiskFullError

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
        from dsvm.host import download

        blobs, part = self.blobs, self.blobs.partial(want.sha256)
        with blobs.faults(part), blobs.locked(want.sha256, self.cancel):
            if blobs.has(want.sha256, want.size):  # another run was quicker
                self._advance(want.size)
                self._done(want, 0)
                return
            part.parent.mkdir(parents=True, exist_ok=True)
            problems: list[DsvmError] = []
            try:
                got = download(
                    self.host.client,
                    _located(want, problems),
                    part,
                    sha256=want.sha256,
                    size=want.size,
                    on_bytes=self._advance,
                    name=want.name,
                    quarantine=blobs.root / "quarantine",
                    cancel=self.cancel,
                    dead=self.dead,
                )
            except GoneError:
                if problems:  # we do not know that it has gone when a place could not be asked
                    raise problems[0] from None
                raise
            blobs.commit(part, want.sha256)
            if got.size != want.size:
                raise StoreError(wrong_size(want.name, want.size, got.size), hint=WRONG_SIZE_HINT)
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

    from dsvm.host import NETWORK_HINT, NetworkError, explain

    try:
        yield from want.locate()
    except DsvmError as error:
        problems.append(error)
    except httpx.TransportError as error:
        problems.append(NetworkError(f"{want.name}: {explain(error, '')}", hint=NETWORK_HINT))
    except (httpx.HTTPError, OSError) as error:
        problems.append(StoreError(f"{want.name}: {explain(error, '')}"))


WRONG_SIZE_HINT = "The lock is wrong there: restore it from version control, or run: invoke lock --upgrade"


def wrong_size(name: str, locked: int, real: int) -> str:
    """What to say of a pin whose SHA-256 is of a file of another size."""
    return f"{name}: the lock says {locked} bytes, and what has its SHA-256 has {real}"


def megabytes(count: float) -> str:
    return f"{count / 1e6:.0f} MB" if count < 10e9 else f"{count / 1e9:.1f} GB"
