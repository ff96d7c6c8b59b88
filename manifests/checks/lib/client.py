"""An HTTP client that takes every status for an answer."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any, NamedTuple


class Response(NamedTuple):
    status: int
    url: str  # where it is from, at the end of all redirects
    location: str  # where a redirect leads that was not followed; else empty
    body: bytes

    @property
    def path(self) -> str:
        return urllib.parse.urlsplit(self.url).path

    @property
    def text(self) -> str:
        """The body; UnicodeDecodeError when it is not UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Client:
    """Asks one server, without a proxy whatever the environment says.

    Paths are resolved against the URL `base`, as a browser resolves links. A `token`, when there is one, goes with
    every request. Without `cookies` each request is a stranger's. `timeout` is in seconds, for one request.
    """

    def __init__(
        self, base: str, *, token: str = "", cookies: bool = False, redirects: bool = True, timeout: float = 30
    ) -> None:
        self.base = base
        self.token = token
        self.timeout = timeout
        self.cookies = CookieJar()
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        handlers += [urllib.request.HTTPCookieProcessor(self.cookies)] if cookies else []
        handlers += [] if redirects else [_NoRedirect()]
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, *, token: str | None = None) -> Response:
        """Ask for `path`, with another token than the client's when one is given; OSError where nobody answers."""
        return self._request(path, None, token)

    def post(self, path: str, data: bytes | Mapping[str, str], *, token: str | None = None) -> Response:
        """`get` with a body; a mapping is sent as a form."""
        return self._request(path, data if isinstance(data, bytes) else urllib.parse.urlencode(data).encode(), token)

    def _request(self, path: str, data: bytes | None, token: str | None) -> Response:
        token = self.token if token is None else token
        headers = {"Authorization": f"token {token}"} if token else {}
        request = urllib.request.Request(urllib.parse.urljoin(self.base, path), data, headers)
        try:
            answer = self._opener.open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return Response(answer.status, answer.url, answer.headers.get("Location") or "", answer.read())
