"""Ask a service on loopback: argv are its port, a path, its kind of login and who we are.

Who: health or nobody (no token), stranger (a wrong token), owner (the right one, from DSVM_TOKEN), other (that token
too, which need not be the right one), browser (the cookies of an earlier answer: argv goes on with a host and them).
Prints {"status", "location", "path", "cookies"} of the answer as JSON, or {"status": 0, ...} and why there is none.
Only the owner follows redirects.
"""

import base64
import http.cookiejar
import json
import os
import pwd
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

port, path, login, who, *kept = sys.argv[1:]
site = f"http://127.0.0.1:{port}"
token = os.environ["DSVM_TOKEN"]
if who == "stranger":
    # Same length, same beginning: comparing only a part of it must not do.
    token = token[:-1] + ("x" if token[-1] != "x" else "y")


# Seconds: RStudio lets a user try again only some time after another try, be it a stranger's.
PATIENCE = 20


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


no_proxy = urllib.request.ProxyHandler({})
jar = http.cookiejar.CookieJar()
keeper = urllib.request.HTTPCookieProcessor(jar)
follow = urllib.request.build_opener(no_proxy, keeper)
stay = urllib.request.build_opener(no_proxy, keeper, Stay)


def ask(opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> Any:
    try:
        return opener.open(request, timeout=30)
    except urllib.error.HTTPError as error:
        return error


def user_form() -> str:
    """Where signing in leads; the form's script encrypts user and password with the server's RSA key."""
    ask(stay, urllib.request.Request(site + "/auth-sign-in"))
    csrf = next(cookie for cookie in jar if cookie.name.endswith("csrf-token"))
    key = ask(stay, urllib.request.Request(site + "/auth-public-key")).read().decode()
    exponent, modulus = (int(part, 16) for part in key.split(":"))
    size = (modulus.bit_length() + 7) // 8
    text = f"{pwd.getpwuid(os.getuid()).pw_name}\n{token}".encode()
    # RFC 8017, 7.2.1: random bytes, none of them zero, fill up
    filling = bytes(secrets.choice(range(1, 256)) for _ in range(size - 3 - len(text)))
    number = pow(int.from_bytes(b"\0\2" + filling + b"\0" + text, "big"), exponent, modulus)
    fields = {csrf.name: csrf.value, "v": base64.b64encode(number.to_bytes(size, "big")).decode()}
    form = urllib.parse.urlencode({**fields, "persist": "0", "appUri": "", "clientPath": "/auth-sign-in"}).encode()
    answer = ask(stay, urllib.request.Request(site + "/auth-do-sign-in", data=form))
    return str(answer.headers.get("Location"))


def visit() -> dict[str, Any]:
    request = urllib.request.Request(site + path)
    if who == "browser":
        request.add_header("Host", kept[0])
        request.add_header("Cookie", kept[1])
    elif who in ("stranger", "owner", "other"):
        if login == "token":
            request.add_header("Authorization", f"token {token}")
        elif login == "user-form":
            end = time.monotonic() + PATIENCE
            while "error=" in user_form() and who == "owner" and time.monotonic() < end:
                time.sleep(1)
        else:
            form = urllib.parse.urlencode({"password": token}).encode()
            ask(stay, urllib.request.Request(site + "/login", data=form))
    answer = ask(follow if who == "owner" else stay, request)
    location = answer.headers.get("Location") or ""
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
    where = urllib.parse.urlsplit(answer.url).path
    return {"status": answer.status, "location": location, "path": where, "cookies": cookies}


try:
    print(json.dumps(visit()))
except OSError as error:
    print(json.dumps({"status": 0, "location": "", "path": path, "error": str(error)}))
