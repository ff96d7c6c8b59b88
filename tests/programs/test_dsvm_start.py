"""scripts/image/dsvm-start, run as a program with small services of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

DSVM_START = Path(__file__).parents[2] / "scripts" / "image" / "dsvm-start"
TOKEN = "correct-horse-battery"
DEADLINE = 20.0

# Serves /health with the status in the file it is given; writes down its environment and its command line first.
SERVER = """
import http.server, json, os, pathlib, signal, sys
port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int((folder / "status").read_text()))
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
print("my password is", os.environ["SECRET"], flush=True)
seen = {"environment": dict(os.environ), "arguments": sys.argv, "pid": os.getpid()}
(folder / "seen.part").write_text(json.dumps(seen))
(folder / "seen.part").rename(folder / "seen")
server.serve_forever()
"""


class Room:
    """A folder with a manifest, and the programs started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.services: dict[str, dict[str, Any]] = {}
        self.started: list[subprocess.Popen[str]] = []
        (folder / "tmp").mkdir()

    def add(self, name: str, run: list[str] | None = None, **more: Any) -> Path:
        """A service; the folder in which it leaves what it saw."""
        own = self.folder / name
        own.mkdir()
        (own / "status").write_text("200")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.services[name] = {
            "run": run or [sys.executable, "-c", SERVER, str(port), str(own)],
            "port": port,
            "token_env": "SECRET",
            "health": "/health",
            **more,
        }
        return own

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        manifest = self.folder / "manifest.json"
        manifest.write_text(json.dumps({"services": self.services}))
        process = subprocess.Popen(
            [sys.executable, str(DSVM_START), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "DSVM_MANIFEST": str(manifest),
                "TMPDIR": str(self.folder / "tmp"),
                "HOME": str(self.folder),
                "DSVM_CGROUPS": str(self.folder / "cgroups"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        return end(self.start(*arguments, **environment))

    def health(self) -> int:
        return self.run("--health")[0]


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, out, err


def until(true: Any) -> Any:
    """The first true value of `true()`."""
    give_up = time.monotonic() + DEADLINE
    while not (value := true()):
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.02)
    return value


def seen(own: Path) -> Mapping[str, Any]:
    """What a service saw, as soon as it serves."""
    until((own / "seen").exists)
    answer: Mapping[str, Any] = json.loads((own / "seen").read_text())
    return answer


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    for process in room.started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "DSVM_TOKEN"),
        ({"DSVM_TOKEN": ""}, "no token"),
        ({"DSVM_TOKEN": "seven77"}, "at least 8 characters"),
        ({"DSVM_TOKEN": "with some spaces"}, "without spaces"),
        ({"DSVM_TOKEN": "line\nbreak-inside"}, "printable"),
        ({"DSVM_TOKEN_FILE": "/no/such/file"}, "/no/such/file"),
        ({"DSVM_TOKEN": TOKEN, "DSVM_SERVICES": "one,two"}, "no service named two; this image has one"),
    ],
)
def test_refuses_to_start(room: Room, environment: dict[str, str], reason: str) -> None:
    own = room.add("one", ["/bin/sh", "-c", 'touch "$MARK"'], env={"MARK": str(room.folder / "mark")})
    code, out, err = room.run(**environment)
    assert code == 2
    assert reason in err
    assert "Traceback" not in err
    assert out == ""
    assert not (room.folder / "mark").exists()
    assert own.is_dir()


def test_a_token_that_is_good_enough_starts(room: Room) -> None:
    room.add("one", ["/bin/sh", "-c", 'touch "$MARK"'], env={"MARK": str(room.folder / "mark")})
    assert room.run(DSVM_TOKEN="eight888")[0] == 0
    assert (room.folder / "mark").exists()


def test_a_manifest_that_cannot_be_read_and_one_without_services(room: Room) -> None:
    assert room.run(DSVM_TOKEN=TOKEN)[0] == 2
    code, _, err = room.run(DSVM_TOKEN=TOKEN, DSVM_MANIFEST="/no/such/manifest")
    assert (code, "Traceback" in err) == (2, False)
    assert "/no/such/manifest" in err


