"""Ask every address that a Jupyter server answers at, as somebody who does not know its token; argv is its port.

The addresses are those of the application, loaded here as the image starts it: no list of ours can be too short. Each
is asked at a short path that its pattern matches, a websocket with the handshake of RFC 6455, and by a page of another
site in a browser that has logged in. Prints {"asked": how many addresses, "open": {who asked what: status}} as JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import re._parser as parser  # type: ignore[import-not-found]
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

port = int(sys.argv[1])
token = os.environ["DSVM_TOKEN"]
WRONG = token[:-1] + ("x" if token[-1] != "x" else "y")
WHO = {"nobody": {}, "somebody with a wrong token": {"Authorization": f"token {WRONG}"}}
OPENED = 101
# What a browser needs before anybody has logged in; static files have no secret in them
PUBLIC = ("/login", "/logout", "/api", "/favicon.ico", "/robots.txt")
STATIC = ("/static/", "/custom/")
# JupyterLab 4 never answers whoever it refuses here
SILENT = ("/lab/api/licenses/",)
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def rules(router: Any) -> Iterator[tuple[str, type]]:
    """(pattern, handler) of all addresses."""
    for rule in router.rules:
        if hasattr(rule.target, "rules"):
            yield from rules(rule.target)
        elif hasattr(rule.matcher, "regex") and isinstance(rule.target, type):
            yield rule.matcher.regex.pattern, rule.target


def shortest(parsed: Any) -> str:
    """A short text that a parsed regular expression matches."""
    text = ""
    for kind, value in parsed:
        name = str(kind)
        if name == "LITERAL":
            text += chr(value)
        elif name == "IN":
            text += (
                "x" if any(str(one) == "CATEGORY" or str(one) == "NEGATE" for one, _ in value) else chr(_first(value))
            )
        elif name == "ANY":
            text += "x"
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            text += shortest(value[2]) * value[0]
        elif name == "SUBPATTERN":
            text += shortest(value[3])
        elif name == "BRANCH":
            text += min((shortest(one) for one in value[1]), key=len)
    return text


def _first(value: Any) -> int:
    kind, what = value[0]
    return int(what[0] if str(kind) == "RANGE" else what)


def ask(method: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        where = answer.headers.get("Location") or ""
        return 401 if answer.status == 302 and "/login" in where else answer.status
    finally:
        connection.close()


def addresses() -> Iterator[tuple[str, dict[str, str], str]]:
    """Path, headers of its protocol, and the handler's name, of all that there is to ask."""
    from jupyterlab.labapp import LabApp
    from tornado.websocket import WebSocketHandler

    app = LabApp.initialize_server(argv=["--no-browser", "--allow-root", "--ServerApp.log_level=50"])
    seen = set()
    for router in (app.web_app.default_router, app.web_app.wildcard_router):
        for pattern, handler in rules(router):
            path = shortest(parser.parse(pattern)) or "/"
            if path in seen or not path.startswith("/"):
                continue
            seen.add(path)
            socket = HANDSHAKE if issubclass(handler, WebSocketHandler) else {}
            yield path, socket, f"{handler.__module__}.{handler.__qualname__}"


def logged_in() -> dict[str, str]:
    """The cookies of a browser whose user has logged in: it sends them whichever page asks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/lab?token={token}")
    answer = connection.getresponse()
    pairs = [value.partition(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
    connection.close()
    return {"Cookie": "; ".join(pairs)}


def opened(one: tuple[str, dict[str, str], str], browser: dict[str, str]) -> dict[str, int]:
    """What does not refuse those whom it should."""
    path, socket, handler = one
    asked = [
        (f"{method} {path}, {who} ({handler})", ask(method, path, {**socket, **login}))
        for who, login in WHO.items()
        for method in ("GET", "POST")
    ]
    found = {name: status for name, status in asked if status < 300 or status >= 500}
    if socket:
        foreign = ask("GET", path, {**socket, **browser, "Origin": "http://elsewhere.invalid"})
        found |= {f"{path}, a page of another site ({handler})": foreign} if foreign == OPENED else {}
    return found


def main() -> None:
    found = [one for one in addresses() if one[0] not in (*PUBLIC, *SILENT) and not one[0].startswith(STATIC)]
    browser = logged_in()
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda one: opened(one, browser), found)
        open_ones = {name: status for part in parts for name, status in part.items()}
    print(json.dumps({"asked": len(found), "open": open_ones}))


if __name__ == "__main__":
    main()
