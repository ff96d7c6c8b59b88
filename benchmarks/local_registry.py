"""A registry on loopback, which says what it was asked for: Debian's docker-registry."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dsvm.host import which
from dsvm.model import EngineError

ANSWERED = re.compile(r"http\.request\.method=(\w+).*http\.response\.written=(\d+)")
SECONDS = 30


@dataclass(frozen=True)
class LocalRegistry:
    """A registry at `host`, with everything in `folder`."""

    host: str
    folder: Path

    def stored(self) -> int:
        """Bytes of all blobs and manifests."""
        return sum(path.stat().st_size for path in (self.folder / "data").rglob("data") if path.is_file())

    def sent(self) -> int:
        """Bytes that it answered so far."""
        found = ANSWERED.finditer((self.folder / "log").read_text(errors="replace"))
        return sum(int(one[2]) for one in found if one[1] == "GET")


@contextmanager
def serving_registry(folder: Path) -> Iterator[LocalRegistry]:
    """A registry that keeps what it gets in `folder`. Raises EngineError where it does not start."""
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
    }
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([which("docker-registry"), "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        _wait(process, host, folder / "log")
        yield LocalRegistry(host, folder)
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], host: str, log: Path) -> None:
    name, _, port = host.partition(":")
    end = time.monotonic() + SECONDS
    while socket.socket().connect_ex((name, int(port))) != 0:
        if process.poll() is not None or time.monotonic() > end:
            raise EngineError(f"docker-registry does not answer at {host}: {log.read_text()[-300:]}")
        time.sleep(0.05)
