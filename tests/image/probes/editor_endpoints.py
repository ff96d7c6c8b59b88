"""Ask every address that code-server answers at, as somebody who does not know its password.

argv are its port and what editor_routes.js prints: the patterns of its addresses. What its catch-all hands on to VS
Code's server is read from that program. Each is asked without a cookie, with that of another password, and by a page of
another site in a browser that has logged in; a websocket with the handshake of RFC 6455. Prints {"asked": how many
addresses, "open": {who asked what: status}, "closed": [what does not even let its user in]} as JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

port, routes = int(sys.argv[1]), json.loads(sys.argv[2])
VS_CODE = Path("/opt/code-server/lib/vscode")
# What a browser needs before anybody has logged in, and a page without a secret in it
PUBLIC = (
    *("/healthz", "/login", "/logout", "/manifest.json", "/vscode/manifest.json"),
    *("/robots.txt", "/security.txt", "/.well-known/security.txt", "/_static"),
)
# Ways out of the folder that is public
OUT = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "....//")
OUTSIDE = (*(f"/_static/{up * 8}etc/passwd" for up in OUT), "/_static//etc/passwd", "/_static/%2fetc%2fpasswd")
FOREIGN = "http://elsewhere.invalid"
CLOSED = 9  # port that nobody serves
OPENED = 101
USER, STRANGER = (
    {"Cookie": f"code-server-session={urllib.parse.quote(routes['cookies'][who])}"} for who in ("user", "stranger")
)
WHO = {"nobody": {}, "somebody with a cookie of another password": STRANGER}
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    text: bytes

    @property
    def refuses(self) -> bool:
        to_login = "login" in (self.headers.get("Location") or "").partition("?")[0]
        return self.status in (401, 403) or (self.status in (302, 303) and to_login)


def ask(method: str, path: str, headers: dict[str, str], body: str | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read() if answer.status != OPENED else b"")
    finally:
        connection.close()


def paths(pattern: str, inner: list[str]) -> Iterator[str]:
    """Paths that a pattern of Express matches; all of `inner` where it matches everything."""
    if pattern.endswith("/.*/"):
        yield from (pattern.removesuffix("/.*/") + path for path in inner)
        return
    path = pattern.replace(":port", str(CLOSED))
    plain, optional, _ = path.partition("{")
    yield plain
    if optional:
        yield f"{plain}/x"


def of_vs_code() -> list[str]:
    """Paths that VS Code's server compares requests with, bare and behind the name of its build."""
    product = json.loads((VS_CODE / "product.json").read_text())
    known = set(re.findall(r'[=,(]"(/[a-z][a-z-]{3,40})"', (VS_CODE / "out/server-main.js").read_text()))
    build = f"/{product.get('quality') or 'oss'}-{product['commit']}"
    resource = "?path=/etc/passwd"
    return ["/x", build, *(before + path + resource for before in ("", build) for path in sorted(known))]


def of_other_sites(pages: list[str]) -> Iterator[tuple[str, str]]:
    """What a page of another site can do with a user's cookie, beside websockets."""
    form = urllib.parse.urlencode({"password": os.environ["DSVM_TOKEN"]})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    said = ask("POST", "/login", kind, form).headers.get("Set-Cookie") or ""
    if "samesite=lax" not in said.lower() and "samesite=strict" not in said.lower():
        yield "the cookie goes along with requests of other sites", said.partition(";")[2]
    for path in pages:
        answer = ask("GET", path, {**USER, "Origin": FOREIGN})
        if allowed := answer.headers.get("Access-Control-Allow-Origin"):
            yield f"GET {path} may be read by pages of other sites", allowed


def main() -> None:
    inner = of_vs_code()
    pages = sorted({path for pattern in routes["http"] for path in paths(pattern, inner)})
    sockets = sorted({path for pattern in routes["sockets"] for path in paths(pattern, inner)})
    pages, sockets = ([one for one in found if one.rstrip("/") not in PUBLIC] for found in (pages, sockets))
    foreign = {"a page of another site": {**USER, "Origin": FOREIGN}}
    asked = [(method, path, login, who) for method in ("GET", "POST") for path in pages for who, login in WHO.items()]
    asked += [
        ("GET", path, {**HANDSHAKE, **login}, f"{who}, websocket")
        for path in sockets
        for who, login in (WHO | foreign).items()
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda one: ask(*one[:3]), asked)
        found = {
            f"{method} {path}, {who}": answer.status
            for (method, path, _, who), answer in zip(asked, answers, strict=True)
            if not answer.refuses
        } | dict(of_other_sites(pages))
    found |= {path: "a file of the system" for path in OUTSIDE if b"root:" in ask("GET", path, {}).text}
    own = {**HANDSHAKE, **USER, "Origin": f"http://127.0.0.1:{port}"}
    closed = [path for path, headers in (("/", USER), ("/x", own)) if ask("GET", path, headers).refuses]
    print(json.dumps({"asked": len(pages) + len(sockets), "inner": len(inner), "open": found, "closed": closed}))


if __name__ == "__main__":
    main()
