"""Ask a service on loopback: argv are its port, a path, its kind of login and who we are.

Who: health or nobody (no token), stranger (a wrong token), owner (the right one, from DSVM_TOKEN).
Prints {"status", "location", "path"} of the answer as JSON, or {"status": 0, ...} and why there is none.
Only the owner follows redirects.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

port, path, login, who = sys.argv[1:]
site = f"http://127.0.0.1:{port}"
token = os.environ["DSVM_TOKEN"]
if who == "stranger":
    # Same length, same beginning: comparing only a part of it must not do.
    token = token[:-1] + ("x" if token[-1] != "x" else "y")


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


no_proxy = urllib.request.ProxyHandler({})
cookies = urllib.request.HTTPCookieProcessor()
follow = urllib.request.build_opener(no_proxy, cookies)
stay = urllib.request.build_opener(no_proxy, cookies, Stay)


def ask(opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> Any:
    try:
        return opener.open(request, timeout=30)
    except urllib.error.HTTPError as error:
        return error


def visit() -> dict[str, Any]:
    request = urllib.request.Request(site + path)
    if who in ("stranger", "owner"):
        if login == "token":
            request.add_header("Authorization", f"token {token}")
        else:
            form = urllib.parse.urlencode({"password": token}).encode()
            ask(stay, urllib.request.Request(site + "/login", data=form))
    answer = ask(follow if who == "owner" else stay, request)
    location = answer.headers.get("Location") or ""
    return {"status": answer.status, "location": location, "path": urllib.parse.urlsplit(answer.url).path}


try:
    print(json.dumps(visit()))
except OSError as error:
    print(json.dumps({"status": 0, "location": "", "path": path, "error": str(error)}))
