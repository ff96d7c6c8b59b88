"""A registry of images on loopback that can misbehave: https://github.com/opencontainers/distribution-spec"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from server import serve

ALWAYS = 1 << 30
READS = ("GET", "HEAD")
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")


@dataclass
class Trouble:
    """What happens to requests of a method for a path, after `skip` such ones, `times` times."""

    method: str  # a regular expression
    path: str = ""
    status: int = 0  # 0: the connection breaks
    skip: int = 0
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    # seconds before the answer
    delay: float = 0.0
    # does what was asked for before it answers so
    late: bool = False

    def meets(self, method: str, path: str) -> bool:
        if not (re.fullmatch(self.method, method) and re.search(self.path, path)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]


class Registries:
    """A registry with its repositories. `referrers`: whether it lists what refers to what."""

    def __init__(self, *, referrers: bool = True, login: tuple[str, str] | None = None, tokens: bool = False) -> None:
        self.referrers, self.login, self.tokens = referrers, login, tokens
        self.deletes = True
        self.page = 100  # tags in one answer
        self.repositories: dict[str, Repository] = {}
        self.troubles: list[Trouble] = []
        self.asked: list[Asked] = []
        self.uploads: dict[str, bytes] = {}
        # what it has understood of manifests when they came, by digest: it does not read them again
        self.understood: dict[str, dict[str, Any]] = {}
        self.token = secrets.token_hex(8)
        # called before each answer with method and path: what somebody else does meanwhile
        self.meanwhile: list[Callable[[str, str], None]] = []
        self.elsewhere = ""  # where blobs are handed out: a URL to put before their path
        self.mutex = threading.RLock()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # one packet for an answer: two would wait for each other

            def do(self) -> None:
                registry.serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = serve(Handler)
        self.host = f"127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def trouble(self, method: str, path: str = "", status: int = 0, **more: Any) -> Trouble:
        self.troubles.append(Trouble(method, path, status, **more))
        return self.troubles[-1]

    def requests(self, method: str, path: str = "") -> list[Asked]:
        return [one for one in self.asked if re.fullmatch(method, one.method) and re.search(path, one.path)]

    def __getitem__(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository())

    # --- answers ------------------------------------------------------------------------------------------

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        method, path = handler.command, handler.path
        headers = {key.lower(): value for key, value in handler.headers.items()}
        with self.mutex:
            self.asked.append(Asked(method, path, headers))
            trouble = next((one for one in self.troubles if one.meets(method, path)), None)
        body = self._body(handler, headers)
        for one in self.meanwhile:
            one(method, path)
        if trouble is not None:
            time.sleep(trouble.delay)
            if trouble.late:
                with self.mutex:
                    self._answer(method, path, headers, body)
            if trouble.status or not trouble.delay:
                if not trouble.status:
                    handler.connection.shutdown(socket.SHUT_RDWR)
                    handler.close_connection = True
                    return
                self._send(handler, trouble.status, trouble.headers, trouble.body)
                return
        with self.mutex:
            status, more, data = self._answer(method, path, headers, body)
        self._send(handler, status, more, data)

    def _body(self, handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> bytes:
        return handler.rfile.read(int(headers.get("content-length", 0)))

    def _send(self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes) -> None:
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        if "Content-Length" not in headers:
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(data)

    def _answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            return self._token(headers, query)
        if not parts.path.startswith("/elsewhere/") and not self._may(method, headers):
            return self._challenge(method, parts.path)
        match = re.fullmatch(
            r"(?:/elsewhere)?/v2/(.+)/(blobs/uploads/?|blobs/uploads/[\w-]+|blobs|manifests|tags|referrers)(?:/([^/]*))?",
            parts.path,
        )
        if match is None:
            return (200, {}, b"{}") if parts.path == "/v2/" else _error(404, "NOT_FOUND")
        name, kind, what = match[1], match[2], match[3] or ""
        if kind.startswith("blobs/uploads"):
            return self._upload(method, name, kind.removeprefix("blobs/uploads").strip("/") or what, query, body)
        if method not in ("GET", "HEAD") and kind != "manifests":
            return _error(405, "UNSUPPORTED")
        if kind == "blobs":
            return self._blob(name, what, parts.path)
        if kind == "tags":
            return self._tags(name, query)
        if kind == "referrers":
            return self._referrers(name, what)
        if method == "PUT":
            return self._put(name, what, headers, body)
        if method == "DELETE":
            return self._delete(name, what)
        return self._manifest(name, what)

    def _may(self, method: str, headers: dict[str, str]) -> bool:
        if self.login is None:
            return True
        good = {f"Bearer {self.token}-push", *([f"Bearer {self.token}-pull"] if method in READS else [])}
        return headers.get("authorization") in (good if self.tokens else {f"Basic {_basic(self.login)}"})

    def _challenge(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        name = path.removeprefix("/v2/").partition("/blobs")[0].partition("/manifests")[0]
        scope = f"repository:{name}:{'pull' if method in READS else 'pull,push'}"
        kind = (
            f'Bearer realm="http://{self.host}/token",service="registries",scope="{scope}"'
            if self.tokens
            else 'Basic realm="registries, of tests"'
        )
        return 401, {"WWW-Authenticate": kind}, b'{"errors": [{"code": "UNAUTHORIZED", "message": "log in"}]}'

    def _token(self, headers: dict[str, str], query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        good = self.login is not None and headers.get("authorization") == f"Basic {_basic(self.login)}"
        if not good or query.get("service") != "registries" or not query.get("scope"):
            return _error(401, "UNAUTHORIZED")
        token = f"{self.token}-{'push' if query['scope'].endswith('push') else 'pull'}"
        return 200, {}, json.dumps({"token": token, "expires_in": 300}).encode()

    def _upload(
        self, method: str, name: str, id: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if method == "POST" and not id:
            id = secrets.token_hex(8)
            self.uploads[id] = b""
            return 202, {"Location": f"/v2/{name}/blobs/uploads/{id}?_state=x"}, b""
        if id not in self.uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN")
        self.uploads[id] += body
        if method == "PATCH":
            return 202, {"Location": f"/v2/{name}/blobs/uploads/{id}?_state=x"}, b""
        data = self.uploads.pop(id)
        if query.get("digest") != _digest(data):
            return _error(400, "DIGEST_INVALID")
        self[name].blobs[_digest(data)] = data
        return 201, {"Location": f"/v2/{name}/blobs/{_digest(data)}", "Docker-Content-Digest": _digest(data)}, b""

    def _blob(self, name: str, digest: str, path: str) -> tuple[int, dict[str, str], bytes]:
        if digest not in self[name].blobs:
            return _error(404, "BLOB_UNKNOWN")
        if self.elsewhere and not path.startswith("/elsewhere/"):
            return 307, {"Location": f"{self.elsewhere}{path}?X-Amz-Signature=abc"}, b""
        return 200, {"Content-Type": "application/octet-stream"}, self[name].blobs[digest]

    def _tags(self, name: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if name not in self.repositories:
            return _error(404, "NAME_UNKNOWN")
        after = [tag for tag in sorted(self[name].tags) if tag > query.get("last", "")]
        shown = after[: self.page]
        link = {"Link": f'</v2/{name}/tags/list?n={self.page}&last={shown[-1]}>; rel="next"'} if after != shown else {}
        return 200, link, json.dumps({"name": name, "tags": shown}).encode()

    def _find(self, name: str, what: str) -> tuple[str, str, bytes] | None:
        digest = what if ":" in what else self[name].tags.get(what, "")
        found = self[name].manifests.get(digest)
        return (digest, *found) if found is not None else None

    def _manifest(self, name: str, what: str) -> tuple[int, dict[str, str], bytes]:
        if (found := self._find(name, what)) is None:
            return _error(404, "MANIFEST_UNKNOWN")
        digest, kind, data = found
        return 200, {"Content-Type": kind, "Docker-Content-Digest": digest}, data

    def _put(self, name: str, what: str, headers: dict[str, str], data: bytes) -> tuple[int, dict[str, str], bytes]:
        document, digest = json.loads(data), _digest(data)
        if ":" in what and what != digest:
            return _error(400, "DIGEST_INVALID")
        repository = self[name]
        if headers["content-type"] in INDEXES:
            lacking = [one for one in document["manifests"] if one["digest"] not in repository.manifests]
        else:
            blobs = [document["config"], *document["layers"]]
            lacking = [one for one in blobs if len(repository.blobs.get(one["digest"], b"")) != one["size"]]
        if lacking:
            return _error(404, "MANIFEST_BLOB_UNKNOWN", lacking[0]["digest"])
        repository.manifests[digest] = headers["content-type"], data
        self.understood[digest] = document
        if ":" not in what:
            repository.tags[what] = digest
        subject = document.get("subject")
        more = {"OCI-Subject": subject["digest"]} if subject and self.referrers else {}
        return 201, {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest, **more}, b""

    def _delete(self, name: str, what: str) -> tuple[int, dict[str, str], bytes]:
        if not self.deletes or ":" not in what:
            return _error(405, "UNSUPPORTED")
        if self[name].manifests.pop(what, None) is None:
            return _error(404, "MANIFEST_UNKNOWN")
        self[name].tags = {tag: digest for tag, digest in self[name].tags.items() if digest != what}
        return 202, {}, b""

    def _referrers(self, name: str, subject: str) -> tuple[int, dict[str, str], bytes]:
        if not self.referrers:
            return 404, {"Content-Type": "text/plain"}, b"404 page not found"
        found = []
        for digest, (kind, data) in self[name].manifests.items():
            document = self.understood[digest]
            if (document.get("subject") or {}).get("digest") == subject:
                one = {"mediaType": kind, "digest": digest, "size": len(data)}
                one["artifactType"] = document.get("artifactType") or document["config"]["mediaType"]
                found.append(one | ({"annotations": said} if (said := document.get("annotations")) else {}))
        index = {"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": found}
        return 200, {"Content-Type": INDEXES[0]}, json.dumps(index).encode()


@contextmanager
def registry_server(**how: Any) -> Iterator[Registries]:
    server = Registries(**how)
    try:
        yield server
    finally:
        server.close()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _basic(login: tuple[str, str]) -> str:
    return base64.b64encode(":".join(login).encode()).decode()


def _error(status: int, code: str, detail: str = "") -> tuple[int, dict[str, str], bytes]:
    said = {"errors": [{"code": code, "message": code.lower().replace("_", " "), "detail": detail}]}
    return status, {"Content-Type": "application/json"}, json.dumps(said).encode()