def test_the_token_goes_by_environment_only(room: Room) -> None:
    first = room.add("first", env={"EXTRA": "more"})
    second = room.add("second")
    process = room.start(DSVM_TOKEN=TOKEN, DSVM_TOKEN_FILE="/unused", KEPT="kept")
    for own in (first, second):
        environment, arguments = seen(own)["environment"], seen(own)["arguments"]
        assert environment["SECRET"] == TOKEN
        assert environment["KEPT"] == "kept"
        assert not {"DSVM_TOKEN", "DSVM_TOKEN_FILE"} & environment.keys()
        assert not any(TOKEN in argument for argument in arguments)
    assert seen(first)["environment"]["EXTRA"] == "more"
    process.send_signal(signal.SIGTERM)
    code, out, err = end(process)
    assert code == 0
    # Each line has its service's name, and not even a service that prints its password shows the token.
    assert sorted(out.splitlines()) == ["first | my password is [token]", "second | my password is [token]"]
    assert TOKEN not in err


def test_token_from_a_file(room: Room) -> None:
    own = room.add("one")
    secret = room.folder / "secret"
    secret.write_text(f"{TOKEN}\n")
    process = room.start(DSVM_TOKEN_FILE=str(secret))
    assert seen(own)["environment"]["SECRET"] == TOKEN
    process.terminate()
    assert end(process)[0] == 0


def test_only_the_services_asked_for(room: Room) -> None:
    first, second = room.add("first"), room.add("second")
    process = room.start(DSVM_TOKEN=TOKEN, DSVM_SERVICES=" second ,")
    seen(second)
    assert room.health() == 0
    process.terminate()
    _, out, err = end(process)
    assert not (first / "seen").exists()
    assert "first" not in out + err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_every_service(room: Room, number: signal.Signals) -> None:
    services = [room.add("first"), room.add("second")]
    process = room.start(DSVM_TOKEN=TOKEN)
    pids = [seen(own)["pid"] for own in services]
    process.send_signal(number)
    code, _, err = end(process)
    assert code == 0
    assert number.name in err
    assert not any(alive(pid) for pid in pids)
    assert list((room.folder / "tmp").iterdir()) == []


def test_a_service_that_will_not_end_is_killed(room: Room) -> None:
    own = room.add("stubborn", env={"STUBBORN": "1"})
    process = room.start(DSVM_TOKEN=TOKEN, DSVM_STOP_GRACE="0.3")
    pid = seen(own)["pid"]
    process.terminate()
    code, _, err = end(process)
    assert code == 0
    assert "stubborn did not end in 0.3 s: killed" in err
    until(lambda: not alive(pid))


@pytest.mark.parametrize(("end_of_it", "code"), [("exit 3", 3), ("exit 0", 0), ("kill -9 $$", 137)])
def test_the_end_of_one_service_is_the_end_of_all(room: Room, end_of_it: str, code: int) -> None:
    other = room.add("other")
    go = room.folder / "go"
    room.add("brief", ["/bin/sh", "-c", f'while ! [ -e "{go}" ]; do sleep 0.02; done; {end_of_it}'])
    process = room.start(DSVM_TOKEN=TOKEN)
    pid = seen(other)["pid"]
    go.touch()
    ended, _, err = end(process)
    assert ended == code
    assert f"brief ended with exit code {code}" in err
    assert not alive(pid)


def test_a_service_that_cannot_be_started(room: Room) -> None:
    other = room.add("other")
    room.add("missing", ["/no/such/program"])
    code, _, err = room.run(DSVM_TOKEN=TOKEN)
    assert code == 127
    assert "cannot start missing: /no/such/program" in err
    assert not (other / "seen").exists() or not alive(seen(other)["pid"])


def test_health_follows_every_service(room: Room) -> None:
    services = [room.add("first"), room.add("second")]
    assert room.health() == 0, "a container that runs another command is healthy"
    process = room.start(DSVM_TOKEN=TOKEN)
    for own in services:
        seen(own)
    assert room.health() == 0
    for status, code in (("302", 0), ("500", 1), ("404", 1), ("204", 0)):
        (services[1] / "status").write_text(status)
        assert room.health() == code, status
    (services[1] / "status").write_text("500")
    assert "second does not answer on port" in room.run("--health")[2]
    process.terminate()
    assert end(process)[0] == 0
    assert room.health() == 0


def test_not_healthy_while_a_service_is_starting(room: Room) -> None:
    go = room.folder / "go"
    room.add("slow", ["/bin/sh", "-c", f'while ! [ -e "{go}" ]; do sleep 0.02; done'])
    process = room.start(DSVM_TOKEN=TOKEN)
    until(lambda: list((room.folder / "tmp").iterdir()))
    assert room.health() == 1
    go.touch()
    assert end(process)[0] == 0


