"""User and password for a place, as the clients of this host keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dsvm.host.places import Places

if TYPE_CHECKING:
    import httpx

    Finder = Callable[[httpx.URL], tuple[str, str] | None]


def finders(places: Places, configured_urls: Iterable[str]) -> tuple[Finder, ...]:
    """What knows credentials for a URL, in the order to ask: the configured URLs, ~/.netrc, apt's auth.conf."""
    import netrc

    def read(path: Path) -> netrc.netrc | None:
        try:
            return netrc.netrc(str(path))
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            return None

    user = read(places.path(places.environ.get("NETRC") or str(places.home / ".netrc")))
    apt = places.etc / "apt"
    paths = [apt / "auth.conf", *sorted((apt / "auth.conf.d").glob("*.conf"))]
    apt_files = [one for path in paths if (one := read(path)) is not None]

    def by_netrc(url: httpx.URL) -> tuple[str, str] | None:
        entry = user.authenticators(url.host) if user is not None else None
        return (entry[0] or "", entry[2] or "") if entry else None

    def by_apt(url: httpx.URL) -> tuple[str, str] | None:
        """auth.conf(5): [scheme://]host[:port][/path]; without a scheme only for https."""
        for one in apt_files:
            for name, (login, _, password) in one.hosts.items():
                scheme, _, rest = name.rpartition("://")
                host, _, path = rest.partition("/")
                here = {url.host, f"{url.host}:{url.port}"}
                if url.scheme == (scheme or "https") and host in here and url.path.startswith(f"/{path}"):
                    return login or "", password or ""
        return None

    configured = [urlsplit(one) for one in configured_urls if "@" in one]

    def by_configuration(url: httpx.URL) -> tuple[str, str] | None:
        """What an index, a mirror or a find-links URL says: pages there name files without it."""
        for one in configured:
            if (one.scheme, one.hostname, one.port) == (url.scheme, url.host, url.port) and one.username:
                return unquote(one.username), unquote(one.password or "")
        return None

    return by_configuration, by_netrc, by_apt
