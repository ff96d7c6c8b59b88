"""What the ordinary clients of this host are configured with: indexes, mirrors, proxies, certificates.

Nothing here reaches an image or a lock. Hosts come from the clients' own configuration and defaults.
Everything is looked up when first used, so that making a Host costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dsvm.host.apt_client import BOOTSTRAP_SUITES, apt_proxies, apt_uris, bootstrap_mirrors
from dsvm.host.config import read_sources
from dsvm.host.credentials import finders
from dsvm.host.npm_client import npm_headers, npm_registry
from dsvm.host.places import Places, truth, unique, words
from dsvm.host.python_clients import Uv, default_index, pip_options, uv_settings
from dsvm.host.urls import ACCESS_HINT, CA_HINT, NETWORK_HINT, UNTRUSTED, clean_url, explain, redact
from dsvm.model import AccessError, DsvmError, StoreError

if TYPE_CHECKING:
    import ssl

    import httpx

    from dsvm.host.credentials import Finder

CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
MOST_ANSWERED = 512 << 20  # bytes of a small document: the largest index of packages has a fifth
PACKING = ("content-encoding", "content-length", "transfer-encoding")


@dataclass(frozen=True, eq=False)
class Host:
    """`environ` is the environment to read, `sources` the user's registry -> URLs, `etc` stands for /etc."""

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    etc: Path = Path("/etc")

    @classmethod
    def detect(cls, config: Path | None = None, environ: Mapping[str, str] | None = None) -> Host:
        """This host, with the user's overrides from `config` (default: DSVM_CONFIG, then ~/.config/dsvm).

        Raises InputError, with file and line of every fault, when the overrides are malformed.
        """
        environment = dict(os.environ if environ is None else environ)
        return cls(environ=environment, sources=read_sources(config, environment))

    def source(self, registry: str) -> tuple[str, ...]:
        """The user's own URLs for `registry`, without trailing slashes; empty when there are none."""
        return self.sources.get(registry, ())

    @cached_property
    def _places(self) -> Places:
        return Places(self.environ, self.etc)

    # --- PyPI ---

    @cached_property
    def _pip(self) -> Mapping[str, str]:
        return pip_options(self._places)

    @cached_property
    def _uv(self) -> Uv:
        return uv_settings(self._places)

    @cached_property
    def pypi_indexes(self) -> tuple[str, ...]:
        """URLs of simple indexes, the default one first; empty under `no-index`."""
        if own := self.source("pypi"):
            return own
        pip, uv = self._pip, self._uv
        if truth(pip.get("no-index")) or truth(self.environ.get("UV_NO_INDEX")):
            return ()
        default = uv.default or words(pip.get("index-url"))[:1] or [default_index()]
        return unique(clean_url(url) for url in [*default, *uv.extra, *words(pip.get("extra-index-url"))])

    @cached_property
    def find_links(self) -> tuple[str, ...]:
        """Folders (absolute paths), file: or http(s) URLs that pip and uv take distributions from."""
        links = [*self._uv.find_links, *words(self._pip.get("find-links"))]
        return unique(clean_url(link) if "://" in link else str(self._places.path(link)) for link in links)

    # --- npm ---

    def npm_registry(self) -> str:
        """URL of npm's registry, without a trailing slash: the user's .npmrc, or npm's own default."""
        return self._npm_registry

    @cached_property
    def _npm_registry(self) -> str:
        own = self.source("npm")
        return own[0] if own else npm_registry(self._places)

    # --- Julia ---

    @property
    def julia_servers(self) -> tuple[str, ...]:
        """URL of the user's own package server, JULIA_PKG_SERVER, as Pkg reads it; empty when there is none."""
        if own := self.source("julia"):
            return own
        server = clean_url(self.environ.get("JULIA_PKG_SERVER", ""))
        return (server if "://" in server else f"https://{server}",) if server else ()

    # --- apt ---

    def apt_mirrors(self, distribution: str) -> tuple[str, ...]:
        """Base URIs, without trailing slashes, of an archive such as `debian`, `debian-security` or `ubuntu`.

        The user's own, else those of this host's apt sources, else what the bootstrap tool knows.
        Raises StoreError when nothing knows one.
        """
        known = self._mirrors.get(distribution)
        if known is None:
            known = self.source(distribution) or unique(
                uri for uri in self._apt_uris if urlsplit(uri).path.rpartition("/")[2] == distribution
            )
            known = self._mirrors[distribution] = known or bootstrap_mirrors(distribution, self._places)
        return known

    @cached_property
    def _mirrors(self) -> dict[str, tuple[str, ...]]:
        return {}

    @cached_property
    def _apt_uris(self) -> tuple[str, ...]:
        return apt_uris(self._places)

    @cached_property
    def apt_proxies(self) -> Mapping[str, str]:
        """apt's own proxy options in force, name -> value, for example Acquire::http::Proxy."""
        return apt_proxies(self._places)

    def _apt_proxy(self, scheme: str, host: str) -> str | None:
        """Proxy that apt uses for `host`, or None for a direct connection."""
        kinds = unique((scheme, "http"))
        names = [f"Acquire::{kind}::Proxy{end}" for end in (f"::{host}", "") for kind in kinds]
        found = next((self.apt_proxies[name] for name in names if name in self.apt_proxies), None)
        return None if found in (None, "DIRECT", "false") else found

    # --- connections ---

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """Trust in this host's certificate authorities: the system's and the clients'."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        loaded: set[Path] = set()

        def load(variable: str, value: str) -> None:
            path = self._places.path(value).resolve()
            if path in loaded:
                return
            loaded.add(path)
            try:
                if path.is_dir():
                    context.load_verify_locations(capath=str(path))
                else:
                    context.load_verify_locations(cafile=str(path))
            except (OSError, ssl.SSLError) as error:
                what = f"{variable}={value}: cannot read certificates: {error}"
                raise StoreError(what, hint=CA_HINT) from error

        system = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if self.environ.get(name)]
        for name in system:
            for value in self._places.words(name, os.pathsep if name.endswith("DIR") else None):
                load(name, value)
        if not system:
            context.load_default_certs()
            paths = ssl.get_default_verify_paths()
            if paths.cafile is None and paths.capath is None:  # a Python that does not know the system's store
                import certifi

                context.load_verify_locations(cafile=certifi.where())
        for name in CA_VARIABLES:
            if bundle := self.environ.get(name):
                load(name, bundle)
        if bundle := self._pip.get("cert"):
            load("pip's cert", bundle)
        return context

    @cached_property
    def client(self) -> httpx.Client:
        """The HTTP client of this process, safe for threads, with proxies, certificates and credentials."""
        import urllib.request

        import httpx

        known = urllib.request.getproxies()
        proxy = None if {"http", "https", "all"} & known.keys() else self._pip.get("proxy")
        if proxy and "://" not in proxy:
            proxy = f"http://{proxy}"
        try:
            return httpx.Client(
                verify=self.ssl_context,
                auth=self._authorize,
                proxy=proxy,
                mounts={
                    f"{scheme}://{host}": httpx.HTTPTransport(
                        verify=self.ssl_context, proxy=self._apt_proxy(scheme, host)
                    )
                    for scheme, host in (self._apt_hosts() if self.apt_proxies else ())
                },
                follow_redirects=True,
                timeout=httpx.Timeout(60, connect=10, pool=None),
                limits=httpx.Limits(max_connections=64, max_keepalive_connections=32),
                headers={"User-Agent": "dsvm"},
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise StoreError(f"the proxy settings cannot be used: {redact(str(error))}", hint=NETWORK_HINT) from error

    def _apt_hosts(self) -> set[tuple[str, str]]:
        uris = list(self._apt_uris)
        for distribution in BOOTSTRAP_SUITES:
            try:
                uris += self.apt_mirrors(distribution)
            except DsvmError:  # reported where such a mirror is needed
                continue
        parts = [urlsplit(uri) for uri in uris]
        return {(part.scheme, part.hostname) for part in parts if part.hostname and part.scheme != "file"}

    def _authorize(self, request: httpx.Request) -> httpx.Request:
        """Add the credentials of the URL itself, or what a client of this host has for its place.

        That is npm's token, a configured URL of its host, ~/.netrc or apt's auth.conf.
        """
        import base64

        url = request.url
        user, password = unquote(url.username), unquote(url.password)
        if not (user or password):
            if header := self._npm_header(url):
                request.headers["Authorization"] = header
                return request
            found = next((found for find in self._credentials if (found := find(url))), None)
            if found is None:
                return request
            user, password = found
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.headers["Authorization"] = f"Basic {token}"
        return request

    def _npm_header(self, url: httpx.URL) -> str | None:
        """What npm sends to a place, by the longest path that its configuration names.

        npm's own documentation: npmrc, "Auth related configuration".
        """
        place = f"//{url.netloc.decode()}{url.path}"
        known = [key for key in self._npm_auth if place.startswith(key)]
        return self._npm_auth[max(known, key=len)] if known else None

    @cached_property
    def _npm_auth(self) -> Mapping[str, str]:
        return npm_headers(self._places)

    def credentials(self, url: str) -> tuple[str, str] | None:
        """User and password for a URL: its own, or what this host's clients know for its host; None without."""
        import httpx

        parts = urlsplit(url)
        if parts.username or parts.password:
            return unquote(parts.username or ""), unquote(parts.password or "")
        if parts.scheme not in ("http", "https"):
            return None
        return next((found for find in self._credentials if (found := find(httpx.URL(url)))), None)

    @cached_property
    def _credentials(self) -> tuple[Finder, ...]:
        return finders(self._places, self._configured_urls())

    def _configured_urls(self) -> Iterator[str]:
        """URLs of registries in the configuration of this host's clients and of ours; none that costs a program."""
        yield from (url for urls in self.sources.values() for url in urls)
        for name in ("pypi_indexes", "find_links", "_apt_uris"):
            with suppress(DsvmError):  # what is malformed is reported where it is needed
                yield from getattr(self, name)

    def get(self, url: str, *, accept: str = "*/*", seconds: float = 60) -> httpx.Response:
        """A small document, asked for up to four times; the answer may be one of status 404 or 403, say.

        Raises StoreError when there is no answer, at once for a host that could not be reached before, and AccessError
        when it asks for credentials.
        """
        return self._asked(url, {"Accept": accept}, None, seconds)

    def post(self, url: str, document: object, *, seconds: float = 60) -> httpx.Response:
        """The answer to a JSON document, asked for and bounded as by `get`; `seconds` without a byte end it."""
        import json

        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return self._asked(url, headers, json.dumps(document).encode(), seconds)

    def _asked(
        self, url: str, headers: Mapping[str, str], body: bytes | None = None, seconds: float = 60
    ) -> httpx.Response:
        import logging

        import httpx
        import stamina

        def again(error: Exception) -> bool:
            return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.TimeoutException)

        host = urlsplit(url).netloc
        if host in self._dead:
            raise self._dead[host]
        logging.getLogger("stamina").addHandler(logging.NullHandler())  # a retry is no news on a terminal
        response: httpx.Response | None = None
        try:
            for attempt in stamina.retry_context(on=again, attempts=4, wait_initial=0.25, wait_jitter=0.25):
                with attempt:
                    response = self._bounded(url, headers, body, seconds)
                    if response.status_code in (429, 500, 502, 503, 504) and attempt.num < 4:
                        raise httpx.ReadError(f"HTTP {response.status_code}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = explain(error, url)
            hint = CA_HINT if UNTRUSTED in why else NETWORK_HINT
            if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
                self._dead[host] = StoreError(why, hint=hint)  # the same for all documents of this host
                raise self._dead[host] from error
            raise StoreError(f"{redact(url)}: {why}", hint=hint) from error
        assert response is not None  # noqa: S101 - for the type checker
        if response.status_code in (401, 407):
            said = f"{redact(url)}: HTTP {response.status_code} {response.reason_phrase}".rstrip()
            raise AccessError(said, hint=ACCESS_HINT)
        return response

    def _bounded(self, url: str, headers: Mapping[str, str], body: bytes | None, seconds: float) -> httpx.Response:
        """An answer whose content is no larger than any document that we ask for. Raises StoreError."""
        import httpx

        method = "GET" if body is None else "POST"
        timeout = httpx.Timeout(seconds, connect=10, pool=None)
        with self.client.stream(method, url, headers=headers, content=body, timeout=timeout) as answer:
            content = bytearray()
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > MOST_ANSWERED:
                    raise StoreError(f"{redact(url)}: an answer of more than {MOST_ANSWERED >> 20} MiB")
            # as they are unpacked
            kept = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in PACKING]
            return httpx.Response(answer.status_code, headers=kept, content=bytes(content), request=answer.request)

    @cached_property
    def _dead(self) -> dict[str, StoreError]:
        return {}

    def unreachable(self, url: str) -> str | None:
        """Why `url` (http, https, file) cannot be downloaded now, or None when it can: its first byte is asked for."""
        import httpx

        parts = urlsplit(url)
        if parts.scheme in ("", "file"):
            return None if Path(unquote(parts.path)).is_file() else f"{url}: no such file"
        fault = None
        for _ in range(2):
            try:
                with self.client.stream("GET", url, headers={"Range": "bytes=0-0"}) as response:
                    if response.status_code < 400:
                        return None
                    fault = f"{redact(url)}: HTTP {response.status_code} {response.reason_phrase}".rstrip()
                    if response.status_code < 500:
                        return fault
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                fault = f"{redact(url)}: {explain(error, url)}"
                if isinstance(error, httpx.TimeoutException):
                    return fault
        return fault
