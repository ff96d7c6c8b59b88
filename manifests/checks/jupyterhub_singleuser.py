"""JupyterLab under a JupyterHub: it asks its hub who somebody is, lets its user in and nobody else."""

from __future__ import annotations

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

BASE = "/user/somebody/"
SERVER_TOKEN, USER_TOKEN, OTHER_TOKEN = "the-servers-own", "the-users", "somebody-elses"
SCOPES = ["access:servers!server=somebody/"]
USERS = {
    USER_TOKEN: {"kind": "user", "name": "somebody", "admin": False, "groups": [], "scopes": SCOPES},
    OTHER_TOKEN: {"kind": "user", "name": "another", "admin": False, "groups": [], "scopes": []},
}


def hub(version: str) -> http.server.ThreadingHTTPServer:
    """What a server asks of its hub, on a port of its own."""

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.headers.get("Authorization", "").rpartition(" ")[2]
            if self.path.rstrip("/") == "/hub/api":
                self.answer(200, {"version": version})
            elif self.path == "/hub/api/user" and token in USERS:
                self.answer(200, USERS[token])
            else:
                self.answer(404, {"status": 404, "message": "not found"})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(200, {})

        def answer(self, status: int, value: dict[str, object]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-JupyterHub-Version", version)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect())


def get(url: str, token: str = "") -> tuple[int, str, str]:
    """Status, address that it leads to, and text."""
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"} if token else {})
    try:
        with OPENER.open(request, timeout=60) as answer:
            return answer.status, "", answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Location", ""), error.read().decode()


def check() -> dict[str, object]:
    import jupyterhub

    door = hub(jupyterhub.__version__)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")} | {
        "JUPYTERHUB_API_TOKEN": SERVER_TOKEN,
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{door.server_port}/hub/api",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-somebody",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(SCOPES),
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{BASE}oauth_callback",
        "JUPYTERHUB_OAUTH_SCOPES": json.dumps(SCOPES),
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_SERVICE_PREFIX": BASE,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}{BASE}",
        "JUPYTERHUB_USER": "somebody",
        "JUPYTER_RUNTIME_DIR": str(Path.cwd()),
    }
    argv = [sys.executable, "-m", "jupyterhub.singleuser", "--allow-root"]
    log = Path("singleuser.log")
    url = f"http://127.0.0.1:{port}{BASE}"
    with log.open("w") as output, subprocess.Popen(argv, stdout=output, stderr=output, env=env) as process:
        try:
            deadline = time.monotonic() + 180
            while True:
                if process.poll() is not None:
                    raise AssertionError(f"it ended: {log.read_text()[-400:]}")
                if not (time.monotonic() < deadline):
                    raise AssertionError(f"it does not answer: {log.read_text()[-400:]}")
                try:
                    status, _, text = get(f"{url}api")
                except urllib.error.URLError:
                    status, text = 0, ""
                if status == 200:
                    break
                time.sleep(0.3)
            status, leads_to, _ = get(f"{url}lab")
            if not (status == 302 and "/hub/api/oauth2/authorize" in leads_to):
                raise AssertionError(f"a stranger got {status} {leads_to}")
            status, _, _ = get(f"{url}api/contents", OTHER_TOKEN)
            if status != 403:
                raise AssertionError(f"another user's token got {status}")
            status, _, text = get(f"{url}lab", USER_TOKEN)
            if not (status == 200 and re.search(r'id="jupyter-config-data"', text)):
                raise AssertionError(f"its user got {status}")
            kernels = sorted(json.loads(get(f"{url}api/kernelspecs", USER_TOKEN)[2])["kernelspecs"])
            if "python3" not in kernels:
                raise AssertionError(f"kernels {kernels}")
        finally:
            process.terminate()
            door.shutdown()
    return {"version": jupyterhub.__version__, "kernels": kernels}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "jupyterhub_singleuser", **result}))
    sys.exit(0 if result["ok"] else 1)