def test_runs_another_command_instead(room: Room) -> None:
    code, out, err = room.run("sh", "-c", "echo $0 $1; exit 5", "a b", "c")
    assert (code, out, err) == (5, "a b c\n", "")
    code, _, err = room.run("no-such-command")
    assert (code, err) == (127, "dsvm-start: no-such-command: No such file or directory\n")
    assert room.run(str(room.folder))[0] == 126


def test_behind_a_proxy_a_service_gets_the_path_and_is_asked_for_its_health_there(room: Room) -> None:
    own = room.add("notebooks", base_url=["--base={base_url}"], serves_base=True)
    room.services["notebooks"]["run"].append("{home}/work")
    stripped = room.add("editor")
    process = room.start(DSVM_TOKEN=TOKEN, NB_PREFIX="/notebook/team/me")
    assert seen(own)["arguments"][-2:] == [f"{room.folder}/work", "--base=/notebook/team/me/"]
    assert "--base" not in " ".join(seen(stripped)["arguments"])
    (state,) = (room.folder / "tmp").glob("dsvm-start-*.json")
    asked = {name: service["health"] for name, service in json.loads(state.read_text()).items()}
    assert asked == {"notebooks": "/notebook/team/me/health", "editor": "/health"}
    assert room.health() == 0
    process.terminate()
    end(process)


def test_a_key_for_cookies_is_as_old_as_the_token(room: Room) -> None:
    """A service that keeps its own key in the home would know the browsers of all tokens that there ever were."""
    room.add("editor")
    own = room.add("notebooks")
    room.services["notebooks"]["run"].append("--key={cookie_key}")
    keys = []
    for token in (TOKEN, f"{TOKEN}-new", TOKEN):
        process = room.start(DSVM_TOKEN=token)
        path = Path(seen(own)["arguments"][-1].removeprefix("--key="))
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        keys.append(path.read_text())
        assert token not in keys[-1]
        process.terminate()
        end(process)
        (own / "seen").unlink()
    assert keys[0] == keys[2] != keys[1]
    assert [len(bytes.fromhex(key)) for key in keys] == [32] * 3


def test_a_key_that_cannot_be_written_starts_nothing(room: Room) -> None:
    own = room.add("notebooks")
    room.services["notebooks"]["run"].append("--key={cookie_key}")
    (room.folder / "tmp" / f"dsvm-{os.getuid()}" / "notebooks.key").mkdir(parents=True)
    code, _, said = room.run(DSVM_TOKEN=TOKEN)
    assert code == 2 and re.search(r"cannot write \S+/notebooks[.]key: .*; give a writable TMPDIR", said), said
    assert not (own / "seen").exists()


def test_a_path_that_is_none_starts_nothing(room: Room) -> None:
    room.add("notebooks")
    code, _, err = room.run(DSVM_TOKEN=TOKEN, DSVM_BASE_URL="/a b")
    assert code == 2 and "DSVM_BASE_URL: '/a b' is no path" in err


def test_help_names_every_variable_it_reads(room: Room) -> None:
    code, out, _ = room.run("--help")
    assert code == 0
    read = set(re.findall(r"DSVM_[A-Z_]+", DSVM_START.read_text())) - {"DSVM_MANIFEST"}
    assert read <= set(re.findall(r"DSVM_[A-Z_]+", out))


# --- other users, and limits -----------------------------------------------------------------------------------

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def environment_of(room: Room, **environment: str) -> dict[str, str]:
    """The environment that a command gets from dsvm-start."""
    shown, said = room.start(sys.executable, "-c", SHOW, **environment).communicate(timeout=DEADLINE)
    assert shown, said
    found: dict[str, str] = json.loads(shown)
    return found


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({"cpu.max": "50000 100000"}, "1"),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "6400000 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, "1"),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({}, None),
    ],
)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor leaves nothing to limit")
def test_libraries_learn_of_a_quota(room: Room, files: Mapping[str, str], threads: str | None) -> None:
    for name, text in files.items():
        path = room.folder / "cgroups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = environment_of(room)
    assert found.get("OMP_NUM_THREADS") == threads
    assert found.get("JULIA_NUM_THREADS") == threads
    assert found.get("MAKEFLAGS") == (f"-j{threads}" if threads else None)
    assert environment_of(room, OMP_NUM_THREADS="7")["OMP_NUM_THREADS"] == "7"
