"""requests talks to a server on loopback: JSON, a redirect, a form, an error."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/old":
            self.answer(302, b"", Location="/new")
        elif self.path == "/new":
            self.answer(200, b'{"answer": 42}')
        else:
            self.answer(404, b"")

    def do_POST(self) -> None:
        self.answer(200, self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def check() -> dict[str, object]:
    import requests

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    session = requests.Session()
    session.trust_env = False  # a proxy in the environment is not what is checked here
    moved = session.get(f"{url}/old", timeout=20)
    if not (moved.json() == {"answer": 42} and len(moved.history) == 1):
        raise AssertionError(f"{moved.status_code} {moved.text}")
    form = session.post(f"{url}/form", data={"town": "Łódź"}, timeout=20).text
    if form != "town=%C5%81%C3%B3d%C5%BA":
        raise AssertionError(f"form {form}")
    try:
        session.get(f"{url}/missing", timeout=20).raise_for_status()
    except requests.HTTPError as error:
        return {"redirects": len(moved.history), "error": error.response.status_code}
    raise AssertionError("404 raised no error")


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "requests_loopback", **result}))
    sys.exit(0 if result["ok"] else 1)
