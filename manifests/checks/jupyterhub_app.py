"""JupyterHub starts with its proxy and PAM, shows its login page and refuses a wrong password."""

from __future__ import annotations

import sys
from pathlib import Path

from lib.client import Client
from lib.outcome import run_check
from lib.process import environment_without_proxies, free_port, running

CONFIG = """
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{front}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.JupyterHub.authenticator_class = "pam"
c.Authenticator.allow_all = True
"""


def check() -> dict[str, object]:
    import jupyterhub

    front = free_port()
    Path("config.py").write_text(CONFIG.format(front=front, hub=free_port(), api=free_port()))
    browser = Client(f"http://127.0.0.1:{front}", cookies=True, timeout=60)
    argv = [sys.executable, "-m", "jupyterhub", "--config", "config.py"]
    env = environment_without_proxies()
    with running(argv, env=env, timeout=120, ready=lambda: browser.get("/hub/api/").status == 200):
        version = browser.get("/hub/api/").json()["version"]
        if version != jupyterhub.__version__:
            raise AssertionError(f"the hub says {version}")
        page = browser.get("/hub/home")
        if not (page.status == 200 and 'type="password"' in page.text):
            raise AssertionError(f"/hub/home without a login: {page.status}")
        token = next(cookie.value for cookie in browser.cookies if cookie.name == "_xsrf")
        form = {"username": "nobody-here", "password": "wrong", "_xsrf": str(token)}
        page = browser.post("/hub/login?next=", form)
        if page.status != 403:
            raise AssertionError(f"a wrong password got {page.status}")
        if "Invalid username or password" not in page.text:
            raise AssertionError("it does not say that the password is wrong")
    return {"version": version}


if __name__ == "__main__":
    run_check(__file__, check)
