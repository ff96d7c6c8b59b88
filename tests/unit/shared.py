"""What tests of several folders begin with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from server import Server

from dsvm.host import Host


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server on loopback, reached without the proxies of this host."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Server()
    yield server
    server.close()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on which nothing is configured."""
    home = tmp_path / "home"
    home.mkdir()
    return Host(environ={"HOME": str(home)}, etc=tmp_path / "etc")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeEngine]]:
    """Starts engines by name, each at a socket of its own, and one called `elsewhere` at a port.

    Nothing leads to them yet: no context, no DOCKER_HOST, no private engine.
    """
    # a socket's address may be 107 characters long, a test's folder more
    folder = Path(tempfile.mkdtemp(prefix="dsvm-unit-", dir="/tmp"))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder / "config"))
    monkeypatch.setenv("DSVM_ENGINE_DIR", str(folder / "private"))
    made: list[FakeEngine] = []

    def start(name: str = "one", **info: object) -> FakeEngine:
        socket = folder / name / "docker.sock"
        socket.parent.mkdir()
        made.append(FakeEngine(None if name == "elsewhere" else socket, **info))
        return made[-1]

    yield start
    for one in made:
        one.close()
    shutil.rmtree(folder, ignore_errors=True)
