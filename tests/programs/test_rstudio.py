"""How RStudio is started for one user, and that its checks notice when it lets in whom it should not."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ROOT / "manifests" / "files"
CLIENT = ROOT / "tests" / "image" / "probes" / "client.py"
CHECK = ROOT / "manifests" / "checks" / "rstudio_app.py"
TOKEN = "a token, 43 characters long at the least: 43"


@dataclass(frozen=True)
class Host:
    """Folders that the two programs find each other in, with rserver's stand-in."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {**kept, "PATH": f"{self.folder}:{os.environ['PATH']}", "TMPDIR": str(temporary)}

    def install(self, name: str, *changes: tuple[str, str]) -> None:
        text = (FILES / name).read_text()
        places = (
            ("/usr/lib/rstudio-server/bin/rserver", str(self.folder / "rserver")),
            ("/usr/local/libexec/", f"{self.folder}/"),
        )
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        for old, new in places:
            text = text.replace(old, new)
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def check(self) -> tuple[int, dict[str, object]]:
        """What the tool's own check finds."""
        scratch = self.folder / "scratch"
        scratch.mkdir()
        done = subprocess.run(
            [sys.executable, CHECK], cwd=scratch, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def machine(tmp_path: Path) -> Host:
    shutil.copy(Path(__file__).parents[1] / "unit" / "rserver.py", tmp_path / "rserver.py")
    (tmp_path / "rserver").write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/rserver.py "$@"\n')
    (tmp_path / "rserver").chmod(0o755)
    found = Host(tmp_path)
    found.install("dsvm-rstudio")
    found.install("dsvm-rstudio-login")
    return found


@pytest.fixture
def port(machine: Host) -> Iterator[int]:
    """The port of a running one whose password is TOKEN."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    env = {**machine.env, "RSTUDIO_PASSWORD": TOKEN, "RSTUDIO_PORT": str(number)}
    with subprocess.Popen(["dsvm-rstudio"], env=env, stdout=subprocess.DEVNULL) as server:
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            for _ in range(200):
                try:
                    opener.open(f"http://127.0.0.1:{number}/auth-sign-in", timeout=5)
                    break
                except OSError:
                    assert server.poll() is None
                    time.sleep(0.05)
            yield number
        finally:
            server.terminate()


def ask(port: int, who: str) -> dict[str, object]:
    path = "/auth-sign-in" if who == "health" else "/"
    env = {**os.environ, "DSVM_TOKEN": TOKEN}
    argv = [sys.executable, str(CLIENT), str(port), path, "user-form", who]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=True)
    return dict(json.loads(done.stdout))


def test_only_who_knows_the_password_is_let_in(machine: Host, port: int) -> None:
    assert ask(port, "health")["status"] == 200
    for who in ("nobody", "stranger"):
        answer = ask(port, who)
        assert answer["status"] == 302 and "sign-in" in str(answer["location"])
    # right after a stranger's try: it waits until it may try again
    assert ask(port, "owner")["status"] == 200
    (state,) = (machine.folder / "tmp").iterdir()
    assert state.stat().st_mode & 0o777 == 0o700, "keys and cookies are this user's alone"
    assert not [path for path in state.rglob("*") if path.is_file() and TOKEN in path.read_text()]


def test_the_check_passes_and_installing_is_verified(machine: Host) -> None:
    code, found = machine.check()
    assert (code, found["ok"]) == (0, True), found
    done = subprocess.run(
        ["dsvm-rstudio", "--verify-installation=1"], env={**machine.env, "RSTUDIO_PASSWORD": "x"}, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("dsvm-rstudio", ("    --auth-none=0 \\\n", ""), "without a password: 200"),
        ("dsvm-rstudio", ("unset RSTUDIO_PASSWORD\n", ""), "find the password in their environment"),
        ("dsvm-rstudio", ("    exit 2\n", "    RSTUDIO_PASSWORD=rstudio\n"), "without a password it"),
        ("dsvm-rstudio-login", ('[ "$(sha256sum)" = ', '[ x = x ] || [ "" = '), "wrong leads to /"),
        ("dsvm-rstudio-login", ('[ "$1" = "$(id --user --name)" ]', ":"), "nobody-here with check-only leads to /"),
    ],
)
def test_the_check_notices(machine: Host, name: str, change: tuple[str, str], what: str) -> None:
    """No authentication, a password in every session, one of its own, any password, any name."""
    machine.install(name, change)
    if "exit 2" in change[0]:
        # it goes on and serves, where the check expects an end
        machine.install(name, change, ("exec ", "exit 0; exec "))
    code, found = machine.check()
    assert (code, found["ok"]) == (1, False)
    assert what in str(found["reason"])
