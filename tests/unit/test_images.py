"""Images that run: whether what they serve is reached on this host."""

from __future__ import annotations

import socket
from pathlib import Path, PurePosixPath
from threading import Thread
from urllib.parse import urlsplit

import pytest
from server import Server

from dsvm.container.running import Mount
from dsvm.host import answers, free_port
from dsvm.model import InputError


def test_a_server_answers(server: Server) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    assert answers(port, timeout=5)


def test_nobody_answers() -> None:
    assert not answers(free_port(0), timeout=0)


def test_whoever_only_takes_connections_does_not_answer() -> None:
    """As an engine's proxy does when the container behind it is out of reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = Thread(target=hang_up)
        thread.start()
        assert not answers(listener.getsockname()[1], timeout=0)
        thread.join()


def test_a_folder_comes_to_work_or_where_it_is_told(tmp_path: Path) -> None:
    assert Mount.of(str(tmp_path)) == Mount(tmp_path, PurePosixPath("/home/ds/work"))
    assert Mount.of(f"{tmp_path}:/data/in") == Mount(tmp_path, PurePosixPath("/data/in"))
    option = {"Target": "/data", "Source": str(tmp_path), "Type": "bind", "ReadOnly": False}
    assert Mount.of(f"{tmp_path}:/data").option() == option
    (tmp_path / "with:colon").mkdir()
    assert Mount.of(f"{tmp_path}/with:colon").source == tmp_path / "with:colon"


@pytest.mark.parametrize("text", ["gone", "gone:/data", ".:/", ".:/home/ds", ".:/a/../.."])
def test_a_folder_that_cannot_be_mounted(text: str) -> None:
    with pytest.raises(InputError, match="--mount"):
        Mount.of(text)
