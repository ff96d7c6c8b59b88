"""One download: candidates in order, resumed where it stopped, retried, believed when its hash is right."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dsvm.host.urls import CA_HINT, NETWORK_HINT, PORTAL, UNTRUSTED, explain, redact
from dsvm.model import GoneError, StoreError

if TYPE_CHECKING:
    import httpx

ATTEMPTS = 5
LONGEST_WAIT = 30.0  # seconds that a server may ask us to wait
SILENCE = 8.0  # seconds after which a host that cannot be reached is not tried again
PROGRESS = 1 << 20  # bytes of new content that earn a broken download another five attempts
FLOOR = 1024.0  # bytes a second: a place that gives less for so long ...
PATIENCE = 30.0  # ... in seconds, is given up
EXCESS = 16 << 20  # bytes beyond the promised size after which a wrong file is not worth reading to its end


@dataclass(frozen=True)
class Downloaded:
    """What arrived: `url` with its secrets hidden, `size` in bytes."""

    url: str
    sha256: str
    size: int


class Cancelled(Exception):
    """The caller set the cancel event."""


class DiskFullError(StoreError):
    """No space, or no quota, for a file."""


class NetworkError(StoreError):
    """A host cannot be reached at all."""


class _Absent(Exception):
    """This place does not have the file."""


class _Refused(Exception):
    """This place cannot give the file, and asking again would not help."""


class _Broken(Exception):
    """The transfer failed in a way that may pass; `wait` is in seconds, `slow` when that took its time."""

    def __init__(self, message: str, wait: float | None = None, *, slow: bool = False) -> None:
        super().__init__(message)
        self.wait, self.slow = wait, slow


class _Unreachable(_Broken):
    """No connection was made."""


def download(
    client: httpx.Client,
    urls: Iterable[str],
    part: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    on_bytes: Callable[[int], None] = lambda count: None,
    name: str = "",
    quarantine: Path | None = None,
    cancel: Event | None = None,
    verify: Callable[[Path], str | None] | None = None,
    dead: dict[str, str] | None = None,
    floor: float = FLOOR,
    patience: float = PATIENCE,
) -> Downloaded:
    """Get one file from the first of `urls` (http, https, file or a path) that has the right one.

    A `part` left by an earlier run is continued when `sha256` is known. `on_bytes` hears of bytes as they
    arrive, of a negative number when a transfer starts over. `verify` may return a fault of the whole file.
    `dead` (host -> reason) is shared by downloads, so that an unreachable host is not tried for every file.
    A wrong file goes to the folder `quarantine`. A place that gives less than `floor` bytes a second for `patience`
    seconds is given up for the next one, which goes on where it stopped.

    Raises GoneError when every place says that it has no such file; DiskFullError; NetworkError; StoreError
    with the fault of every candidate; Cancelled after `cancel`.
    """
    file = _Part(part, on_bytes, cancel or Event(), size, known=sha256 is not None, floor=floor, patience=patience)
    dead = {} if dead is None else dead
    faults: list[str] = []
    absent: list[str] = []
    unreachable: list[str] = []
    hints: list[str] = []
    with file.guarded():
        file.load(sha256)
        for url in urls:
            shown = redact(url)
            try:
                parts = urlsplit(url)
            except ValueError as error:
                faults.append(f"{shown}: {error}")
                continue
            name = name or unquote(parts.path.rpartition("/")[2])
            host = parts.netloc.rpartition("@")[2]
            for last in (False, True):
                resumed = file.size > 0
                try:
                    if host in dead:
                        raise _Unreachable(dead[host])
                    if not (part.exists() and file.digest() == sha256):
                        resumed = _transfer(client, url, file)
                except _Absent as error:
                    absent.append(f"{shown}: {error}")
                    break
                except _Unreachable as error:
                    dead[host] = str(error)
                    unreachable.append(str(error))
                    break
                except (_Broken, _Refused) as error:
                    faults.append(f"{shown}: {error}")
                    hints += [CA_HINT] if UNTRUSTED in str(error) else []
                    break
                found = file.digest()
                fault = _mismatch(found, file.size, sha256) or (verify(part) if verify is not None else None)
                if fault is not None and _is_web_page(part):
                    file.restart()
                    faults.append(f"{shown}: {PORTAL}")
                    break
                if fault is None:
                    return Downloaded(shown, found, file.size)
                if resumed and not last:
                    file.restart()  # what was there before may be to blame
                    continue
                kept = _set_aside(file, quarantine, name, found)
                faults.append(f"{fault}\n  from      {shown}{kept}")
                break
    if not faults and not unreachable:
        places = "".join(f"\n  {line}" for line in absent)
        raise GoneError(
            f"{name or part.name}: no longer served{places or ': no place on this host offers it'}",
            gone=[name or part.name],
        )
    reasons = list(dict.fromkeys(unreachable))
    if not faults and not absent:
        raise NetworkError(f"{name}: {'; '.join(reasons)}", hint=NETWORK_HINT)
    lines = [*faults, *reasons, *absent]
    what = lines[0] if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)
    raise StoreError(f"{name}: {what}", hint="\n".join(dict.fromkeys(hints)))


class _Part:
    """The growing file, with the hash of what it holds. `known`: the right hash is known beforehand."""

    def __init__(
        self,
        path: Path,
        on_bytes: Callable[[int], None],
        cancel: Event,
        expected: int | None,
        *,
        known: bool,
        floor: float,
        patience: float,
    ) -> None:
        self.floor, self.patience = floor, patience
        self.path, self.on_bytes, self.cancel = path, on_bytes, cancel
        self.expected, self.known = expected, known
        self.size = 0
        self.validator: tuple[str, str] = ("", "")  # the URL that the content came from, and its ETag or date
        self._hash = hashlib.sha256()

    def load(self, sha256: str | None) -> None:
        """Take over what an earlier run left, when it can be the beginning of the right file."""
        if self.path.exists() and sha256 is not None:
            with self.path.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    self.check()
                    self._count(chunk)
        if self.expected is None or self.size < self.expected or self.digest() == sha256:
            return
        self.restart()

    def restart(self) -> None:
        self.path.unlink(missing_ok=True)
        if self.size:
            self.on_bytes(-self.size)
        self.size, self._hash, self.validator = 0, hashlib.sha256(), ("", "")

    def append(self, chunks: Iterable[bytes]) -> None:
        since, before = time.monotonic(), self.size
        with self.path.open("ab" if self.size else "wb", buffering=1 << 20) as stream:
            for chunk in chunks:
                self.check()
                stream.write(chunk)
                self._count(chunk)
                if (passed := time.monotonic() - since) >= self.patience:
                    rate = (self.size - before) / passed
                    if rate < self.floor and self.size != self.expected:
                        raise _Refused(f"only {rate:.0f} bytes a second for {passed:.0f} s: given up")
                    since, before = time.monotonic(), self.size
                if self.expected is not None and self.size > self.expected + EXCESS:
                    break
            else:
                return
        size = self.size
        self.restart()
        raise _Refused(f"more than {size} bytes, {self.expected} were expected")

    def digest(self) -> str:
        return self._hash.hexdigest()

    def check(self) -> None:
        if self.cancel.is_set():
            raise Cancelled

    def _count(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.size += len(chunk)
        self.on_bytes(len(chunk))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn a full disk into an error that says so, and free what the partial file took."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StoreError(f"{error.filename or self.path}: {error.strerror or error}") from error
            written = self.size
            self.restart()
            known = self.expected is not None
            needed = f"{self.expected} bytes are needed" if known else f"after {written} bytes"
            raise DiskFullError(
                f"{self.path}: disk full ({os.strerror(error.errno)}): {needed}",
                hint="Free some space there (invoke clean), or put the store elsewhere with DSVM_STORE.",
            ) from error


def _transfer(client: httpx.Client, url: str, file: _Part) -> bool:
    """Bring `file` to its end from one URL; True when it was put together from more than one transfer."""
    import logging

    import stamina

    logging.getLogger("stamina").addHandler(logging.NullHandler())  # a retry is no news on a terminal
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        file.restart()
        file.append(_read(_local(url)))
        return False
    start, silences, refusals = time.monotonic(), 0, 0

    def again(error: Exception) -> bool | float:
        nonlocal silences, refusals
        if not isinstance(error, _Broken) or file.cancel.is_set():
            return False
        # a name server or a host that keeps silent costs its timeout each time: not five times
        silences += error.slow
        refusals += isinstance(error, _Unreachable)
        if silences > 1 or refusals > 2 or (refusals and time.monotonic() - start > SILENCE):
            return False
        return True if error.wait is None else max(error.wait, 0.01)

    pieces, best = int(file.size > 0), file.size
    while True:
        try:
            for attempt in stamina.retry_context(
                on=again, attempts=ATTEMPTS, timeout=None, wait_initial=0.25, wait_max=4, wait_jitter=0.25
            ):
                with attempt:
                    pieces = pieces + 1 if file.size else 1
                    _request(client, url, file)
                    return pieces > 1
        except _Broken:
            if file.size < best + PROGRESS:
                raise
            best = file.size


def _request(client: httpx.Client, url: str, file: _Part) -> None:
    """One request, for what is still missing. Raises _Absent, _Refused, or _Broken (worth another try)."""
    import httpx

    # no content coding: the bytes that are hashed are the bytes of the file
    headers = {"Accept-Encoding": "identity"}
    validator = file.validator[1] if file.validator[0] == url else ""
    if not (file.known or validator):
        file.restart()  # nothing would show that the rest belongs to what is there
    if file.size:
        headers |= {"Range": f"bytes={file.size}-", **({"If-Range": validator} if validator else {})}
    before = file.size
    try:
        with client.stream("GET", url, headers=headers) as response:
            _check_status(response, file)
            etag = response.headers.get("etag", "")
            date = response.headers.get("last-modified", "")
            file.validator = (url, date if not etag or etag.startswith("W/") else etag)
            file.append(response.iter_raw())
            framed = "content-length" in response.headers or "transfer-encoding" in response.headers
            if file.expected is not None and file.size < file.expected and not framed:
                raise _Broken(f"the connection closed after {file.size} of {file.expected} bytes")
    except httpx.TransportError as error:
        why = explain(error, url)
        if isinstance(error, httpx.UnsupportedProtocol) or UNTRUSTED in why:
            raise _Refused(why) from error
        if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError | httpx.ProxyError):
            raise _Unreachable(why) from error
        raise _Broken(
            f"{why} (after {file.size} bytes)",
            wait=0.1 if file.size > before else None,  # it was getting on: no reason to wait long
            slow=isinstance(error, httpx.TimeoutException),
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _Refused(redact(str(error)) or type(error).__name__) from error


def _check_status(response: httpx.Response, file: _Part) -> None:
    """Return when the body is the rest of `file`, which starts over when the server sends all of it."""
    status = response.status_code
    said = f"HTTP {status} {response.reason_phrase}".rstrip()
    if status in (404, 410):
        raise _Absent(said)
    if status == 206:
        start = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
        if start and int(start[1]) == file.size and file.size:
            return
    if status in (206, 416):
        file.restart()
        raise _Broken(f"{said}: not the range that was asked for", wait=0)
    if status == 200:
        file.restart()
        return
    if status in (408, 425, 429) or status >= 500:
        wait = retry_after(response.headers.get("retry-after", ""))
        if wait is not None and wait > LONGEST_WAIT:
            raise _Refused(f"{said}, to be tried again in {wait:.0f} s")
        raise _Broken(said, wait)
    hint = ": are there credentials for it in ~/.netrc?" if status in (401, 407) else ""
    raise _Refused(said + hint)


def retry_after(value: str) -> float | None:
    """Seconds that a Retry-After header asks for: a number or a date."""
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _local(url: str) -> Path:
    from urllib.request import url2pathname

    if "://" not in url and not url.startswith("file:"):
        return Path(url)
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise _Refused("a file URL of another machine")
    return Path(url2pathname(parts.path))


def _read(path: Path) -> Iterator[bytes]:
    try:
        stream = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise _Absent("no such file") from None
    except OSError as error:
        raise _Refused(str(error.strerror)) from error
    with stream:
        while chunk := stream.read(1 << 20):
            yield chunk


def _mismatch(found: str, size: int, sha256: str | None) -> str | None:
    if sha256 is None or found == sha256:
        return None
    return f"its SHA-256 is not the expected one\n  expected  {sha256}\n  received  {found} ({size} bytes)"


def _is_web_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _set_aside(file: _Part, quarantine: Path | None, name: str, found: str) -> str:
    """Move a wrong file where people can look at it; the line of the error that says where."""
    kept = ""
    if quarantine is not None:
        quarantine.mkdir(parents=True, exist_ok=True)
        place = quarantine / f"{found[:16]}-{re.sub(r'[^A-Za-z0-9._+~-]', '_', name)[-150:]}"
        file.path.replace(place)
        kept = f"\n  kept as   {place}"
    file.restart()
    return kept
