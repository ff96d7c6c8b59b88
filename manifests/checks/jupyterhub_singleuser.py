"""JupyterLab under a JupyterHub: it asks its hub who somebody is, lets its user in and nobody else."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from lib.client import Client
from lib.http_server import Handler, loopback
from lib.jupyter import kernels
from lib.outcome import run_check
from lib.process import environment_without_proxies, free_port, running

BASE = "/user/somebody/"
SERVER_TOKEN, USER_TOKEN, OTHER_TOKEN = "the-servers-own", "the-users", "somebody-elses"
SCOPES = ["access:servers!server=somebody/"]
USERS = {
    USER_TOKEN: {"kind": "user", "name": "somebody", "admin": False, "groups": [], "scopes": SCOPES},
    OTHER_TOKEN: {"kind": "user", "name": "another", "admin": False, "groups": [], "scopes": []},
}


class Hub(Handler):
    """What a server asks of its hub."""

    version = ""

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").rpartition(" ")[2]
        if self.path.rstrip("/") == "/hub/api":
            self.say(200, {"version": self.version})
        elif self.path == "/hub/api/user" and token in USERS:
            self.say(200, USERS[token])
        else:
            self.say(404, {"status": 404, "message": "not found"})

    def do_POST(self) -> None:
        self.body()
        self.say(200, {})

    def say(self, status: int, value: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json", "X-JupyterHub-Version": self.version}
        self.answer(status, json.dumps(value).encode(), headers)


def check() -> dict[str, object]:
    import jupyterhub

    Hub.version = jupyterhub.__version__
    url = f"http://127.0.0.1:{free_port()}{BASE}"
    stranger = Client(url, redirects=False, timeout=60)
    user = Client(url, token=USER_TOKEN, redirects=False, timeout=60)
    argv = [sys.executable, "-m", "jupyterhub.singleuser", "--allow-root"]
    with loopback(Hub) as hub:
        env = {
            **environment_without_proxies(),
            "JUPYTERHUB_API_TOKEN": SERVER_TOKEN,
            "JUPYTERHUB_API_URL": f"{hub}/hub/api",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-somebody",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(SCOPES),
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{BASE}oauth_callback",
            "JUPYTERHUB_OAUTH_SCOPES": json.dumps(SCOPES),
            "JUPYTERHUB_SERVER_NAME": "",
            "JUPYTERHUB_SERVICE_PREFIX": BASE,
            "JUPYTERHUB_SERVICE_URL": url,
            "JUPYTERHUB_USER": "somebody",
            "JUPYTER_RUNTIME_DIR": str(Path.cwd()),
        }
        with running(argv, env=env, timeout=180, ready=lambda: stranger.get("api").status == 200):
            answer = stranger.get("lab")
            if not (answer.status == 302 and "/hub/api/oauth2/authorize" in answer.location):
                raise AssertionError(f"a stranger got {answer.status} {answer.location}")
            status = stranger.get("api/contents", token=OTHER_TOKEN).status
            if status != 403:
                raise AssertionError(f"another user's token got {status}")
            answer = user.get("lab")
            if not (answer.status == 200 and re.search(r'id="jupyter-config-data"', answer.text)):
                raise AssertionError(f"its user got {answer.status}")
            found = kernels(user.get("api/kernelspecs"))
    return {"version": jupyterhub.__version__, "kernels": found}


if __name__ == "__main__":
    run_check(__file__, check)
