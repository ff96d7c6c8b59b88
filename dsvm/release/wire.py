"""Requests to a registry: logged in, tried again where that helps, and never believed.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md, https://distribution.github.io/distribution/spec/auth/
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from dsvm.host import CA_HINT, UNTRUSTED, Host, RegistryLogin, explain, redact, registry_login, retry_after
from dsvm.model import RegistryError
from dsvm.release.references import Reference, is_loopback

if TYPE_CHECKING:
    import httpx

ATTEMPTS = 5
LONGEST_WAIT = 60.0  # seconds that a registry may ask us to wait
SECONDS = 60.0  # without a byte in either direction
MOST_ANSWER = 1 << 20  # bytes of an answer that is no document: errors, tokens
MOST_HOPS = 5
MOST_LOGINS = 2  # for one request: another thread may have logged in for less than this one needs
SILENT, UNREACHABLE = 1.0, 0.5  # of a patience of 1
FLOOR, PATIENCE = 1024.0, 60.0  # bytes a second, over so many seconds: less is given up
FULL = re.compile(r"no space left on device|disk quota exceeded|quota.{0,40}exceeded|\"Err\":\s*(?:28|122)\b", re.I)

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a registry said; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Passing(Exception):
    """A failure that may pass; `wait` is in seconds, where the registry asks for it.

    `cost` is what it takes of our patience, which is 1: a silence has cost its timeout.
    """

    def __init__(self, error: RegistryError, wait: float | None = None, *, cost: float = 0.0) -> None:
        super().__init__(error.message)
        self.error, self.wait, self.cost = error, wait, cost


@dataclass
class Wire:
    """The way to one repository."""

    reference: Reference
    host: Host
    seconds: float = SECONDS
    patience: float = PATIENCE
    _header: str = field(default="", repr=False)
    _login: RegistryLogin | None = field(default=None, repr=False)
    _asked: bool = False
    _actions: dict[str, list[str]] = field(default_factory=dict)
    _mutex: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def origin(self) -> str:
        """SCHEME://HOST: plain HTTP is for this computer alone."""
        from docker.auth import INDEX_NAME
        from oras.defaults import registry

        host = self.reference.host
        if host == INDEX_NAME:
            host = registry.default_v2_registry["host"]
        return f"{'http' if is_loopback(host) else 'https'}://{host}"

    def persist(self, step: Callable[[], T]) -> T:
        """Do a step until it succeeds, or trying again makes no sense. Raises RegistryError."""
        import logging

        import stamina

        logging.getLogger("stamina").addHandler(logging.NullHandler())  # a retry is no news on a terminal
        spent = 0.0

        def again(error: Exception) -> bool | float:
            nonlocal spent
            if not isinstance(error, Passing):
                return False
            spent += error.cost
            if spent > 1:
                return False
            return True if error.wait is None else max(error.wait, 0.01)

        try:
            for attempt in stamina.retry_context(
                on=again, attempts=ATTEMPTS, timeout=None, wait_initial=0.25, wait_max=8, wait_jitter=0.25
            ):
                with attempt:
                    return step()
        except Passing as error:
            raise error.error from error
        raise AssertionError  # pragma: no cover - for the type checker

    def ask(
        self,
        method: str,
        url: str,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        good: Iterable[int] = (200,),
        most: int = MOST_ANSWER,
    ) -> Answer:
        """One small request, tried again; `what` says in words what it is for, `good` which statuses are answers."""

        def once() -> Answer:
            with self.answer(method, url, what, headers=headers, content=content, good=good) as found:
                lower = {name.lower(): value for name, value in found.headers.items()}
                return Answer(found.status_code, lower, self._body(found, most, what))

        return self.persist(once)

    @contextmanager
    def answer(
        self,
        method: str,
        url: str,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Callable[[], Iterator[bytes]] = b"",
        good: Iterable[int] = (200,),
    ) -> Iterator[httpx.Response]:
        """The answer to one request, its body still to be read. Raises Passing or RegistryError."""
        good = frozenset(good)
        with self._faults(what):
            response = self._sent(method, url, what, headers or {}, content)
            try:
                if response.status_code not in good:
                    raise self._refusal(response, what)
                yield response
            finally:
                response.close()

    # --- one request --------------------------------------------------------------------------------------

    def _sent(
        self,
        method: str,
        url: str,
        what: str,
        headers: Mapping[str, str],
        content: bytes | Callable[[], Iterator[bytes]],
    ) -> httpx.Response:
        """The answer after logging in, where that is asked for, and after being sent elsewhere."""
        url = urljoin(self.origin, url)
        logins = 0
        for _ in range(MOST_HOPS + MOST_LOGINS + 1):
            self._need_safe(url, what)
            ours = self._is_ours(url)
            known = {"Authorization": self._header} if ours and self._header else {}
            response = self._send(method, url, {**headers, **known}, content)
            if response.status_code == 401 and ours:
                challenge = response.headers.get("www-authenticate", "")
                response.close()
                if logins == MOST_LOGINS:
                    raise self._locked_out(what, "it refuses the login")
                self._log_in(challenge, known.get("Authorization", ""), what)
                logins += 1
            elif response.is_redirect and method in ("GET", "HEAD"):
                url = urljoin(url, response.headers.get("location", ""))
                response.close()
            else:
                return response
        raise RegistryError(f"{self.reference.place}: {what}: it sends us from place to place")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | Callable[[], Iterator[bytes]]
    ) -> httpx.Response:
        import httpx

        client = self.host.client
        request = client.build_request(
            method,
            url,
            # no content coding: digests are of the bytes as they are
            headers={"Accept-Encoding": "identity", **headers},
            content=content() if callable(content) else content or None,
            timeout=httpx.Timeout(self.seconds, connect=min(10, self.seconds), pool=None),
        )
        # a registry's login is what docker and podman know, and nothing of ~/.netrc
        return client.send(request, stream=True, auth=lambda request: request, follow_redirects=False)

    def _need_safe(self, url: str, what: str) -> None:
        parts = urlsplit(url)
        if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.netloc) and self._is_local):
            return
        raise RegistryError(
            f"{self.reference.place}: {what}: it sends us to {redact(f'{parts.scheme}://{parts.netloc}')}",
            hint="Only HTTPS is spoken with registries, except with one on this computer itself",
        )

    @property
    def _is_local(self) -> bool:
        return is_loopback(self.reference.host)

    def _is_ours(self, url: str) -> bool:
        """Whether a URL is the registry's own: nobody else gets to see the login."""
        parts, own = urlsplit(url), urlsplit(self.origin)
        return (parts.scheme, parts.hostname, parts.port) == (own.scheme, own.hostname, own.port)

    def _body(self, response: httpx.Response, most: int, what: str) -> bytes:
        data = bytearray()
        for chunk in paced(response.iter_raw(), self.patience):
            data += chunk
            if len(data) > most:
                raise RegistryError(f"{self.reference.place}: {what}: an answer of more than {most >> 10} KiB")
        return bytes(data)

    @contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        """What goes wrong on the way, in words and without secrets."""
        import httpx

        place = self.reference.place
        try:
            yield
        except httpx.TimeoutException as error:
            fault = RegistryError(f"{place}: {what}: it keeps silent for {self.seconds:.0f} s", hint=_NETWORK)
            raise Passing(fault, cost=SILENT) from error
        except httpx.TransportError as error:
            why = self._clean(explain(error, self.origin))
            if UNTRUSTED in why:
                raise RegistryError(f"{place}: {what}: {why}", hint=CA_HINT) from error
            cost = UNREACHABLE if isinstance(error, httpx.ConnectError | httpx.ProxyError) else 0.0
            raise Passing(RegistryError(f"{place}: {what}: {why}", hint=_NETWORK), cost=cost) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise RegistryError(f"{place}: {what}: {self._clean(str(error)) or type(error).__name__}") from error
        except Slow as error:
            raise Passing(RegistryError(f"{place}: {what}: {error}", hint=_NETWORK), cost=SILENT) from error

    def _refusal(self, response: httpx.Response, what: str) -> Exception:
        status = response.status_code
        try:
            text = self._body(response, MOST_ANSWER, what).decode("utf-8", "replace")
        except RegistryError:
            text = ""
        said = f"HTTP {status} {response.reason_phrase}".rstrip()
        if reasons := self._clean("; ".join(_reasons(text))):
            said += f": {reasons}"
        full = status == 507 or (status >= 500 and FULL.search(text) is not None)
        error = RegistryError(
            f"{self.reference.place}: {what}: {'its disk is full: ' if full else ''}{said}",
            hint=self._hint(status, full),
            status=status,
        )
        if full or not (status in (408, 425, 429) or status >= 500):
            return error
        wait = retry_after(response.headers.get("retry-after", ""))
        if wait is not None and wait > LONGEST_WAIT:
            hint = f"It asks to be left alone for {wait:.0f} s: run it again then"
            return RegistryError(error.message, hint=hint, status=status)
        return Passing(error, wait)

    def _hint(self, status: int, full: bool) -> str:
        if full:
            return "Make room there (invoke gc, then the registry's own garbage collection), and run it again"
        if status in (401, 403):
            return f"May this login do that? docker login {self.reference.host}"
        if status in (404, 405):
            return "Is it a registry, may it be written to, and does the repository exist?"
        return "Run it again: what is there already is not sent twice" if status == 429 or status >= 500 else ""

    def _clean(self, text: str) -> str:
        """Foreign text as a line without our secrets."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return redact(" ".join(text.split()))[:300]

    def _secrets(self) -> list[str]:
        known = [self._header.partition(" ")[2]]
        if self._login is not None:
            known += [self._login.password, self._login.identity, _basic(self._login)]
        return [one for one in known if one]

    # --- logging in ---------------------------------------------------------------------------------------

    def _log_in(self, challenge: str, tried: str, what: str) -> None:
        """Answer a challenge: from now on requests carry what it asks for. Raises RegistryError."""
        with self._mutex:
            if self._header != tried:
                return  # another thread has just done it
            if not self._asked:
                self._login = registry_login(self.host.environ, self.reference.host, self.reference.repository)
                self._asked = True
            kind, _, rest = challenge.partition(" ")
            if kind.lower() == "basic" and not tried.startswith("Basic "):
                if self._login is None or not self._login.user:
                    raise self._locked_out(what, "nobody is logged in")
                self._header = f"Basic {_basic(self._login)}"
            elif kind.lower() == "bearer":
                self._header = f"Bearer {self._token(parse_keqv_list(parse_http_list(rest)), what)}"
            else:
                raise self._locked_out(what, "it refuses the login" if tried else "it asks for a login we cannot give")

    def _locked_out(self, what: str, why: str) -> RegistryError:
        host = self.reference.host
        hint = f"docker login {host}, or skopeo login {host}: their configuration is read, helpers are asked"
        return RegistryError(f"{self.reference.place}: {what}: HTTP 401: {why}", hint=hint, status=401)

    def _scope(self, asked: Mapping[str, str]) -> str:
        """What a challenge wants one to be allowed, and all that others did before: threads share a token."""
        for scope in asked.get("scope", "").split():
            resource, _, actions = scope.rpartition(":")
            known = self._actions.setdefault(resource, [])
            known += [one for one in actions.split(",") if one not in known]
        return " ".join(f"{resource}:{','.join(actions)}" for resource, actions in self._actions.items())

    def _token(self, asked: Mapping[str, str], what: str) -> str:
        """A token of the service that a challenge names."""
        realm = asked.get("realm", "")
        self._need_safe(realm, "logging in")
        query = {
            key: value for key, value in (("service", asked.get("service")), ("scope", self._scope(asked))) if value
        }
        login = self._login
        if login is not None and login.identity:
            form = {"grant_type": "refresh_token", "refresh_token": login.identity, "client_id": "dsvm", **query}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._send("POST", realm, headers, urlencode(form).encode())
        else:
            headers = {"Authorization": f"Basic {_basic(login)}"} if login is not None else {}
            joint = "&" if urlsplit(realm).query else "?"
            response = self._send("GET", f"{realm}{joint}{urlencode(query)}", headers, b"")
        try:
            if response.status_code in (401, 403):
                raise self._locked_out(what, "it refuses the login" if login is not None else "nobody is logged in")
            if response.status_code != 200:
                raise self._refusal(response, "logging in")
            said = json.loads(self._body(response, MOST_ANSWER, "logging in"))
        except (ValueError, RecursionError):
            said = None
        finally:
            response.close()
        token = (said.get("token") or said.get("access_token")) if isinstance(said, dict) else None
        if not isinstance(token, str) or re.fullmatch(r"[\x21-\x7e]+", token) is None:
            raise RegistryError(f"{self.reference.place}: {what}: where one logs in, no token is given")
        return token


_NETWORK = "Is it up, and is the way there free (HTTPS_PROXY, NO_PROXY)? Run it again: nothing is sent twice"


class Slow(Exception):
    """Less than a trickle."""


def paced(chunks: Iterable[bytes], patience: float = PATIENCE) -> Iterator[bytes]:
    """The same chunks; Slow when they come, or are taken, as a trickle for `patience` seconds."""
    since, size = time.monotonic(), 0
    for chunk in chunks:
        yield chunk
        size += len(chunk)
        if (passed := time.monotonic() - since) >= patience:
            if size / passed < FLOOR:
                raise Slow(f"only {size / passed:.0f} bytes a second for {passed:.0f} s")
            since, size = time.monotonic(), 0


def _basic(login: RegistryLogin) -> str:
    return base64.b64encode(f"{login.user}:{login.password}".encode()).decode()


def _reasons(text: str) -> Iterator[str]:
    """https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes"""
    try:
        errors = json.loads(text)["errors"]
        for one in errors[:3]:
            yield f"{str(one.get('code', ''))[:60]} {str(one.get('message', ''))[:200]}".strip()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
