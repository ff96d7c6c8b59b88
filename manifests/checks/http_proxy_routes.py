"""The proxy takes a route through its API with the right token only, and then serves what lies behind it."""

from __future__ import annotations

import json
import os

from lib.client import Client
from lib.http_server import Handler, loopback
from lib.outcome import run_check
from lib.process import free_port, running

TOKEN = "only-for-this-check"


class Behind(Handler):
    def do_GET(self) -> None:
        self.answer(200, f"behind {self.path}".encode())


def check() -> dict[str, object]:
    front, api = free_port(), free_port()
    argv = ["configurable-http-proxy", "--ip=127.0.0.1", f"--port={front}", "--api-ip=127.0.0.1", f"--api-port={api}"]
    env = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": TOKEN}
    browser, owner = Client(f"http://127.0.0.1:{front}"), Client(f"http://127.0.0.1:{api}", token=TOKEN)

    def status_with_wrong_token() -> int:
        return owner.get("/api/routes", token="wrong").status

    with loopback(Behind) as target, running(argv, env=env, timeout=60, ready=status_with_wrong_token):
        status = status_with_wrong_token()
        if status != 403:
            raise AssertionError(f"a wrong token got {status}")
        status = owner.post("/api/routes/lab", json.dumps({"target": target}).encode()).status
        if status != 201:
            raise AssertionError(f"a new route got {status}")
        answer = browser.get("/lab/tree")
        if (answer.status, answer.text) != (200, "behind /lab/tree"):
            raise AssertionError(f"{answer.status}: {answer.text}")
        status = browser.get("/elsewhere").status
        if status != 404:
            raise AssertionError(f"a path without a route got {status}")
    return {"routes": 1}


if __name__ == "__main__":
    run_check(__file__, check)
