"""Azurite, and a Resource Manager, under the names of Azure: nothing of the real `az` is changed, and no host is asked.

`az` goes through a proxy, as in a company. That one hands the storage account's host to Azurite, and the host of Azure
Resource Manager, which no emulator knows, to one that is played here; all else is refused. `az` logs in as a machine
with a managed identity does on App Service, where the platform hands out tokens. Azurite reads for whom a token is and
until when, and passes over who has signed it and what that one may do.

The Resource Manager keeps what it is given, as resources of every kind are put, shown, listed and deleted the same way.
It reads the disks that it is told of, wants a gallery for what lies in it, and deletes nothing that has something in
it; of what a body says it knows no more than that.

https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
https://learn.microsoft.com/rest/api/resources/subscriptions/list, /rest/api/storageservices/blob-service-rest-api
https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/resource-api-reference.md
"""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from newcomer import ROOT
from server import serve

PLACE = ROOT / ".venv" / "azure"
AZ = PLACE / "bin/az"
AZURITE = (ROOT / ".venv/bin/node", PLACE / "node_modules/azurite/dist/src/blob/main.js")
ACCOUNT = "ourimages"
STORAGE, MANAGER = f"{ACCOUNT}.blob.core.windows.net", "management.azure.com"
FOR_STORAGE, FOR_MANAGER = "https://storage.azure.com", "https://management.core.windows.net"
TENANT, SUBSCRIPTION = "10000000-0000-4000-8000-000000000000", "20000000-0000-4000-8000-000000000000"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers"
GALLERY = f"{GROUP}/Microsoft.Compute/galleries/ours"
# what a platform gives to those who run on it
HEADER = "of this machine"
HOUR = 3600


