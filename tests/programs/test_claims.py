"""Two runs at once: one waits for the other, and nobody cleans what is in use. Real processes, real locks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsvm.host import claims

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from dsvm.host import claims
sys.argv = ["invoke", "build", "--variant", "mine"]
with claims.of_store(Path({root!r})), claims.of_variant(Path({root!r}), "mine", print):
    print("has it", flush=True)
    time.sleep({seconds})
"""


def holding(root: Path, seconds: float) -> subprocess.Popen[str]:
    code = HOLD.format(root=str(root), seconds=seconds)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "has it\n"
    return process


def test_the_second_run_waits_and_says_for_whom(tmp_path: Path) -> None:
    said: list[str] = []
    with holding(tmp_path, 1) as first, claims.of_variant(tmp_path, "mine", said.append) as waited:
        assert waited
        assert first.wait(timeout=10) == 0, "the first one was done"
    (line,) = said
    assert line.startswith(f"mine: waiting for process {first.pid} (invoke build --variant mine), at it since ")


def test_other_variants_wait_for_nobody(tmp_path: Path) -> None:
    with holding(tmp_path, 60) as first:
        with claims.of_variant(tmp_path, "other", print) as waited:
            assert not waited
        first.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_claim_goes_with_its_process(tmp_path: Path, how: signal.Signals) -> None:
    with holding(tmp_path, 60) as first:
        first.send_signal(how)
        first.wait(timeout=10)
        with claims.of_variant(tmp_path, "mine", print) as waited:
            assert not waited
        with claims.to_clean(tmp_path) as alone:
            assert alone


def test_a_store_in_use_is_not_cleaned(tmp_path: Path) -> None:
    with holding(tmp_path, 60) as first:
        with claims.to_clean(tmp_path) as alone:
            assert not alone
        with claims.if_free(tmp_path, "mine") as who:
            assert who is not None and f"process {first.pid}" in who
        with claims.if_free(tmp_path, "other") as who:
            assert who is None
        first.kill()


def test_what_stands_in_a_claim_is_not_trusted(tmp_path: Path) -> None:
    with holding(tmp_path, 60) as first:
        path = tmp_path / "claims/variant-mine"
        for text in ("", "[]", '{"pid": "x"}', "\\ud800", "{" * 100_000):
            path.write_text(text)
            with claims.if_free(tmp_path, "mine") as who:
                assert who == "another process"
        first.kill()


def test_whoever_begins_while_a_store_is_cleaned_waits(tmp_path: Path) -> None:
    with claims.to_clean(tmp_path) as alone:
        assert alone
        code = HOLD.format(root=str(tmp_path), seconds=0)
        late = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        time.sleep(0.7)
        assert late.poll() is None
    assert late.communicate(timeout=10)[0] == "has it\n"


def test_cleaning_takes_nothing_that_is_in_use(tmp_path: Path) -> None:
    """In a checkout of its own, so that `build` is its own too."""
    checkout = tmp_path / "checkout"
    for name in ("dsvm", "manifests", "templates", "scripts"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "tasks.py", checkout / "tasks.py")
    for name in ("mine", "other"):
        (checkout / "build" / name).mkdir(parents=True)
        (checkout / "build" / name / "Dockerfile").touch()
    remembered = checkout / "build/mine/history/20261127T101500000000.json"
    remembered.parent.mkdir()
    remembered.touch()
    blob = tmp_path / "store/blobs/ab" / ("ab" * 32)
    blob.parent.mkdir(parents=True)
    blob.touch()
    env = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path),
        "DSVM_STORE": str(tmp_path / "store"),
        "DSVM_ENGINE_DIR": "/nowhere",
        "DOCKER_HOST": "unix:///nowhere",
        "PYTHONPATH": str(checkout),
    }

    def clean(*words: str) -> str:
        argv = [sys.executable, "-m", "invoke", "clean", *words]
        done = subprocess.run(argv, cwd=checkout, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "dsvm").mkdir()
    with holding(tmp_path / "dsvm", 60) as variant, holding(tmp_path / "store", 60) as store:
        said = clean()
        assert "mine: its build folder and image stay: process" in said
        assert "another run is using it, so all its artefacts stay" in said
        assert (checkout / "build/mine/Dockerfile").is_file() and not (checkout / "build/other").exists()
        assert blob.is_file()
        variant.kill()
        store.kill()
    clean()
    assert not (checkout / "build/mine/Dockerfile").exists() and not blob.exists()
    assert remembered.is_file(), "what is remembered of builds is small, and cannot be made again"
    clean("--everything")
    assert not (checkout / "build/mine").exists()
