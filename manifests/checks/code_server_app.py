"""code-server starts, refuses a wrong password, and with the right one serves VS Code; it installs an extension."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.cookiejar import CookieJar
from pathlib import Path

PASSWORD = "check-only"
FOLDERS = ["--user-data-dir=data", "--extensions-dir=extensions"]
ENVIRONMENT = {**os.environ, "PASSWORD": PASSWORD, "XDG_CONFIG_HOME": str(Path("config").resolve())}


class Client:
    """A browser with cookies of its own."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)

    def get(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, the path where redirects ended, and text; with a `form` it is a POST."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        url = urllib.parse.urljoin(self.root, path)
        try:
            with self.opener.open(url, data, timeout=20) as answer:
                return answer.status, urllib.parse.urlsplit(answer.url).path, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, urllib.parse.urlsplit(error.url).path, error.read().decode()


@contextmanager
def server() -> Iterator[int]:
    """Port of a running code-server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = ["code-server", f"--bind-addr=127.0.0.1:{port}", "--auth=password", *FOLDERS]
    argv += ["--disable-telemetry", "--disable-update-check", str(Path.cwd())]
    with (
        Path("server.log").open("w") as log,
        subprocess.Popen(argv, stdout=log, stderr=log, env=ENVIRONMENT) as process,
    ):
        try:
            for _ in range(240):
                lines = Path("server.log").read_text().strip().splitlines()
                if process.poll() is not None:
                    raise AssertionError(f"it ended: {lines[-1:]}")
                with suppress(OSError):
                    Client(port).get("/healthz")
                    break
                time.sleep(0.25)
            yield port
        finally:
            process.terminate()


def extension() -> Path:
    """The smallest extension there is."""
    about = {"name": "nothing", "publisher": "check", "version": "1.2.3", "engines": {"vscode": "^1.60.0"}}
    path = Path("nothing.vsix")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("extension/package.json", json.dumps(about))
    return path


def code_server(*words: str) -> str:
    argv = ["code-server", *FOLDERS, *words]
    done = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{words[0]}: {(done.stdout + done.stderr).strip().splitlines()[-1:]}")
    return done.stdout


def check() -> dict[str, object]:
    code_server("--install-extension", str(extension()))
    extensions = [line for line in code_server("--list-extensions", "--show-versions").split() if "@" in line]
    if extensions != ["check.nothing@1.2.3"]:
        raise AssertionError(f"extensions {extensions}")
    with server() as port:
        status, _, text = Client(port).get("/healthz")
        if status != 200:
            raise AssertionError(f"/healthz: {status}")
        if json.loads(text)["status"] not in ("alive", "expired"):
            raise AssertionError(text)
        stranger = Client(port)
        status, path, _ = stranger.get("/")
        if path != "/login":
            raise AssertionError(f"without a password: {status} at {path}")
        stranger.get("/login", {"password": "wrong"})
        status, path, _ = stranger.get("/")
        if path != "/login":
            raise AssertionError(f"with a wrong password: {status} at {path}")
        owner = Client(port)
        owner.get("/login", {"password": PASSWORD})
        status, path, page = owner.get("/")
        if (status, path) != (200, "/"):
            raise AssertionError(f"with the right password: {status} at {path}")
        scripts = re.findall(r'src="([^"]+/workbench[.]js)"', page)
        if not scripts:
            raise AssertionError("the page loads no workbench")
        status, _, text = owner.get(urllib.parse.urljoin("/", scripts[0]))
        if status != 200:
            raise AssertionError(f"{scripts[0]}: {status}")
        if not (len(text) > 1_000_000):
            raise AssertionError(f"{scripts[0]} has only {len(text)} characters")
    return {"extensions": extensions, "workbench": len(text)}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "code_server_app", **result}))
    sys.exit(0 if result["ok"] else 1)
