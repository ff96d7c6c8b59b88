from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server

from dsvm.machine import Machine


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server on loopback, reached without the proxies of this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Server()
    yield server
    server.close()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which nothing is configured."""
    home = tmp_path / "home"
    home.mkdir()
    return Machine(environ={"HOME": str(home)}, etc=tmp_path / "etc")
