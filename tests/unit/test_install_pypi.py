"""The script that makes Python environments takes turns with its likes."""

from __future__ import annotations

import multiprocessing
import os
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    loader = SourceFileLoader("install_pypi", str(ROOT / "scripts/image/install-pypi"))
    spec = spec_from_loader("install_pypi", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    monkeypatch.setattr(module, "CACHE", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    return module


def test_no_more_work_at_once_than_there_are_processors(script: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def work() -> None:
        with script.turn(), log.open("ab", buffering=0) as file:
            file.write(b"+")
            time.sleep(0.2)
            file.write(b"-")

    jobs = [multiprocessing.get_context("fork").Process(target=work) for _ in range(6)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(30)
    signs = log.read_text()
    assert signs.count("+") == signs.count("-") == 6
    running = [signs[:end].count("+") - signs[:end].count("-") for end in range(len(signs) + 1)]
    assert max(running) == 2


def test_who_is_killed_gives_its_turn_back(script: ModuleType, tmp_path: Path) -> None:
    def sleep() -> None:
        with script.turn():
            (tmp_path / str(os.getpid())).touch()
            time.sleep(60)

    jobs = [multiprocessing.get_context("fork").Process(target=sleep) for _ in range(2)]
    for job in jobs:
        job.start()
    while not all((tmp_path / str(job.pid)).exists() for job in jobs):
        time.sleep(0.05)
    jobs[0].kill()
    with script.turn():
        assert jobs[1].is_alive()
    jobs[1].kill()
    for job in jobs:
        job.join()
