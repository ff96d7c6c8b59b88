"""JupyterHub starts with its proxy and PAM, shows its login page and refuses a wrong password."""

from __future__ import annotations

import http.cookiejar
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

CONFIG = """
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{front}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.JupyterHub.authenticator_class = "pam"
c.Authenticator.allow_all = True
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def check() -> dict[str, object]:
    import jupyterhub

    front = free_port()
    Path("config.py").write_text(CONFIG.format(front=front, hub=free_port(), api=free_port()))
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))

    def ask(path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with opener.open(f"http://127.0.0.1:{front}{path}", data, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    argv = [sys.executable, "-m", "jupyterhub", "--config", "config.py"]
    log = Path("hub.log")
    with log.open("w") as output, subprocess.Popen(argv, stdout=output, stderr=output, env=env) as hub:
        try:
            deadline = time.monotonic() + 120
            while True:
                if hub.poll() is not None:
                    raise AssertionError(f"it ended: {log.read_text()[-400:]}")
                if not (time.monotonic() < deadline):
                    raise AssertionError(f"it does not answer: {log.read_text()[-400:]}")
                try:
                    status, text = ask("/hub/api/")
                except urllib.error.URLError:
                    status, text = 0, ""
                if status == 200:
                    break
                time.sleep(0.3)
            version = json.loads(text)["version"]
            if version != jupyterhub.__version__:
                raise AssertionError(f"the hub says {version}")
            status, page = ask("/hub/home")
            if not (status == 200 and 'type="password"' in page):
                raise AssertionError(f"/hub/home without a login: {status}")
            token = next(cookie.value for cookie in jar if cookie.name == "_xsrf")
            form = {"username": "nobody-here", "password": "wrong", "_xsrf": str(token)}
            status, page = ask("/hub/login?next=", form)
            if status != 403:
                raise AssertionError(f"a wrong password got {status}")
            if "Invalid username or password" not in page:
                raise AssertionError("it does not say that the password is wrong")
        finally:
            hub.terminate()
    return {"version": version}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "jupyterhub_app", **result}))
    sys.exit(0 if result["ok"] else 1)
