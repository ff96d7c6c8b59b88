"""Jupyter applications: started with a token, and asked."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.client import Client, Response
from lib.process import running

TOKEN = "only-for-this-check"


@contextmanager
def application(module: str) -> Iterator[Client]:
    """Client, with the token, of a Jupyter application that serves the current folder until the block ends."""
    argv = [sys.executable, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    env = {**os.environ, "JUPYTER_TOKEN": TOKEN, "JUPYTER_RUNTIME_DIR": str(Path.cwd())}
    # the file stands a moment before the door opens
    with running(argv, env=env, timeout=120, ready=lambda: _client().get("/api").status == 200):
        yield _client()


def _client() -> Client:
    """Client of the application that has written its file into the current folder; OSError while there is none."""
    info = "".join(path.read_text() for path in Path.cwd().glob("jpserver-*.json"))
    if not info.rstrip().endswith("}"):
        raise FileNotFoundError("no whole jpserver-*.json")
    return Client(json.loads(info)["url"], token=TOKEN)


def kernels(answer: Response) -> list[str]:
    """Names of all kernels, from the answer of `api/kernelspecs`; AssertionError without one named `python3`."""
    found = sorted(answer.json()["kernelspecs"])
    if "python3" not in found:
        raise AssertionError(f"kernels {found}")
    return found


def check_application(module: str, page: str) -> dict[str, object]:
    """Start an application, and ask for its page at the path `page` and all scripts that this loads.

    Returns facts. Raises AssertionError when one is not served, a wrong token is accepted, or no kernel is `python3`.
    """
    with application(module) as client:
        status = client.get("/api/contents", token="wrong").status
        if status != 403:
            raise AssertionError(f"a wrong token got {status}")
        answer = client.get(page)
        if answer.status != 200:
            raise AssertionError(f"{page}: {answer.status}")
        scripts = re.findall(r'src="([^"]+[.]js[^"]*)"', answer.text)
        if not scripts:
            raise AssertionError("the page loads no application")
        size = 0
        for script in scripts:
            answer = client.get(script)
            if answer.status != 200:
                raise AssertionError(f"{script}: {answer.status}")
            size += len(answer.text)
        return {"characters": size, "kernels": kernels(client.get("/api/kernelspecs"))}
