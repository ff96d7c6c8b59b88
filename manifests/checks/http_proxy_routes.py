"""The proxy takes a route through its API with the right token only, and then serves what lies behind it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Behind(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"behind {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(url: str, *, token: str = "", data: bytes | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, data, {"Authorization": f"token {token}"} if token else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def check() -> dict[str, object]:
    behind = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    front, api = free_port(), free_port()
    argv = ["configurable-http-proxy", "--ip=127.0.0.1", f"--port={front}", "--api-ip=127.0.0.1", f"--api-port={api}"]
    env = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": "only-for-this-check"}
    with subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as proxy:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    status, _ = ask(f"http://127.0.0.1:{api}/api/routes", token="wrong")
                    break
                except urllib.error.URLError:
                    if proxy.poll() is not None:
                        raise AssertionError(f"it ended with {proxy.returncode}") from None
                    if not (time.monotonic() < deadline):
                        raise AssertionError("it does not answer") from None
                    time.sleep(0.2)
            if status != 403:
                raise AssertionError(f"a wrong token got {status}")
            target = json.dumps({"target": f"http://127.0.0.1:{behind.server_port}"}).encode()
            made, _ = ask(f"http://127.0.0.1:{api}/api/routes/lab", token="only-for-this-check", data=target)
            if made != 201:
                raise AssertionError(f"a new route got {made}")
            status, text = ask(f"http://127.0.0.1:{front}/lab/tree")
            if (status, text) != (200, "behind /lab/tree"):
                raise AssertionError(f"{status}: {text}")
            status, _ = ask(f"http://127.0.0.1:{front}/elsewhere")
            if status != 404:
                raise AssertionError(f"a path without a route got {status}")
        finally:
            proxy.terminate()
    behind.shutdown()
    return {"routes": 1}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "http_proxy_routes", **result}))
    sys.exit(0 if result["ok"] else 1)
