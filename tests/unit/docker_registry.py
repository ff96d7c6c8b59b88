"""A real registry on loopback: Debian's docker-registry, of which nothing needs to be installed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest


@cache
def program() -> Path:
    """The installed one, or that of the distribution's package, which would start a service of its own."""
    if found := shutil.which("docker-registry"):
        return Path(found)
    folder = Path(mkdtemp(prefix="dsvm-test-registry-"))
    done = subprocess.run(["apt-get", "download", "docker-registry"], cwd=folder, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no docker-registry package within reach: {done.stderr.decode()[-200:]}")
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder / "usr/bin/docker-registry"


@dataclass
class DockerRegistry:
    """The program, with everything in `folder`; it keeps its port when it is started again."""

    folder: Path
    # sections of its configuration, on top of ours
    more: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "registry.log"

    def start(self, **storage: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        config = {
            "version": 0.1,
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "data")},
                "delete": {"enabled": True},
                **storage,
            },
            "http": {"addr": self.host},
            **self.more,
        }
        path = self.folder / "config.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([program(), "serve", path], stdout=log, stderr=log)
        end = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", self.port)) != 0:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def restart(self, **storage: Any) -> None:
        self.kill()
        self.start(**storage)


@contextmanager
def docker_registry(folder: Path, **more: Any) -> Iterator[DockerRegistry]:
    one = DockerRegistry(folder, more)
    one.start()
    try:
        yield one
    finally:
        one.kill()
