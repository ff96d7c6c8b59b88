"""Builders that buildx knows: which of them may build for an engine, and what is said of the others."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_engine import FakeEngine

from dsvm.container.buildkit import driver
from dsvm.host import Engine, find_engine
from dsvm.model import EngineError


def docker(*words: str) -> None:
    subprocess.run(["docker", *words], check=True, capture_output=True, timeout=60)


@pytest.fixture
def engine(engines: Callable[..., FakeEngine], monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engines().socket}")
    return find_engine()


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders that answer, as buildx 0.13.1 lists them; all else is asked of the real docker."""
    listed = [
        {"Name": "boxed", "Driver": "docker-container", "Nodes": [{"Endpoint": "same", "Status": "inactive"}]},
        {"Name": "cluster", "Driver": "remote", "Nodes": [{"Endpoint": "tcp://10.0.0.9:1234", "Status": "running"}]},
        *({"Name": n, "Driver": "docker", "Nodes": [{"Endpoint": n}]} for n in ("default", "other", "same")),
    ]
    lines = "\n".join(map(json.dumps, listed))
    fake = tmp_path / "bin/docker"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n[ \"$1 $2\" = 'buildx ls' ] || exec {shutil.which('docker')} \"$@\"\necho '{lines}'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=":")


@pytest.mark.usefixtures("answering")
def test_images_of_these_come_here(engine: Engine) -> None:
    docker("context", "create", "same", "--docker", f"host={engine.host}")
    found = [driver(name, engine) for name in ("default", "same", "boxed", "cluster")]
    assert found == ["docker", "docker", "docker-container", "remote"]


@pytest.mark.usefixtures("answering")
def test_another_engine_would_keep_what_it_builds(engine: Engine) -> None:
    docker("context", "create", "other", "--docker", "host=tcp://10.0.0.9:2375")
    with pytest.raises(EngineError, match=r"builder 'other' is the engine at tcp://10\.0\.0\.9:2375") as caught:
        driver("other", engine)
    assert "DOCKER_HOST=tcp://10.0.0.9:2375" in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["context", "remote"])
def test_one_that_does_not_answer_is_named_with_its_address(engine: Engine, tmp_path: Path, kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        if kind == "context":
            docker("context", "create", "gone", "--docker", f"host={address}")
        else:
            docker("buildx", "create", "--name", "gone", "--driver", "remote", address)
        with pytest.raises(EngineError, match=re.escape(f"builder 'gone' does not answer at {address}")):
            driver("gone", engine)


def test_one_that_there_is_not(engine: Engine) -> None:
    with pytest.raises(EngineError, match="no builder 'nonsense'"):
        driver("nonsense", engine)
