"""The machine's JupyterHub lets in who has an account there: signed in by PAM, with JupyterLab of that user's own."""

from __future__ import annotations

import http.cookiejar
import json
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HUB = "http://127.0.0.1:8000"
NAME = "dsvm-hub-check"
PATIENCE = 600.0  # seconds; an emulated machine takes minutes to start a server


def root(*argv: str, stdin: str = "", check: bool = True) -> str:
    done = subprocess.run(["sudo", "-n", *argv], input=stdin, capture_output=True, text=True, check=False)
    if not (not check or done.returncode == 0):
        raise AssertionError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


class Browser:
    """Someone with cookies."""

    def __init__(self) -> None:
        self.jar = http.cookiejar.CookieJar()
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        self.opener = urllib.request.build_opener(*handlers)

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, where it has led to, and text."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with self.opener.open(f"{HUB}{path}", data, timeout=120) as answer:
                return answer.status, answer.url, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.url or "", error.read().decode()
        except urllib.error.URLError as error:
            return 0, "", str(error.reason)

    def sign_in(self, password: str) -> tuple[int, str, str]:
        token = next((str(cookie.value) for cookie in self.jar if cookie.name == "_xsrf"), "")
        return self.ask("/hub/login?next=", {"username": NAME, "password": password, "_xsrf": token})


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
        while (status := browser.ask("/hub/login")[0]) != 200:
            if not (time.monotonic() < deadline):
                raise AssertionError(f"its login page: {status}")
            time.sleep(1)
        status, _, _ = browser.sign_in("wrong")
        if status != 403:
            raise AssertionError(f"a wrong password got {status}")
        status, where, text = browser.sign_in(password)
        if status != 200:
            raise AssertionError(f"the right password got {status} at {where}: {text[-200:]}")
        # the page first, as a browser does it: the hub then says to the server who this is
        for page in ("lab", "api/kernelspecs"):
            while (answer := browser.ask(f"/user/{NAME}/{page}"))[:2] != (200, f"{HUB}/user/{NAME}/{page}"):
                if not (time.monotonic() < deadline):
                    raise AssertionError(f"no {page}: {answer[0]} at {answer[1]}")
                time.sleep(2)
        text = answer[2]
        kernels = sorted(json.loads(text)["kernelspecs"])
        if "python3" not in kernels:
            raise AssertionError(f"kernels {kernels}")
        servers = root("pgrep", "--euid", NAME, "--full", "jupyterhub", check=False)
        if not servers:
            raise AssertionError(f"no server runs as {NAME}")
    finally:
        root("pkill", "-KILL", "-u", NAME, check=False)
        time.sleep(1)
        root("userdel", "--remove", NAME, check=False)
    return {"kernels": kernels}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "jupyterhub_login", **result}))
    sys.exit(0 if result["ok"] else 1)
