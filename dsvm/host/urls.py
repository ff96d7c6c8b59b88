"""URLs and what goes wrong with them, in words and without their secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

NETWORK_HINT = (
    "Check the network connection, the proxy (HTTPS_PROXY, NO_PROXY) "
    "and the mirrors that pip, npm and apt of this host are set up with."
)
UNTRUSTED = "is not trusted"
ACCESS_HINT = (
    "Correct user and password: in the URL, in ~/.netrc, in apt's auth.conf, or of the proxy. They are taken from this "
    "machine's own configuration of each client"
)
PORTAL = "a web page came in its place: is there a captive portal, or is a login needed?"
CA_HINT = "Name your certificate authority's PEM file in SSL_CERT_FILE."


def explain(error: Exception, url: str) -> str:
    """What went wrong with a connection for `url`, in words, without secrets."""
    import httpx

    why = re.sub(r"^\[Errno -?\d+\] ", "", redact(str(error))) or type(error).__name__
    host = urlsplit(url).hostname
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return f"the certificate of {host} {UNTRUSTED}: {why}"
    if isinstance(error, httpx.ConnectTimeout):
        return f"no network connection to {host}: timed out"
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return f"no network connection to {host}: {why}"
    return why


def without_user(url: str) -> str:
    """The URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def redact(text: str) -> str:
    """`text` with the secrets of its URLs hidden: passwords, lone user names (tokens), signed queries.

    Passwords with a slash or a blank too, which no URL may have and people write all the same.
    """

    def userinfo(match: re.Match[str]) -> str:
        user, colon, _ = match[1].partition(":")
        return f"://{user}:***@" if colon and user else "://***@"

    # user:password@host, where what follows the colon is no port
    loose = r"://([^\s'\"/@:?#\[]+):(?!\d{1,5}(?:[/?#\s,;:)]|$))([^\n'\"@]*)@(?=[\w\[])"
    text = re.sub(loose, r"://\1:***@", text)
    text = re.sub(r"://([^/?#\s'\"]*)@", userinfo, text)
    text = re.sub(r"(://[^/?#\s'\"]+/t/)[^/?#\s'\"]+", r"\1***", text)  # a conda channel's token
    words = "token|secret|password|signature|sig|key|auth|credential"
    return re.sub(rf"(?i)([?&][^=&\s]*(?:{words})[^=&\s]*=)[^&#\s'\"]+", r"\1***", text)


def clean_url(text: str) -> str:
    """`text` without blanks around it and slashes at its end."""
    return text.strip().rstrip("/")