@dataclass
class Cloud:
    """Where everything is, and what goes wrong there."""

    folder: Path
    # seconds until tokens end, and for whom they are instead of whom they were asked for
    lifetime: int = HOUR
    audience: str | None = None
    # bytes that the storage account takes before its line breaks
    enough: int | None = None
    # kind of resource ("no KIND": its removal) -> when it fails: "before", or "after", when all is done
    failing: dict[str, str] = field(default_factory=dict)
    # path -> what was made, and the disk that it was made of; and all that was asked to change
    resources: dict[str, Any] = field(default_factory=dict)
    disks: dict[str, bytes] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    # who is where
    ports: dict[str, int] = field(default_factory=dict)
    proxy: str = ""
    identity: str = ""

    @property
    def pem(self) -> Path:
        return self.folder / "certificate.pem"

    def environment(self) -> dict[str, str]:
        return {
            "AZURE_CONFIG_DIR": str(self.folder / "az"),
            "AZURE_CORE_COLLECT_TELEMETRY": "false",
            # small letters win where both are set
            "https_proxy": self.proxy,
            "no_proxy": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(self.pem),
            "IDENTITY_ENDPOINT": self.identity,
            "IDENTITY_HEADER": HEADER,
            # `az` is installed without byte code, and must not compile all that it loads each time
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def ask(self, method: str, path: str, **more: str) -> bytes:
        """What the storage account answers to somebody with a good token."""
        host, port = str(urlsplit(self.proxy).hostname), urlsplit(self.proxy).port
        context = ssl.create_default_context(cafile=self.pem)
        with closing(http.client.HTTPSConnection(host, port, context=context)) as connection:
            connection.set_tunnel(STORAGE, 443)
            headers = {"Authorization": f"Bearer {token(FOR_STORAGE, HOUR)}", "x-ms-version": "2021-12-02"}
            connection.request(method, path, headers={**headers, "Content-Length": "0"} | more)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status < 300, (method, path, answer.status, body)
            return body

    def containers(self) -> list[str]:
        return re.findall("<Name>(.*?)</Name>", self.ask("GET", "/?comp=list").decode())

    def blobs(self) -> dict[str, bytes]:
        """CONTAINER/NAME -> what is in it."""
        found = {}
        for container in self.containers():
            listed = self.ask("GET", f"/{container}?restype=container&comp=list").decode()
            assert listed.count("<BlobType>PageBlob<") == listed.count("<Name>"), "a disk is a page blob"
            for name in re.findall("<Name>(.*?)</Name>", listed):
                found[f"{container}/{name}"] = self.ask("GET", f"/{container}/{name}")
        return found

    def put(self, name: str, size: int) -> None:
        """An empty page blob."""
        more = {"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": str(size)}
        self.ask("PUT", f"/{name}", **more)

    def resource(self, path: str, **body: Any) -> None:
        properties = body.get("properties", {}) | {"provisioningState": "Succeeded"}
        self.resources[path] = body | {"id": path, "name": path.rpartition("/")[2], "properties": properties}

    def reset(self) -> None:
        """A storage account and a gallery with nothing in them, and nothing that goes wrong."""
        self.lifetime, self.audience, self.enough = HOUR, None, None
        for kept in (self.failing, self.resources, self.disks, self.changes):
            kept.clear()
        for container in self.containers():
            self.ask("DELETE", f"/{container}?restype=container")
        endpoints = {"primaryEndpoints": {"blob": f"https://{STORAGE}/"}}
        self.resource(f"{GROUP}/Microsoft.Storage/storageAccounts/{ACCOUNT}", properties=endpoints)
        self.resource(GALLERY, location="westeurope")


def token(audience: str, lifetime: int) -> str:
    now = int(time.time())
    said = {"aud": audience, "iss": f"https://sts.windows.net/{TENANT}/", "tid": TENANT, "oid": SUBSCRIPTION}
    times = {"iat": now - 2 * HOUR, "nbf": now - 2 * HOUR, "exp": now + lifetime}
    return jwt.encode({**said, **times}, "a signature that nobody looks at", algorithm="HS256")


def installed() -> bool:
    return all(one.exists() for one in (AZ, *AZURITE))


@contextmanager
def running(folder: Path) -> Iterator[Cloud]:
    """A storage account without anything in it, and `az` logged in."""
    cloud = Cloud(folder)
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tests -addext"
    files = ("-keyout", str(folder / "key.pem"), "-out", str(cloud.pem))
    names = f"subjectAltName=DNS:{STORAGE},DNS:{MANAGER}"
    subprocess.run(["openssl", *words.split(), names, *files], check=True, capture_output=True)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cloud.pem, folder / "key.pem")
    manager, identity, proxy = (serve(kind) for kind in (_manager(cloud), _identity(cloud), _proxy(cloud)))
    manager.socket = context.wrap_socket(manager.socket, server_side=True)
    cloud.ports[MANAGER] = manager.server_port
    cloud.identity = f"http://127.0.0.1:{identity.server_port}/token"
    cloud.proxy = f"http://127.0.0.1:{proxy.server_port}"
    try:
        with _azurite(cloud):
            login, environment = [str(AZ), "login", "--identity"], os.environ | cloud.environment()
            done = subprocess.run(login, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            yield cloud
    finally:
        for server in (manager, identity, proxy):
            server.shutdown()
            server.server_close()


@contextmanager
def _azurite(cloud: Cloud) -> Iterator[None]:
    # it is older than `az`, which speaks of a later version of the same interface
    words = "--blobPort 0 --skipApiVersionCheck --inMemoryPersistence --disableTelemetry --silent --oauth basic"
    argv: list[str | Path] = [*AZURITE, *words.split(), "--cert", cloud.pem, "--key", cloud.folder / "key.pem"]
    environment = os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:bm9ib2R5IGtub3dz"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(argv, cwd=cloud.folder, env=environment, **pipes) as process:
        try:
            said = []
            for line in process.stdout or ():
                said.append(line)
                if found := re.search(r"successfully listens on https://127\.0\.0\.1:(\d+)", line):
                    cloud.ports[STORAGE] = int(found[1])
                    break
            assert STORAGE in cloud.ports, said
            yield
        finally:
            process.kill()


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def _manager(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Manager(Answering):
        def do_GET(self) -> None:
            path, kind = self.look()
            if path == "/subscriptions":
                one = {"id": f"/subscriptions/{SUBSCRIPTION}", "subscriptionId": SUBSCRIPTION, "tenantId": TENANT}
                self.answer(200, {"value": [{**one, "displayName": "Ours", "state": "Enabled"}]})
            elif kind is None:
                place = re.escape(path).replace("/providers/", "/(?:[^/]+/[^/]+/)?providers/") + "/[^/]+"
                self.answer(200, {"value": [one for key, one in cloud.resources.items() if re.fullmatch(place, key)]})
            elif path in cloud.resources:
                self.answer(200, cloud.resources[path])
            else:
                self.refuse(404, "ResourceNotFound", path)

        def do_PUT(self) -> None:
            path, kind = self.look()
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            blobs = cloud.blobs()
            disks = [urlsplit(uri).path[1:] for uri in re.findall(r"https://[^\"]*\.vhd", body)]
            if self.fails(kind, "before"):
                return
            if kind != "images" and path.rsplit("/", 2)[0] not in cloud.resources:
                self.refuse(404, "ParentResourceNotFound", path)
            elif missing := [one for one in disks if one not in blobs]:
                self.refuse(400, "InvalidParameter", f"no such blob: {missing}")
            else:
                cloud.resource(path, **json.loads(body))
                cloud.disks.update((path, blobs[one]) for one in disks)
                if not self.fails(kind, "after"):
                    self.answer(201, cloud.resources[path])

        def do_DELETE(self) -> None:
            path, kind = self.look()
            if [one for one in cloud.resources if one.startswith(f"{path}/")]:
                self.refuse(409, "CannotDeleteResource", "it has nested resources")
            elif not self.fails(f"no {kind}", "before"):
                cloud.resources.pop(path, None)
                self.answer(200, {})

        def look(self) -> tuple[str, str | None]:
            """What is asked for, and its kind, such as galleries/images; None for a list."""
            said = jwt.decode(self.headers["Authorization"].split()[1], options={"verify_signature": False})
            assert said["aud"] == FOR_MANAGER, said
            path = urlsplit(self.path).path
            cloud.changes += [f"{self.command} {path}"] if self.command != "GET" else []
            parts = path.partition("/providers/")[2].split("/")
            return path, "/".join(parts[1::2]) if len(parts) % 2 else None

        def fails(self, kind: str | None, how: str) -> bool:
            if cloud.failing.get(str(kind)) != how:
                return False
            self.refuse(409, "Broken", "it broke")
            return True

        def refuse(self, status: int, code: str, message: str) -> None:
            self.answer(status, {"error": {"code": code, "message": message}})

    return Manager


def _identity(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    """The platform that hands out tokens."""

    class Identity(Answering):
        def do_GET(self) -> None:
            if self.headers.get("X-IDENTITY-HEADER") != HEADER:
                self.answer(401, {"statusCode": 401, "message": "who are you?"})
                return
            (resource,) = parse_qs(urlsplit(self.path).query)["resource"]
            # of its end the platform says what is right for a good one: else `az` would not use it
            made = token(cloud.audience or resource.rstrip("/"), cloud.lifetime)
            said = {"access_token": made, "token_type": "Bearer", "resource": resource}
            self.answer(200, {**said, "expires_on": str(int(time.time()) + HOUR)})

    return Identity


def _proxy(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Proxy(Answering):
        def do_CONNECT(self) -> None:
            host = self.path.removesuffix(":443")
            self.close_connection = True
            if host not in cloud.ports:
                self.answer(403, {})
                return
            with socket.create_connection(("127.0.0.1", cloud.ports[host])) as there:
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                self.carry(there, cloud.enough if host == STORAGE else None)

        def carry(self, there: socket.socket, enough: int | None) -> None:
            """Both ways until somebody closes, or no more than `enough` bytes towards the server."""
            carried = 0
            other = {self.connection: there, there: self.connection}
            while True:
                for one in select.select([*other], [], [])[0]:
                    data = one.recv(1 << 16)
                    if one is self.connection:
                        carried += len(data)
                    if not data or (enough is not None and carried > enough):
                        return
                    other[one].sendall(data)

    return Proxy
