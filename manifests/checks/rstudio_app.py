"""RStudio starts with a password and not without one, shows its sign-in page, and lets nobody in who has no password or
a wrong one."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
from pathlib import Path

from lib.client import Client
from lib.outcome import run_check
from lib.process import free_port, running

PASSWORD = "check-only"


class Browser(Client):
    """A browser that follows no redirect, with cookies of its own."""

    def __init__(self, port: int) -> None:
        super().__init__(f"http://127.0.0.1:{port}", cookies=True, redirects=False)

    def sign_in(self, user: str, password: str) -> str:
        """Where a sign-in leads; the form's script encrypts user and password with the server's RSA key."""
        self.get("/auth-sign-in")
        token = next(cookie for cookie in self.cookies if cookie.name.endswith("csrf-token"))
        exponent, modulus = (int(part, 16) for part in self.get("/auth-public-key").text.split(":"))
        size = (modulus.bit_length() + 7) // 8
        text = f"{user}\n{password}".encode()
        # RFC 8017, 7.2.1: random bytes, none of them zero, fill up
        filling = bytes(secrets.choice(range(1, 256)) for _ in range(size - 3 - len(text)))
        number = pow(int.from_bytes(b"\0\2" + filling + b"\0" + text, "big"), exponent, modulus)
        form = {str(token.name): str(token.value), "persist": "0", "appUri": "", "clientPath": "/auth-sign-in"}
        form["v"] = base64.b64encode(number.to_bytes(size, "big")).decode()
        return self.post("/auth-do-sign-in", form).location


def check() -> dict[str, object]:
    nothing = {name: value for name, value in os.environ.items() if name != "RSTUDIO_PASSWORD"}
    done = subprocess.run(["dsvm-rstudio"], env=nothing, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 2:
        raise AssertionError(f"without a password it ends with {done.returncode}")
    if "RSTUDIO_PASSWORD" not in done.stderr:
        raise AssertionError(f"without a password it says {done.stderr!r}")
    port = free_port()
    env = {**os.environ, "RSTUDIO_PASSWORD": PASSWORD, "RSTUDIO_PORT": str(port)}
    with running(["dsvm-rstudio"], env=env, timeout=120, ready=lambda: Browser(port).get("/auth-sign-in")) as server:
        page = Browser(port).get("/auth-sign-in")
        if not (page.status == 200 and 'type="password"' in page.text):
            raise AssertionError(f"the sign-in page: {page.status}")
        answer = Browser(port).get("/")
        if not (answer.status == 302 and "auth-sign-in" in answer.location):
            raise AssertionError(f"without a password: {answer.status} {answer.location}")
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        for stranger, password in ((user, "wrong"), ("nobody-here", PASSWORD)):
            browser = Browser(port)
            location = browser.sign_in(stranger, password)
            if "error=" not in location:
                raise AssertionError(f"{stranger} with {password} leads to {location}")
            answer = browser.get("/")
            if not (answer.status == 302 and "auth-sign-in" in answer.location):
                raise AssertionError(f"{stranger} with {password}: {answer.status} {answer.location}")
        environ = Path(f"/proc/{server.pid}/environ").read_bytes()
        sessions = [name for name in environ.split(b"\0") if PASSWORD.encode() in name]
        if sessions:
            raise AssertionError(f"sessions of R would find the password in their environment: {sessions}")
    return {"user": user}


if __name__ == "__main__":
    run_check(__file__, check)
