"""The machine's JupyterHub lets in who has an account there: signed in by PAM, with JupyterLab of that user's own."""

from __future__ import annotations

import secrets
import subprocess
import time
import urllib.error

from lib.client import Client, Response
from lib.jupyter import kernels
from lib.outcome import run_check

HUB = "http://127.0.0.1:8000"
NAME = "dsvm-hub-check"
PATIENCE = 600.0  # seconds; an emulated machine takes minutes to start a server


def root(*argv: str, stdin: str = "", check: bool = True) -> str:
    done = subprocess.run(["sudo", "-n", *argv], input=stdin, capture_output=True, text=True, check=False)
    if not (not check or done.returncode == 0):
        raise AssertionError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


class Browser(Client):
    """Someone with cookies, for whom a hub that nobody can reach has the status 0."""

    def __init__(self) -> None:
        super().__init__(HUB, cookies=True, timeout=120)

    def get(self, path: str, *, token: str | None = None) -> Response:
        try:
            return super().get(path, token=token)
        except urllib.error.URLError:
            return Response(0, "", "", b"")

    def sign_in(self, password: str) -> Response:
        token = next((str(cookie.value) for cookie in self.cookies if cookie.name == "_xsrf"), "")
        return self.post("/hub/login?next=", {"username": NAME, "password": password, "_xsrf": token})


def check() -> dict[str, object]:
    state = root("systemctl", "is-active", "jupyterhub.service", check=False)
    if state != "active":
        raise AssertionError(f"jupyterhub.service is {state}")
    deadline = time.monotonic() + PATIENCE
    password = secrets.token_urlsafe(16)
    root("userdel", "--remove", NAME, check=False)
    root("useradd", "--create-home", "--shell", "/bin/bash", NAME)
    try:
        root("chpasswd", stdin=f"{NAME}:{password}\n")
        browser = Browser()
        while (status := browser.get("/hub/login").status) != 200:
            if not (time.monotonic() < deadline):
                raise AssertionError(f"its login page: {status}")
            time.sleep(1)
        status = browser.sign_in("wrong").status
        if status != 403:
            raise AssertionError(f"a wrong password got {status}")
        home = browser.sign_in(password)
        if home.status != 200:
            raise AssertionError(f"the right password got {home.status} at {home.url}: {home.text[-200:]}")
        # the page first, as a browser does it: the hub then says to the server who this is
        for page in ("lab", "api/kernelspecs"):
            while (answer := browser.get(f"/user/{NAME}/{page}"))[:2] != (200, f"{HUB}/user/{NAME}/{page}"):
                if not (time.monotonic() < deadline):
                    raise AssertionError(f"no {page}: {answer.status} at {answer.url}")
                time.sleep(2)
        found = kernels(answer)
        servers = root("pgrep", "--euid", NAME, "--full", "jupyterhub", check=False)
        if not servers:
            raise AssertionError(f"no server runs as {NAME}")
    finally:
        root("pkill", "-KILL", "-u", NAME, check=False)
        time.sleep(1)
        root("userdel", "--remove", NAME, check=False)
    return {"kernels": found}


if __name__ == "__main__":
    run_check(__file__, check)
