"""RStudio starts with a password and not without one, shows its sign-in page, and lets nobody in who has no password or
a wrong one."""

from __future__ import annotations

import base64
import http.cookiejar
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PASSWORD = "check-only"


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


class Client:
    """A browser that follows no redirect, with cookies of its own."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.jar = http.cookiejar.CookieJar()
        cookies = urllib.request.HTTPCookieProcessor(self.jar)
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies, Stay)

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, Location and text."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            answer = self.opener.open(self.root + path, data, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        return answer.status, answer.headers.get("Location") or "", answer.read().decode(errors="replace")

    def sign_in(self, user: str, password: str) -> str:
        """Where a sign-in leads; the form's script encrypts user and password with the server's RSA key."""
        self.ask("/auth-sign-in")
        token = next(cookie for cookie in self.jar if cookie.name.endswith("csrf-token"))
        exponent, modulus = (int(part, 16) for part in self.ask("/auth-public-key")[2].split(":"))
        size = (modulus.bit_length() + 7) // 8
        text = f"{user}\n{password}".encode()
        # RFC 8017, 7.2.1: random bytes, none of them zero, fill up
        filling = bytes(secrets.choice(range(1, 256)) for _ in range(size - 3 - len(text)))
        number = pow(int.from_bytes(b"\0\2" + filling + b"\0" + text, "big"), exponent, modulus)
        form = {str(token.name): str(token.value), "persist": "0", "appUri": "", "clientPath": "/auth-sign-in"}
        form["v"] = base64.b64encode(number.to_bytes(size, "big")).decode()
        return self.ask("/auth-do-sign-in", form)[1]


def check() -> dict[str, object]:
    nothing = {name: value for name, value in os.environ.items() if name != "RSTUDIO_PASSWORD"}
    done = subprocess.run(["dsvm-rstudio"], env=nothing, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 2:
        raise AssertionError(f"without a password it ends with {done.returncode}")
    if "RSTUDIO_PASSWORD" not in done.stderr:
        raise AssertionError(f"without a password it says {done.stderr!r}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    env = {**os.environ, "RSTUDIO_PASSWORD": PASSWORD, "RSTUDIO_PORT": str(port)}
    log = Path("rserver.log")
    with log.open("w") as output, subprocess.Popen(["dsvm-rstudio"], stdout=output, stderr=output, env=env) as server:
        try:
            deadline = time.monotonic() + 120
            while True:
                if server.poll() is not None:
                    raise AssertionError(f"it ended: {log.read_text()[-400:]}")
                if not (time.monotonic() < deadline):
                    raise AssertionError(f"it does not answer: {log.read_text()[-400:]}")
                try:
                    status, _, page = Client(port).ask("/auth-sign-in")
                    break
                except urllib.error.URLError:
                    time.sleep(0.3)
            if not (status == 200 and 'type="password"' in page):
                raise AssertionError(f"the sign-in page: {status}")
            status, location, _ = Client(port).ask("/")
            if not (status == 302 and "auth-sign-in" in location):
                raise AssertionError(f"without a password: {status} {location}")
            user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
            for stranger, password in ((user, "wrong"), ("nobody-here", PASSWORD)):
                client = Client(port)
                location = client.sign_in(stranger, password)
                if "error=" not in location:
                    raise AssertionError(f"{stranger} with {password} leads to {location}")
                status, location, _ = client.ask("/")
                if not (status == 302 and "auth-sign-in" in location):
                    raise AssertionError(f"{stranger} with {password}: {status} {location}")
            environ = Path(f"/proc/{server.pid}/environ").read_bytes()
            sessions = [name for name in environ.split(b"\0") if PASSWORD.encode() in name]
            if sessions:
                raise AssertionError(f"sessions of R would find the password in their environment: {sessions}")
        finally:
            server.terminate()
    return {"user": user}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "rstudio_app", **result}))
    sys.exit(0 if result["ok"] else 1)
