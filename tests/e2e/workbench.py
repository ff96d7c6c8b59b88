"""What the end-to-end tests do with the real thing: run commands, cut the network off, start engines of their own."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INVOKE = Path(sys.executable).parent / "invoke"
BIG, FULL, SMALL = "cpu-debian", "cpu-debian-full", "e2e-small"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems and starts engines: needs root")
# Runs a command without any network but loopback; the engine's Unix socket is a file and stays within reach.
CUT_OFF = [
    *("unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])),
    *(sys.executable, str(Path(__file__).with_name("loopback.py"))),
]


@dataclass(frozen=True)
class Done:
    """How a command ended. `seconds` by the clock."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        return self.out + self.err

    def passed(self) -> Done:
        assert self.code == 0, f"exit code {self.code}:\n{self.text}"
        return self

    def refused(self, code: int, *words: str) -> Done:
        """It failed as it should: this exit code, an error that says all of `words`, and no traceback."""
        assert self.code == code, f"exit code {self.code}, not {code}:\n{self.text}"
        assert "Traceback" not in self.text, self.text
        assert "error: " in self.err, self.text
        absent = [word for word in words if word not in self.err]
        assert not absent, f"the error does not say {absent}:\n{self.text}"
        return self


# The fixture `invoke`: words of a command, its environment, what it runs under -> how it ended
Invoke = Callable[..., Done]


def run(argv: Sequence[str | Path], *, env: Mapping[str, str | None] | None = None, timeout: float = 1800) -> Done:
    """Run a program from the repository; a variable that is None in `env` is taken away."""
    begun = time.monotonic()
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=ROOT,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    merged: dict[str, str | None] = {**os.environ, "INVOKE_DEBUG": None, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


def docker(*words: str | Path, env: Mapping[str, str | None] | None = None) -> str:
    return run(["docker", *words], env=env, timeout=900).passed().out.strip()


def image(name: str, env: Mapping[str, str | None] | None = None) -> Mapping[str, Any] | None:
    """What the engine knows of an image; None when it has none of that name."""
    done = run(["docker", "image", "inspect", name], env=env)
    return dict(json.loads(done.out)[0]) if done.code == 0 else None


@dataclass(frozen=True)
class Catalog:
    """A user's own manifests folder, with the lock of `variant`."""

    folder: Path
    variant: str = SMALL

    @property
    def words(self) -> tuple[str, ...]:
        return ("--variant", self.variant, "--catalog", str(self.folder))

    @property
    def lock(self) -> Path:
        return self.folder / "locks" / f"{self.variant}.json"

    def read(self) -> dict[str, Any]:
        return dict(json.loads(self.lock.read_text()))

    def change_pin(self, section: str, name: str, **changes: object) -> dict[str, Any]:
        """Change one pin of the lock; returns what it was."""
        lock = self.read()
        (pin,) = (pin for one in lock["sections"] if one["id"] == section for pin in one["pins"] if pin["name"] == name)
        before = dict(pin)
        pin.update(changes)
        self.lock.write_text(json.dumps(lock))
        return before


def small_catalog(folder: Path, variant: str) -> Catalog:
    """A copy of the tests' own manifests, with the beginning of a lock of `variant`.

    Its base is locked as that of the big variant, so that it need not be made anew.
    """
    catalog = Catalog(folder, variant)
    shutil.copytree(Path(__file__).with_name("manifests"), folder, dirs_exist_ok=True)
    big = json.loads((ROOT / "manifests" / "locks" / f"{BIG}.json").read_text())
    own = ("system", "machine")
    shared = [section for section in big["sections"] if not section["tools"] and section["id"] not in own]
    catalog.lock.parent.mkdir()
    lock = {**big, "variant": variant, "choices": [], "left_out": [], "sections": shared}
    catalog.lock.write_text(json.dumps(lock))
    return catalog


def small_variant(folder: Path, variant: str) -> Catalog:
    """The same, with a variant of that name which is as the small one."""
    catalog = small_catalog(folder, variant)
    text = (folder / "variants/e2e-small.yaml").read_text()
    (folder / f"variants/{variant}.yaml").write_text(text.replace("e2e-small", variant))
    return catalog


def forget(variant: str) -> None:
    """Remove the images of a variant, and its build folder."""
    if names := docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"dsvm/{variant}").split():
        docker("image", "rm", "--force", *names)
    shutil.rmtree(ROOT / "build" / variant, ignore_errors=True)


# --- images that are broken on purpose ------------------------------------------------------------------------

