"""code-server starts, refuses a wrong password, and with the right one serves VS Code; it installs an extension."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.parse
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.client import Client
from lib.outcome import run_check
from lib.process import free_port, running

PASSWORD = "check-only"
FOLDERS = ["--user-data-dir=data", "--extensions-dir=extensions"]
ENVIRONMENT = {**os.environ, "PASSWORD": PASSWORD, "XDG_CONFIG_HOME": str(Path("config").resolve())}


def browser(url: str) -> Client:
    return Client(url, cookies=True, timeout=20)


@contextmanager
def server() -> Iterator[str]:
    """URL of a running code-server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = ["code-server", f"--bind-addr=127.0.0.1:{port}", "--auth=password", *FOLDERS]
    argv += ["--disable-telemetry", "--disable-update-check", str(Path.cwd())]
    with running(argv, env=ENVIRONMENT, timeout=60, ready=lambda: browser(url).get("/healthz")):
        yield url


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
    with server() as url:
        health = browser(url).get("/healthz")
        if health.status != 200:
            raise AssertionError(f"/healthz: {health.status}")
        if health.json()["status"] not in ("alive", "expired"):
            raise AssertionError(health.text)
        stranger = browser(url)
        page = stranger.get("/")
        if page.path != "/login":
            raise AssertionError(f"without a password: {page.status} at {page.path}")
        stranger.post("/login", {"password": "wrong"})
        page = stranger.get("/")
        if page.path != "/login":
            raise AssertionError(f"with a wrong password: {page.status} at {page.path}")
        owner = browser(url)
        owner.post("/login", {"password": PASSWORD})
        page = owner.get("/")
        if (page.status, page.path) != (200, "/"):
            raise AssertionError(f"with the right password: {page.status} at {page.path}")
        scripts = re.findall(r'src="([^"]+/workbench[.]js)"', page.text)
        if not scripts:
            raise AssertionError("the page loads no workbench")
        answer = owner.get(urllib.parse.urljoin("/", scripts[0]))
        if answer.status != 200:
            raise AssertionError(f"{scripts[0]}: {answer.status}")
        size = len(answer.text)
        if not (size > 1_000_000):
            raise AssertionError(f"{scripts[0]} has only {size} characters")
    return {"extensions": extensions, "workbench": size}


if __name__ == "__main__":
    run_check(__file__, check)
