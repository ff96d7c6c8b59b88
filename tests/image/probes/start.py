"""Do what dsvm-start promises, with small services of our own beside those of the image: argv are what to try
(command, refusals, services, ends, orphans) and how many times as long as usual everything may take.

Prints what is not as promised, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

START = "/usr/local/bin/dsvm-start"
TOKEN = "correct-horse-battery"
SLOWNESS = int(sys.argv[2])
PATIENCE = 30 * SLOWNESS  # seconds
GRACE = 8 * SLOWNESS  # of dsvm-start's own
# Serves /health with the status in a file, and starts a program of its own; argv: port, folder, what SIGTERM does
SERVER = """
import http.server, json, os, pathlib, signal, subprocess, sys
port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
if sys.argv[3] == "stays":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int((folder / "status").read_text()))
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
print("my password is", os.environ["SECRET"], flush=True)
child = subprocess.Popen(["sleep", "1000"])
seen = {"environment": dict(os.environ), "words": sys.argv, "pids": [os.getpid(), child.pid]}
(folder / "part").write_text(json.dumps(seen))
(folder / "part").rename(folder / "seen")
server.serve_forever()
"""

faults: list[str] = []
wrong = faults.append


def until(true: Callable[[], Any], seconds: float = PATIENCE) -> bool:
    end = time.monotonic() + seconds
    while not (value := true()) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(value)


def alive(pid: int) -> bool:
    """Whether there is a process that has not ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