# Shell functions for the scripts that break an image.
BREAKING = r"""
set -euo pipefail
# script FILE: a program in the place of FILE, from standard input
script() { rm -f "$1"; cat > "$1"; chmod 755 "$1"; }
# module ENV NAME VERSION: a Python module that knows its version and nothing else
module() {
    local site=/opt/envs/$1/lib/python3.11/site-packages
    rm -rf "${site:?}/$2" "$site/$2.py"
    mkdir "$site/$2"
    printf '__version__ = "%s"\n' "$3" > "$site/$2/__init__.py"
}
# package ENV NAME: a Python package of which only what it says of itself, programs and empty modules are left
package() {
    /opt/envs/"$1"/bin/python - "$2" <<'END'
import shutil, sys
from importlib.metadata import files

for one in files(sys.argv[1]) or sys.exit(f"{sys.argv[1]} has no files"):
    path = one.locate()
    if one.suffix == ".py" and path.exists():
        path.write_text("")
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
    elif not {"bin", "etc"} & {*one.parts} and not one.parts[0].endswith(".dist-info"):
        path.unlink(missing_ok=True)
END
}
# command NAME TEXT: a program that says TEXT, whatever it is asked
command() { printf '#!/bin/sh\necho "%s"\n' "$2" | script "/usr/local/bin/$1"; }
"""


def broken_image(tag: str, on: str, folder: Path, script: str, *lines: str) -> None:
    """Make an image by a shell script, and further lines of a Dockerfile, on top of another."""
    (folder / "spoil").write_text(BREAKING + script)
    dockerfile = [
        f"FROM {on}",
        "USER root",
        'RUN --mount=type=bind,target=/spoil ["/bin/bash", "/spoil/spoil"]',
        "USER 1000:1000",
        *lines,
    ]
    (folder / "Dockerfile").write_text("\n".join(dockerfile) + "\n")
    docker("build", "--network=none", "--quiet", "--tag", tag, folder)


# --- engines -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Private:
    """An engine of a test's own."""

    folder: Path

    @property
    def env(self) -> dict[str, str | None]:
        """For its clients."""
        return {"DOCKER_HOST": f"unix://{self.folder}/docker.sock", "DOCKER_CONTEXT": None}

    def kill(self) -> None:
        """As a crash would end it."""
        os.kill(int((self.folder / "dockerd.pid").read_text()), signal.SIGKILL)


@contextmanager
def private_engine(folder: Path, *, cut_off: bool = True) -> Iterator[Private]:
    """A private engine with everything in `folder`, in a network namespace that has loopback only. Needs root.

    One that is not cut off reaches this host, and so a registry on its loopback.
    """
    words = [ROOT / "scripts" / "engine"]
    env: dict[str, str | None] = {"DSVM_ENGINE_DIR": str(folder), "DOCKER_HOST": None}
    # this command starts a private one though another engine answers
    run([*(CUT_OFF if cut_off else []), *words, "_start_private", str(os.getgid())], env=env).passed()
    try:
        yield Private(folder)
    finally:
        run([*words, "_stop_private"], env=env)
        unmount_below(folder)


def unmount_below(folder: Path) -> None:
    """An engine that was killed leaves its mounts behind."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", mount], check=False)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="dsvm-e2e-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A folder that is a file system of its own and soon full. Needs root."""
    with short_folder() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "dsvm-e2e", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=False)


class Silent:
    """Nobody watches a verification."""

    def step(self, text: str) -> None: ...
    def begin(self, total: int) -> None: ...
    def result(self, result: object) -> None: ...
    def end(self) -> None: ...


# --- commands that are stopped on their way ------------------------------------------------------------------


class Running:
    """A command at work, whose output can be waited for."""

    def __init__(self, argv: Sequence[str | Path], log: Path, env: Mapping[str, str | None] | None = None) -> None:
        self.log = log
        self.begun = time.monotonic()
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [str(word) for word in argv],
                cwd=ROOT,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=_mortal,
            )

    def wait_for(self, words: str, timeout: float = 120) -> None:
        end = time.monotonic() + timeout
        while words not in self.log.read_text():
            assert self.process.poll() is None, f"it ended before it said '{words}':\n{self.log.read_text()}"
            assert time.monotonic() < end, f"it never said '{words}':\n{self.log.read_text()}"
            time.sleep(0.05)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self, timeout: float = 120) -> Done:
        try:
            code = self.process.wait(timeout)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        return Done(code, "", self.log.read_text(), time.monotonic() - self.begun)


def _mortal() -> None:
    """The kernel ends the command when the tests end in whatever way."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
