"""JupyterLab starts, refuses a wrong token and serves its application."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOKEN = "only-for-this-check"


def get(url: str, *, token: str = TOKEN, data: bytes | None = None) -> tuple[int, str]:
    """Status and text of an answer; with `data` the request is a POST."""
    request = urllib.request.Request(url, data, {"Authorization": f"token {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def answers(url: str) -> bool:
    try:
        return get(url)[0] == 200
    except urllib.error.URLError:
        return False


@contextmanager
def server(app: str) -> Iterator[str]:
    """URL of a Jupyter application that serves the current folder until the block ends."""
    argv = [sys.executable, "-m", app, "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    env = {**os.environ, "JUPYTER_TOKEN": TOKEN, "JUPYTER_RUNTIME_DIR": str(Path.cwd())}
    log = Path("server.log")
    with log.open("w") as output, subprocess.Popen(argv, stdout=output, stderr=output, env=env) as process:
        try:
            deadline = time.monotonic() + 120
            info = ""
            while not info.rstrip().endswith("}"):
                if process.poll() is not None:
                    raise AssertionError(f"it ended: {log.read_text()[-300:]}")
                if not (time.monotonic() < deadline):
                    raise AssertionError(f"it does not start: {log.read_text()[-300:]}")
                time.sleep(0.2)
                info = "".join(path.read_text() for path in Path.cwd().glob("jpserver-*.json"))
            url = json.loads(info)["url"].rstrip("/")
            while not answers(f"{url}/api"):  # the file stands a moment before the door opens
                if not (time.monotonic() < deadline):
                    raise AssertionError(f"it does not answer: {log.read_text()[-300:]}")
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def check() -> dict[str, object]:
    import jupyterlab

    with server("jupyterlab") as url:
        status, _ = get(f"{url}/api/contents", token="wrong")
        if status != 403:
            raise AssertionError(f"a wrong token got {status}")
        status, page = get(f"{url}/lab")
        if status != 200:
            raise AssertionError(f"/lab: {status}")
        scripts = re.findall(r'src="([^"]+[.]js[^"]*)"', page)
        if not scripts:
            raise AssertionError("the page loads no application")
        size = 0
        for script in scripts:
            status, text = get(f"{url}{script}")
            if status != 200:
                raise AssertionError(f"{script}: {status}")
            size += len(text)
        kernels = sorted(json.loads(get(f"{url}/api/kernelspecs")[1])["kernelspecs"])
        if "python3" not in kernels:
            raise AssertionError(f"kernels {kernels}")
    return {"version": jupyterlab.__version__, "characters": size, "kernels": kernels}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "jupyterlab_app", **result}))
    sys.exit(0 if result["ok"] else 1)