class Room:
    """A folder with a manifest of two services, `first` and `second`, and what was started in it."""

    def __init__(self, folder: Path, does: str = "ends") -> None:
        self.folder = folder
        self.tmp = folder / "tmp"
        self.tmp.mkdir(parents=True)
        services = {}
        self.ports = {}
        for name in ("first", "second"):
            own = folder / name
            own.mkdir()
            (own / "status").write_text("200")
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.ports[name] = free.getsockname()[1]
            services[name] = {
                "run": [sys.executable, "-I", "-S", "-c", SERVER, str(self.ports[name]), str(own), does],
                "port": self.ports[name],
                "token_env": "SECRET",
                "health": "/health",
                "login": "token",
            }
        (folder / "manifest.json").write_text(json.dumps({"services": services}))
        self.log = folder / "log"

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DSVM_TOKEN")}
        own = {"DSVM_MANIFEST": str(self.folder / "manifest.json"), "TMPDIR": str(self.tmp)}
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [START, *words],
                env={**inherited, **own, "DSVM_STOP_GRACE": str(GRACE), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def run(self, *words: str, **environment: str) -> tuple[int | None, str]:
        """Exit code and output; no code where it goes on and on."""
        return self.end(self.start(*words, **environment))

    def end(self, process: subprocess.Popen[bytes], seconds: float = PATIENCE) -> tuple[int | None, str]:
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            process.terminate()
            try:
                process.wait(2 * GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return code, self.log.read_text(errors="replace")

    def serves(self, name: str, process: subprocess.Popen[bytes]) -> bool:
        seen = self.folder / name / "seen"
        until(lambda: seen.exists() or process.poll() is not None)
        return seen.exists()

    def seen(self, name: str) -> Any:
        return json.loads((self.folder / name / "seen").read_text())

    def clear(self) -> None:
        """End what still runs."""
        for name in ("first", "second"):
            if (self.folder / name / "seen").exists():
                for pid in self.seen(name)["pids"]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def health(room: Room) -> tuple[int, str]:
    done = subprocess.run(
        [START, "--health"],
        env={**os.environ, "TMPDIR": str(room.tmp)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def try_command(room: Room) -> None:
    code, said = room.run("sh", "-c", 'echo "$0 $1 $KEPT"; exit 5', "a  b", "c", KEPT="kept")
    if (code, said) != (5, "a  b c kept\n"):
        wrong(f"a command's words, environment, output or exit code are changed: {code}, {said!r}")
    started = room.start("sh", "-c", "echo $$; exec sleep 1000")
    until(lambda: room.log.stat().st_size or started.poll() is not None)
    if room.log.read_text().split() != [str(started.pid)]:
        wrong("a command does not take dsvm-start's place: signals would not reach it")
    started.terminate()
    room.end(started, 5 * SLOWNESS)
    for words, expected in (("no-such-command", 127), (str(room.folder), 126)):
        code, said = room.run(words)
        if code != expected or words not in said or "Traceback" in said:
            wrong(f"a command that cannot be run ends with {code}, not {expected}, or it does not say which: {said!r}")
    if (room.folder / "first/seen").exists() or (room.folder / "second/seen").exists():
        wrong("services start beside a command")


def try_refusals(room: Room) -> None:
    refusals = {
        "an unknown service": ({"DSVM_SERVICES": "second,third", "DSVM_TOKEN": TOKEN}, "third"),
        "a file of a token that is not there": ({"DSVM_TOKEN_FILE": "/no/such/file"}, "/no/such/file"),
        "a token of seven characters": ({"DSVM_TOKEN": "seven77"}, "8 characters"),
        "a path that is none": ({"DSVM_BASE_URL": "/a b", "DSVM_TOKEN": TOKEN}, "DSVM_BASE_URL"),
        "authorities that are not there": ({"DSVM_CA_BUNDLE": "/no/ca", "DSVM_TOKEN": TOKEN}, "/no/ca"),
    }
    for what, (environment, word) in refusals.items():
        code, said = room.end(room.start(**environment), 10 * SLOWNESS)
        if code is None:
            wrong(f"{what} is not refused")
        elif code != 2 or word not in said or "Traceback" in said:
            wrong(f"{what} ends it with {code}, not 2, or it does not say so: {said!r}")
    if (room.folder / "first/seen").exists() or (room.folder / "second/seen").exists():
        wrong("services start all the same")


def try_services(room: Room) -> None:
    secret = room.folder / "secret"
    secret.write_text(f"{TOKEN}\n")
    started = room.start(DSVM_TOKEN_FILE=str(secret), DSVM_SERVICES=" second ,")
    if not room.serves("second", started):
        wrong(f"with a file of a token, the service that was asked for does not start: {room.end(started, 0)[1]!r}")
        return
    seen = room.seen("second")
    if seen["environment"].get("SECRET") != TOKEN:
        wrong("the service does not get the token of the file")
    if leaked := {"DSVM_TOKEN", "DSVM_TOKEN_FILE"} & seen["environment"].keys():
        wrong(f"the service inherits {', '.join(sorted(leaked))}")
    for status, expected in (("204", 0), ("500", 1)):
        (room.folder / "second/status").write_text(status)
        state, said = health(room)
        if state != expected or (state and "second does not answer" not in said):
            wrong(f"with a service that answers {status} its health is {state}, not {expected}: {said!r}")
    (room.folder / "second/status").write_text("200")
    begun = time.monotonic()
    started.terminate()
    code, said = room.end(started, 2 * GRACE)
    if code != 0 or "SIGTERM" not in said or time.monotonic() - begun > GRACE:
        wrong(f"SIGTERM ends it with {code} after {time.monotonic() - begun:.1f} s: {said!r}")
    if not until(lambda: not any(map(alive, seen["pids"])), 2):
        wrong("SIGTERM leaves processes of a service behind")
    if "second | my password is [token]" not in said.splitlines():
        wrong(f"the log does not have the service's lines with its name, and the token hidden: {said!r}")
    if (room.folder / "first/seen").exists() or "first" in said:
        wrong("a service starts that was not asked for")
    if health(room)[0] != 0:
        wrong("its health is red when nothing is to run any more")


def try_ends(room: Room) -> None:
    started = room.start(DSVM_TOKEN=TOKEN)
    if not (room.serves("first", started) and room.serves("second", started)):
        wrong(f"two services do not start: {room.end(started, 0)[1]!r}")
        return
    os.kill(room.seen("second")["pids"][0], signal.SIGKILL)
    code, said = room.end(started, 2 * GRACE)
    if code != 137 or "second ended with exit code 137" not in said:
        wrong(f"when a service is killed it ends with {code}, not 137, or does not say why: {said!r}")
    if not until(lambda: not alive(room.seen("first")["pids"][0]), 2):
        wrong("when one service ends, the other one goes on")
    stubborn = Room(room.folder / "stubborn", does="stays")
    try:
        started = stubborn.start(DSVM_TOKEN=TOKEN, DSVM_STOP_GRACE="0.5", DSVM_SERVICES="first")
        stubborn.serves("first", started)
        started.terminate()
        code, said = stubborn.end(started, 2 * GRACE)
        if code != 0 or "did not end in 0.5 s: killed" not in said:
            wrong(f"a service that will not end is not killed after DSVM_STOP_GRACE: {code}, {said!r}")
        if not until(lambda: not alive(stubborn.seen("first")["pids"][0]), 2):
            wrong("a service that will not end goes on")
    finally:
        stubborn.clear()


def try_orphans(room: Room) -> None:
    said = subprocess.run(["sh", "-c", "sleep 0.2 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True, check=True)
    pid = said.stdout.strip()
    if not until(lambda: not Path("/proc", pid).exists(), 5 * SLOWNESS):
        wrong(f"the init, {Path('/proc/1/comm').read_text().strip()}, does not reap orphans")


def main() -> None:
    attempts = {
        "command": try_command,
        "refusals": try_refusals,
        "services": try_services,
        "ends": try_ends,
        "orphans": try_orphans,
    }
    with tempfile.TemporaryDirectory() as folder:
        room = Room(Path(folder))
        try:
            attempts[sys.argv[1]](room)
        finally:
            room.clear()
    print(json.dumps(faults))


if __name__ == "__main__":
    main()
