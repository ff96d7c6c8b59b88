"""docker lists the containers of an engine, played by a small server on a socket, and shows its errors."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

CONTAINERS = [
    {
        "Id": "0123456789abcdef" * 4,
        "Names": ["/lab"],
        "Image": "dsvm/check",
        "ImageID": "sha256:" + "0" * 64,
        "Command": "tini",
        "Created": 1750000000,
        "State": "running",
        "Status": "Up 3 minutes",
        "Ports": [{"PrivatePort": 8888, "Type": "tcp"}],
        "Labels": {"kept": "yes"},
    }
]


class Engine(BaseHTTPRequestHandler):
    """The part of an engine's API that listing containers asks."""

    def do_HEAD(self) -> None:
        self.answer(200, "OK")

    def do_GET(self) -> None:
        if self.path.endswith("/_ping"):
            self.answer(200, "OK")
        elif "/containers/json" in self.path:
            self.answer(200, json.dumps(CONTAINERS))
        else:
            self.answer(404, json.dumps({"message": "no such thing in this engine"}))

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.44")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        pass


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    env |= {"DOCKER_HOST": f"unix://{Path('engine.sock').resolve()}", "DOCKER_CONFIG": str(Path("config").resolve())}
    return subprocess.run(["docker", *words], env=env, capture_output=True, text=True, timeout=60)


def check() -> dict[str, object]:
    nobody = docker("ps")
    if nobody.returncode == 0:
        raise AssertionError("it listed containers where there is no engine")
    with socketserver.ThreadingUnixStreamServer("engine.sock", Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        listed = docker("ps", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.Ports}} {{.Labels}}")
        unknown = docker("image", "inspect", "nothing")
        server.shutdown()
    if listed.returncode != 0:
        raise AssertionError(f"docker ps: {listed.stderr.strip()}")
    if listed.stdout.strip() != "0123456789ab lab dsvm/check 8888/tcp kept=yes":
        raise AssertionError(f"it printed {listed.stdout!r}")
    if unknown.returncode == 0:
        raise AssertionError("it found an image that is not there")
    made = docker("context", "create", "far", "--docker", "host=tcp://192.0.2.1:2376")
    if made.returncode != 0:
        raise AssertionError(f"docker context: {made.stderr.strip()}")
    contexts = docker("context", "ls", "--format", "{{.Name}}").stdout.split()
    if "far" not in contexts:
        raise AssertionError(f"contexts {contexts}")
    return {"listed": listed.stdout.strip(), "contexts": contexts}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "docker_cli_engine", **result}))
    sys.exit(0 if result["ok"] else 1)
