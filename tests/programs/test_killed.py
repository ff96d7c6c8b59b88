"""Runs that are killed: what they started ends with them, and what they left goes with the next run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server import Resource, Server
from small_world import SmallWorld, tool

from dsvm.host import scratch
from dsvm.host import scratch_folders as scratches
from dsvm.host.scratch_folders import sweep
from dsvm.store import Store

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 30.0


def until(true: Callable[[], object]) -> None:
    give_up = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.02)


def program(text: str, *words: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", text, *map(str, words)], cwd=ROOT, stdin=subprocess.DEVNULL)


def killed(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def alive(word: str) -> list[int]:
    """Processes that have `word` on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


# --- folders -----------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from dsvm.host import scratch
with scratch("test", Path(sys.argv[1])) as folder:
    (folder / "half").mkdir()
    (folder / "half/made").touch()
    time.sleep(1000)
"""


def half_made(folder: Path) -> list[Path]:
    return [*folder.glob("*/half/made")]


def test_a_folder_goes_with_its_block(tmp_path: Path) -> None:
    with scratch("test", tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "x").touch()
    assert [*tmp_path.iterdir()] == []


def test_the_next_run_removes_what_a_killed_one_left_and_nothing_of_one_that_goes_on(tmp_path: Path) -> None:
    first, second = program(HOLD, tmp_path), program(HOLD, tmp_path)
    try:
        until(lambda: len(half_made(tmp_path)) == 2)
        killed(first)
        with scratch("test", tmp_path) as mine:
            assert {path.parent for path in tmp_path.glob("*/half")} and mine.is_dir()
            assert len(half_made(tmp_path)) == 1
        assert second.poll() is None
    finally:
        killed(first)
        killed(second)
    assert len(sweep(tmp_path)) == 1
    assert [*tmp_path.iterdir()] == []


def test_what_something_is_mounted_in_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / f"{scratches.MARK}{os.getuid()}-base-x"
    (left / "root/proc").mkdir(parents=True)
    (tmp_path / "mountinfo").write_text(f"36 35 0:5 / {left}/root/proc rw - proc proc rw\n")
    monkeypatch.setattr(scratches, "MOUNTS", tmp_path / "mountinfo")
    assert sweep(tmp_path) == []
    (tmp_path / "mountinfo").write_text("")
    assert sweep(tmp_path) == [left]


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / f"{scratches.MARK}{os.getuid()}-x").symlink_to(tmp_path / "mine")
    assert sweep(tmp_path) == []
    assert (tmp_path / "mine").is_dir()


# --- programs ----------------------------------------------------------------------------------------------

RUN = """
import sys
from dsvm.host import run, stream
how, word, folder = sys.argv[1:]
shell = ["bash", "-c", f"touch {folder}/there; exec -a {word} sleep 1000"]
if how == "run":
    run(shell)
elif how == "stream":
    with stream(shell) as (lines, wait):
        wait()
else:
    mount = f"mount -t tmpfs none {folder}/inside; touch {folder}/inside/x; "
    run(["bash", "-c", f"{mount} (exec -a {word} sleep 1000) & touch {folder}/there; wait"], apart=True)
"""


@pytest.mark.parametrize("how", ["run", "stream"])
def test_what_a_run_started_ends_with_it(tmp_path: Path, how: str) -> None:
    word = f"dsvm-test-{os.getpid()}-{how}"
    process = program(RUN, how, word, tmp_path)
    until((tmp_path / "there").exists)
    until(lambda: alive(word))
    killed(process)
    until(lambda: not alive(word))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_is_mounted_for_a_base_goes_with_its_run(tmp_path: Path) -> None:
    word = f"dsvm-test-{os.getpid()}-base"
    (tmp_path / "inside").mkdir()
    process = program(RUN, "namespaces", word, tmp_path)
    until((tmp_path / "there").exists)
    until(lambda: alive(word))
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text(), "nobody else sees it"
    killed(process)
    until(lambda: not alive(word))
    assert [*(tmp_path / "inside").iterdir()] == []


# --- commands ----------------------------------------------------------------------------------------------


VARIANT = {"variant": "killed", "base": "debian-12", "accelerator": "cpu", "tools": ["tini"]}


@pytest.fixture
def world(tmp_path: Path) -> SmallWorld:
    world = SmallWorld(tmp_path / "world")
    world.folder.mkdir()
    world.set_up()
    world.write("variants/killed.yaml", {**VARIANT, "tools": ["tini", "slow"]})
    return world


@pytest.fixture
def hanging(server: Server) -> Iterator[str]:
    """A file that never comes."""
    resource = Resource(b"x" * 1000, stall=10)
    yield server.add("/slow.tar.gz", resource)
    resource.go.set()


def test_a_lock_that_is_killed_leaves_nothing_for_the_next(world: SmallWorld, hanging: str, tmp_path: Path) -> None:
    source = {"url": [{"url": hanging, "version": "1", "to": "/opt/slow"}]}
    world.write("tools/slow.yaml", tool("slow", source))
    places = tmp_path / "tmp"
    places.mkdir()
    process = world.begin("lock", "--variant", "killed", env={"TMPDIR": str(places)})
    until(lambda: any(places.glob(f"{scratches.MARK}*")))
    time.sleep(1)
    killed(process)
    left = [*places.iterdir()]
    assert left
    world.write("variants/killed.yaml", VARIANT)
    done = world.invoke("lock", "--variant", "killed", env={"TMPDIR": str(places)})
    assert done.returncode == 0, done.stderr
    assert [*places.iterdir()] == []


def test_what_was_half_made_in_a_store_goes_when_nobody_uses_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    part = store.temporary()
    (store.root / "bases/x.part").mkdir(parents=True)
    store.sweep()
    assert not part.exists()
    assert [*(store.root / "bases").iterdir()] == []
