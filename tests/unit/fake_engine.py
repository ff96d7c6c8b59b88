"""The API of a container engine on a socket. Its images and containers are this host: what is asked of them runs here.

https://docs.docker.com/reference/api/engine/version/v1.45/
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import socketserver
import struct
import tarfile
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

INFO: dict[str, Any] = {
    "ID": "x",
    "ServerVersion": "26.1.5",
    "Driver": "overlayfs",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
    "DockerRootDir": "/",
    "NCPU": 6,
    "Architecture": "x86_64",
}
VERSION = {"ApiVersion": "1.45", "Version": "26.1.5", "Components": [{"Name": "Engine", "Version": "26.1.5"}]}
STDOUT = 1


class FakeEngine:
    """What one engine has, and what was asked of it: `requests` holds (method, path, body)."""

    def __init__(self, socket: Path | None, **info: Any) -> None:
        """An engine at a socket, or at a port of loopback, as one of another host."""
        self.socket = socket
        self.info: dict[str, Any] = {**INFO, **info}
        self.version: dict[str, Any] = VERSION
        self.images: dict[str, dict[str, Any]] = {}
        # id -> the archive that it hands out
        self.saved: dict[str, bytes] = {}
        self.state: dict[str, Any] = {"Status": "running", "Running": True, "ExitCode": 0}
        # once told to stop, its container has ended so
        self.stopped = False
        self.stops_with = 143
        self.logs = b""
        # runs a command "in the container"
        self.run: Callable[[Sequence[str]], tuple[int, bytes]] = lambda command: (0, b"")
        # where files lie that are put into a container, by the folder that they are put into
        self.inside: Path | None = None
        self.put: set[Path] = set()
        self.requests: list[tuple[str, str, Any]] = []
        self.execs: dict[str, tuple[int, bytes]] = {}
        self.silent = threading.Event()  # once set, it says nothing more
        self.ended = threading.Event()
        self.server: socketserver.BaseServer = (
            _Server(str(socket), _handler(self)) if socket else ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        )
        self.url = f"unix://{socket}"
        if isinstance(self.server, ThreadingHTTPServer):
            self.url = f"tcp://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def asked(self, method: str, pattern: str) -> list[tuple[str, Any]]:
        """(path, body) of the requests with this method whose path the pattern matches."""
        return [(path, body) for how, path, body in self.requests if how == method and re.search(pattern, path)]

    def close(self) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()
        if self.socket is not None:
            self.socket.unlink(missing_ok=True)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def _frame(data: bytes) -> bytes:
    return struct.pack(">BxxxL", STDOUT, len(data)) + data if data else b""


def _handler(engine: FakeEngine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None: ...

        def address_string(self) -> str:
            return "socket"

        def _answer(self) -> None:
            if engine.silent.is_set():
                engine.ended.wait()
                return
            parts = urlsplit(self.path)
            path = re.sub(r"^/v\d+\.\d+", "", unquote(parts.path))
            query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            body = self._body()
            engine.requests.append((self.command, path, body))
            self._route(self.command, path, query, body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer

        def _body(self) -> Any:
            if self.headers.get("Transfer-Encoding") == "chunked":
                data = b""
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "json" in self.headers.get("Content-Type", ""):
                return json.loads(data or b"null")
            return data

        def _route(self, method: str, path: str, query: dict[str, str], body: Any) -> None:
            if path in ("/info", "/version"):
                self._json(engine.info if path == "/info" else engine.version)
            elif match := re.fullmatch(r"/images/(.+)/(json|history)", path):
                by_id = (one for one in engine.images.values() if one.get("Id") == match[1])
                found = engine.images.get(match[1]) or next(by_id, None)
                answer = found.get("History", []) if found and match[2] == "history" else found
                self._json(answer) if found else self._json({"message": f"No such image: {match[1]}"}, 404)
            elif match := re.fullmatch(r"/images/(.+)/get", path):
                self._send(engine.saved[match[1]], 200, "application/x-tar")
            elif path == "/containers/json":
                self._json([])
            elif path == "/containers/create":
                self._json({"Id": query.get("name", "nameless"), "Warnings": []}, 201)
            elif method == "DELETE" and path.startswith("/containers/"):
                while engine.put:
                    shutil.rmtree(engine.put.pop())
                self._send(b"", 204)
            elif match := re.fullmatch(r"/containers/[^/]+/(start|stop)", path):
                engine.stopped = match[1] == "stop"
                self._send(b"", 204)
            elif match := re.fullmatch(r"/containers/([^/]+)/json", path):
                ended = {"Status": "exited", "Running": False, "ExitCode": engine.stops_with}
                state = ended if engine.stopped else engine.state
                self._json({"Id": match[1], "Name": f"/{match[1]}", "State": state, "Config": {"Tty": False}})
            elif path.endswith("/logs"):
                self._send(_frame(engine.logs), 200, "application/vnd.docker.multiplexed-stream")
            elif path.endswith("/exec"):
                name = f"exec-{len(engine.execs)}"
                engine.execs[name] = engine.run(body["Cmd"])
                self._json({"Id": name}, 201)
            elif match := re.fullmatch(r"/exec/([^/]+)/start", path):
                self.close_connection = True
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")
                self.wfile.write(_frame(engine.execs[match[1]][1]))
            elif match := re.fullmatch(r"/exec/([^/]+)/json", path):
                self._json({"ExitCode": engine.execs[match[1]][0], "Running": False})
            elif path.endswith("/archive"):
                self._archive(method, query["path"], body)
            else:
                self._json({"message": f"what is {method} {path}?"}, 501)

        def _archive(self, method: str, path: str, body: bytes) -> None:
            place = engine.inside / path.lstrip("/") if engine.inside is not None else None
            if method == "PUT" and place is not None:
                with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                    engine.put |= {place / name.split("/")[0] for name in tar.getnames()}
                    tar.extractall(place, filter="data")
                self._send(b"", 200)
            elif place is not None and place.exists():
                packed = io.BytesIO()
                with tarfile.open(fileobj=packed, mode="w") as tar:
                    tar.add(place, place.name)
                stat = base64.b64encode(json.dumps({"name": place.name}).encode()).decode()
                self._send(packed.getvalue(), 200, "application/x-tar", {"X-Docker-Container-Path-Stat": stat})
            else:
                self._json({"message": f"Could not find the file {path}"}, 404)

        def _json(self, value: Any, status: int = 200) -> None:
            self._send(json.dumps(value).encode(), status, "application/json")

        def _send(
            self, data: bytes, status: int, kind: str = "text/plain", headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for key, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler
