"""Places that ask for credentials or answer with somebody else's page, by the real commands and clients."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from small_world import SmallWorld, tool
from test_pypi import index, wheel

USER, PASSWORD = "me@corp", "p@ss/wd"
QUOTED = "me%40corp:p%40ss%2Fwd"
PAGE = b"<!DOCTYPE html><html><body>Please <a href='/login'>log in</a></body></html>"
VARIANT = {"variant": "guarded", "base": "debian-12", "accelerator": "cpu", "tools": ["tini", "one"]}


@dataclass
class Gate:
    """A server of a folder that lets in whoever knows the password; `answer` is what others get."""

    folder: Path
    answer: int = 401
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        gate = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                if self.headers.get("Authorization") == f"Basic {word}":
                    gate.look_around()
                    super().do_GET()
                    return
                self.send_response(gate.answer)
                if gate.answer == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(PAGE)))
                self.end_headers()
                self.wfile.write(PAGE)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(self.folder)))
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def look_around(self) -> None:
        """Keep every command line of the machine that shows the password: processes are everybody's to list."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if QUOTED in words or PASSWORD in words:
                self.commands.append(words)

    def url(self, path: str, user: str = "") -> str:
        return f"http://{f'{user}@' if user else ''}127.0.0.1:{self.server.server_port}/{path}"


@pytest.fixture
def world(tmp_path: Path) -> SmallWorld:
    world = SmallWorld(tmp_path / "world")
    world.folder.mkdir()
    world.set_up()
    world.write("tools/one.yaml", tool("one", {"pypi": ["one"]}))
    world.write("variants/guarded.yaml", VARIANT)
    index(world.folder / "index", wheel("one", "1.0"), wheel("uv", "0.13.9"))
    return world


@pytest.fixture
def gate(world: SmallWorld) -> Iterator[Gate]:
    gate = Gate(world.folder)
    yield gate
    gate.server.shutdown()


def plain(gate: Gate, world: SmallWorld) -> dict[str, str]:
    """An index of this host that needs no password."""
    return {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": (world.folder / "index/simple").as_uri(), "PIP_FIND_LINKS": ""}


def guarded(gate: Gate, user: str = "") -> dict[str, str]:
    return {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": gate.url("index/simple", user), "PIP_FIND_LINKS": ""}


def lock(world: SmallWorld, env: Mapping[str, str], *words: str) -> str:
    done = world.invoke("lock", "--variant", "guarded", *words, env=env)
    assert "Traceback" not in done.stderr
    assert QUOTED not in done.stdout + done.stderr and PASSWORD not in done.stdout + done.stderr
    return f"{done.returncode}\n{done.stderr}"


@pytest.mark.parametrize("command", [("lock",), ("lock", "--leave-out-unreachable")])
@pytest.mark.parametrize(
    ("answer", "words"),
    [(401, "HTTP 401"), (403, "HTTP 403"), (407, "HTTP 407"), (200, "a web page came in its place")],
)
def test_an_index_that_does_not_let_us_in(
    world: SmallWorld, gate: Gate, command: tuple[str, ...], answer: int, words: str
) -> None:
    gate.answer = answer
    said = lock(world, guarded(gate, "me%40corp:wrong"), *command[1:])
    assert said.startswith("3\n") and words in said, said
    assert "--leave-out" not in said, "nobody should do without a tool for a wrong password"
    assert not (world.mine / "locks").exists()


@pytest.mark.parametrize(
    ("answer", "words"), [(401, "401"), (403, "403"), (407, "407"), (200, "a web page came in its place")]
)
def test_an_archive_that_does_not_let_us_in(world: SmallWorld, gate: Gate, answer: int, words: str) -> None:
    gate.answer = answer
    world.sources["debian"] = gate.url("debian")
    said = lock(world, plain(gate, world))
    assert said.startswith("3\n") and words in said, said
    assert "signed by" not in said and "Do not go on" not in said, "it is no fault of a signature"


def test_credentials_of_urls_and_netrc_reach_solvers_and_downloads_and_no_command_line(
    world: SmallWorld, gate: Gate
) -> None:
    world.sources["debian"] = gate.url("debian", QUOTED)
    assert lock(world, guarded(gate, QUOTED)).startswith("0\n")
    text = (world.mine / "locks/guarded.json").read_text()
    assert "127.0.0.1" not in text and "corp" not in text
    assert gate.commands == []


def test_what_is_fetched_gets_the_credentials_too_and_a_page_is_not_gone(world: SmallWorld, gate: Gate) -> None:
    world.sources["debian"] = gate.url("debian", QUOTED)
    assert lock(world, guarded(gate, QUOTED)).startswith("0\n")
    gate.answer = 200
    world.sources["debian"] = gate.url("debian", "me:no")
    for env, words in ((guarded(gate), "a web page came in its place"), (guarded(gate, "me:no"), "a web page came")):
        done = world.invoke("fetch", "--variant", "guarded", env={**env, "DSVM_STORE": str(world.folder / "empty")})
        assert done.returncode == 3 and words in done.stderr, done.stderr
        assert "no longer served" not in done.stderr and "--update-stale" not in done.stderr


def test_the_credentials_of_netrc_serve_apt_and_python(world: SmallWorld, gate: Gate) -> None:
    world.sources["debian"] = gate.url("debian")
    path = world.folder / ".netrc"
    path.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    path.chmod(0o600)
    assert lock(world, guarded(gate)).startswith("0\n")


def test_a_password_that_apt_cannot_take(world: SmallWorld, gate: Gate) -> None:
    world.sources["debian"] = gate.url("debian", "me:a%20b")
    said = lock(world, plain(gate, world))
    assert said.startswith("3\n") and "apt takes no user or password with blanks" in said
    assert "a%20b" not in said
