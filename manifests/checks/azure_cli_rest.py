"""az keeps settings, registers a cloud of one's own, and asks a web service on loopback with a body and a query."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Service(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"path": self.path, "value": [{"name": "one", "size": 1}, sent]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def az(*words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    env |= {"AZURE_CONFIG_DIR": str(Path("azure").resolve()), "AZURE_CORE_COLLECT_TELEMETRY": "no"}
    return subprocess.run(["az", *words], env=env, capture_output=True, text=True, timeout=600)


def check() -> dict[str, object]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked = az(
        *("rest", "--method", "post", "--skip-authorization-header", "--output", "tsv"),
        *("--url", f"http://127.0.0.1:{server.server_port}/things", "--url-parameters", "api-version=1"),
        *("--body", '{"name": "two", "size": 2}', "--query", "[path, value[?size > `1`].name | [0]]"),
    )
    server.shutdown()
    if asked.returncode != 0:
        raise AssertionError(f"az rest: {asked.stderr.strip()[-500:]}")
    if asked.stdout.split() != ["/things?api-version=1", "two"]:
        raise AssertionError(f"it printed {asked.stdout!r}")
    stranger = az("account", "show")
    if not (stranger.returncode != 0 and "az login" in stranger.stderr):
        raise AssertionError(f"without a login: {stranger.stderr[-300:]!r}")
    clouds = az("cloud", "list", "--query", "[].name", "--output", "tsv").stdout.split()
    if not ("AzureCloud" in clouds and "AzureUSGovernment" in clouds):
        raise AssertionError(f"clouds {clouds}")
    return {"clouds": clouds}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "azure_cli_rest", **result}))
    sys.exit(0 if result["ok"] else 1)
