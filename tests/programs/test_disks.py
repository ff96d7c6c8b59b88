"""Commands whose place to write to is full, of another kind, or not to be written: said, and nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_world import ROOT, SmallWorld

# workers of the tests share the folder of builds
VARIANT = f"disks-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
BUILD = ROOT / "build" / VARIANT
WHOLE = {"variant": VARIANT, "base": "debian-12", "accelerator": "cpu", "tools": ["tini"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    world = SmallWorld(tmp_path_factory.mktemp("world"))
    world.set_up()
    world.write(f"variants/{VARIANT}.yaml", WHOLE)
    done = world.invoke("lock", "--variant", VARIANT)
    assert done.returncode == 0, done.stderr
    return world


def remove_build() -> None:
    if BUILD.is_file():
        BUILD.unlink()
    shutil.rmtree(BUILD, ignore_errors=True)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    remove_build()
    yield
    remove_build()


def folder(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "mine").write_text("x")


def pipe(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")


# command, what stands in the way, made how, relative to the build folder
IN_THE_WAY: list[tuple[str, str, Callable[[Path], None]]] = [
    ("render", "Dockerfile", folder),
    ("render", "plan.json", folder),
    ("render", "files", file),
    ("render", "", file),
    ("fetch", "base.log", folder),
]


@pytest.mark.parametrize(("command", "name", "make"), IN_THE_WAY, ids=[f"{one[0]} {one[1]}" for one in IN_THE_WAY])
def test_something_of_another_kind_is_in_the_way(
    world: SmallWorld, command: str, name: str, make: Callable[[Path], None]
) -> None:
    place = BUILD / name if name else BUILD
    make(place)
    done = world.invoke(*command.split(), "--variant", VARIANT)
    assert done.returncode != 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    if "fetch" not in command or "base.log" in done.stderr:
        assert str(place) in done.stderr, done.stderr
    assert "DSVM_STORE" not in done.stderr
    assert not [*BUILD.parent.rglob("*.part")]
    assert (place / "mine").exists() if place.is_dir() else place.read_text() == "mine"


def test_a_pipe_in_the_place_of_a_lock_is_no_end(world: SmallWorld) -> None:
    lock = world.mine / f"locks/{VARIANT}.json"
    good = lock.read_bytes()
    lock.unlink()
    pipe(lock)
    try:
        for command in ("lock", "render"):
            done = world.invoke(command, "--variant", VARIANT)
            assert done.returncode == 3 and f"{lock}: cannot be read: no regular file" in done.stderr
    finally:
        lock.unlink()
        lock.write_bytes(good)


FULL = 'mount -t tmpfs -o size=4k none "$1" && head -c 4096 /dev/zero >"$1/full"; shift; exec "$@"'


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system that is full")
@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("lock --only pypi", "mine/locks"),
        ("schema", "mine/schema"),
        ("render", "build"),
        ("lock --only apt", "tmp"),
        ("fetch", "store"),
    ],
)
def test_a_full_disk(world: SmallWorld, command: str, place: str, tmp_path: Path) -> None:
    target = {"build": BUILD, "tmp": tmp_path, "store": tmp_path}.get(place) or world.folder / place
    target.mkdir(parents=True, exist_ok=True)
    lock = world.mine / f"locks/{VARIANT}.json"
    before = lock.read_bytes()
    env = {"tmp": {"TMPDIR": str(target)}, "store": {"DSVM_STORE": str(target)}}.get(place, {})
    variant = [] if command == "schema" else ["--variant", VARIANT]
    argv, environ = world.command([*command.split(), *variant], env)
    if place == "mine/locks":  # on a small disk there is no lock yet
        argv = [word for word in argv if word not in ("--only", "pypi")]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", FULL, "sh", str(target), *argv],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    assert str(target) in done.stderr, done.stderr
    assert "o space left" in done.stderr or "disk full" in done.stderr, done.stderr
    assert ("DSVM_STORE" in done.stderr) == (place == "store"), done.stderr
    assert lock.read_bytes() == before
    assert not [*world.mine.rglob("*.part")]
