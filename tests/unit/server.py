"""A web server on loopback that can misbehave."""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Resource:
    """What one path serves. `statuses` are answered first, one each; `cuts` end that many answers early."""

    content: bytes = b""
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)  # bytes after which the connection breaks
    ranges: bool = True
    etag: str = '"1"'
    wrong_range: bool = False  # answers 206 with a range that nobody asked for
    framed: bool = True  # says how long the body is
    stall: int | None = None  # bytes after which it waits for `go`
    go: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)


@dataclass
class Request:
    path: str
    headers: dict[str, str]


class Quiet(ThreadingHTTPServer):
    """What fails here is told by the client that is tested."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def serve(handler: type[BaseHTTPRequestHandler]) -> Quiet:
    """A server on a free port of loopback, at work in a thread of its own."""
    server = Quiet(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


class Server:
    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: list[Request] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = serve(Handler)
        self.host = f"127.0.0.1:{self._http.server_address[1]}"
        self.url = f"http://{self.host}"

    def add(self, path: str, resource: Resource) -> str:
        self.resources[path] = resource
        return self.url + path

    def seen(self, path: str) -> list[dict[str, str]]:
        """Headers, in lower case, of every request for `path`."""
        return [request.headers for request in self.requests if request.path == path]

    def close(self) -> None:
        for resource in self.resources.values():
            resource.go.set()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        headers = {key.lower(): value for key, value in handler.headers.items()}
        self.requests.append(Request(path, headers))
        resource = self.resources.get(path)
        status = 404 if resource is None else resource.statuses.pop(0) if resource.statuses else 200
        if resource is None or status != 200:
            handler.send_response(status)
            for key, value in (resource.headers if resource else {}).items():
                handler.send_header(key, value)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body, total = resource.content, len(resource.content)
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        current = headers.get("if-range", resource.etag) == resource.etag
        if asked and resource.ranges and current:
            start = int(asked[1])
            if start >= total:
                handler.send_response(416)
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            if resource.wrong_range:
                start = 0
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            body = body[start:]
        else:
            handler.send_response(200)
        if resource.etag:
            handler.send_header("ETag", resource.etag)
        for key, value in resource.headers.items():
            handler.send_header(key, value)
        if resource.framed:
            handler.send_header("Content-Length", str(len(body)))
        else:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        handler.end_headers()
        if resource.cuts:
            handler.wfile.write(body[: resource.cuts.pop(0)])
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        if resource.stall is not None:
            handler.wfile.write(body[: resource.stall])
            handler.wfile.flush()
            resource.stalled.set()
            resource.go.wait(30)
            body = body[resource.stall :]
        handler.wfile.write(body)
