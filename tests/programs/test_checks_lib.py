"""What check scripts share, manifests/checks/lib, with real programs on loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lib.client import Client
from lib.http_server import Handler, loopback
from lib.jupyter import TOKEN, application, check_application
from lib.process import free_port, running

CHECKS = Path(__file__).resolve().parents[2] / "manifests" / "checks"
# stays though a SIGTERM asks it to end
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, as a check has one of its own."""
    monkeypatch.chdir(tmp_path)
    # nothing on loopback may be asked through it
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    return tmp_path


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


# --- process -------------------------------------------------------------------------------------------------


def test_a_server_is_there_until_the_block_ends(scratch: Path) -> None:
    (scratch / "page.txt").write_text("served")
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}")
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with running(argv, timeout=30, ready=lambda: client.get("/")) as process:
        assert client.get("/page.txt").text == "served"
        assert process.poll() is None
    assert process.returncode is not None
    with pytest.raises(urllib.error.URLError):
        client.get("/page.txt")
    assert "GET /page.txt" in (scratch / "server.log").read_text()


def test_a_server_is_gone_when_the_block_raises() -> None:
    with pytest.raises(RuntimeError, match="found"), running(python(STUBBORN), timeout=30, ready=up, stop_timeout=0.2):
        raise RuntimeError("found")


def up() -> bool:
    return "up" in Path("server.log").read_text()


def fault(argv: list[str], *, ready: Callable[[], object] = lambda: False, timeout: float = 60) -> str:
    """What is said of a program that is never ready."""
    with pytest.raises(AssertionError) as caught, running(argv, timeout=timeout, ready=ready):
        pytest.fail("it was taken to be ready")
    return str(caught.value)


def test_a_program_that_dies_at_once_is_told_with_what_it_said() -> None:
    begun = time.monotonic()
    said = fault(python("import sys; print('before', flush=True); sys.exit('no licence')"))
    assert said == "it ended with exit code 1: before\nno licence"
    assert time.monotonic() - begun < 30, "it was waited for"


def test_a_program_that_ends_well_does_not_serve() -> None:
    assert fault(["true"]) == "it ended with exit code 0: "


def test_a_program_that_never_answers_is_told_and_gone() -> None:
    client = Client(f"http://127.0.0.1:{free_port()}")
    idle = python("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    said = fault(idle, timeout=1, ready=lambda: client.get("/"))
    pid = Path("server.log").read_text().strip()
    assert said == f"it does not answer after 1 s: {pid}"
    assert not Path("/proc", pid).exists()


def test_a_program_that_accepts_and_says_nothing_does_not_answer() -> None:
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}", timeout=0.2)
    mute = f"import socket, time; door = socket.create_server(('127.0.0.1', {port})); print('open', flush=True); "
    said = fault(python(f"{mute}time.sleep(60)"), timeout=1.5, ready=lambda: client.get("/"))
    assert said == "it does not answer after 1.5 s: open"


def test_a_program_that_does_not_end_is_a_fault_and_gone() -> None:
    ending = running(python(STUBBORN), timeout=30, ready=up, stop_timeout=0.2)
    with pytest.raises(AssertionError, match="it does not end after a SIGTERM: up"), ending as process:
        pass
    assert process.returncode == -9


def test_what_a_program_says_at_length_is_told_from_its_end() -> None:
    said = fault(python("print('a' * 5000 + 'last'); raise SystemExit(3)"))
    assert said.endswith("alast")
    assert len(said) < 500


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", free_port()))


# --- client and server ---------------------------------------------------------------------------------------


class Site(Handler):
    """Pages behind a token, a redirect, and a page that knows who came before."""

    def do_GET(self) -> None:
        if self.path == "/old":
            self.answer(302, headers={"Location": "/open"})
        elif self.path == "/open":
            known = "seen" in self.headers.get("Cookie", "")
            self.answer(200, b"known" if known else b"new", {"Set-Cookie": "seen=yes; Path=/"})
        elif self.headers.get("Authorization") == "token right":
            self.answer(200, b"inside")
        else:
            self.answer(403, b"refused")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.answer(201, self.body(), {"Content-Type": self.headers["Content-Type"]})


@pytest.fixture
def url() -> Iterator[str]:
    with loopback(Site) as found:
        yield found


def test_a_token_is_sent_and_another_one_is_refused(url: str) -> None:
    client = Client(url, token="right")
    assert (client.get("/page").status, client.get("/page").text) == (200, "inside")
    assert (client.get("/page", token="wrong").status, client.get("/page", token="wrong").text) == (403, "refused")
    assert client.get("/page", token="").status == 403
    assert Client(url).get("/page").status == 403


def test_a_redirect_is_followed_or_told(url: str) -> None:
    followed = Client(url).get("/old")
    assert (followed.status, followed.path, followed.location) == (200, "/open", "")
    told = Client(url, redirects=False).get("/old")
    assert (told.status, told.path, told.location) == (302, "/old", "/open")


def test_only_a_client_with_cookies_is_known_again(url: str) -> None:
    stranger, friend = Client(url), Client(url, cookies=True)
    assert [stranger.get("/open").text for _ in range(2)] == ["new", "new"]
    assert [friend.get("/open").text for _ in range(2)] == ["new", "known"]
    assert [(cookie.name, cookie.value) for cookie in friend.cookies] == [("seen", "yes")]


def test_a_body_is_sent_as_it_is_and_a_mapping_as_a_form(url: str) -> None:
    client = Client(url)
    assert (client.post("/", b'{"a": 1}').status, client.post("/", b'{"a": 1}').json()) == (201, {"a": 1})
    assert client.post("/", {"town": "Łódź", "n": "1 2"}).text == "town=%C5%81%C3%B3d%C5%BA&n=1+2"


def test_paths_are_resolved_as_links_are(url: str) -> None:
    client = Client(f"{url}/user/me/", redirects=False)
    assert [client.get(path).path for path in ("lab", "/lab", f"{url}/lab")] == ["/user/me/lab", "/lab", "/lab"]


def test_a_server_is_closed_when_the_block_ends() -> None:
    with loopback(Site) as url:
        assert Client(url).get("/open").status == 200
    with pytest.raises(urllib.error.URLError):
        Client(url).get("/open")


def test_a_head_has_no_body(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"HEAD /open HTTP/1.0\r\n\r\n")
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b"Content-Length: 3\r\n" in said
    assert said.endswith(b"\r\n\r\n")


# --- jupyter -------------------------------------------------------------------------------------------------

# A Jupyter application that is started as the real ones are; FAULTS say what is wrong with it.
APPLICATION = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = %r
TOKEN = os.environ["JUPYTER_TOKEN"]
PAGES = {
    "/api": '{"version": "1"}',
    "/api/contents": "[]",
    "/api/kernelspecs": json.dumps({"kernelspecs": {"ir" if "kernel" in FAULTS else "python3": {}}}),
    "/app": '<script src="/static/main.js?v=1"></script>' if "empty" not in FAULTS else "<p>nothing</p>",
    "/static/main.js?v=1": "let app",
}

class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == f"token {TOKEN}" or "open" in FAULTS
        there = self.path in PAGES and not ("script" in FAULTS and self.path.startswith("/static"))
        status = 403 if not known else 200 if there else 404
        body = PAGES[self.path].encode() if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

if "dies" in FAULTS:
    sys.exit("no such thing as a lab")
server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
with open(os.path.join(os.environ["JUPYTER_RUNTIME_DIR"], f"jpserver-{os.getpid()}.json"), "w") as file:
    json.dump({"url": f"http://127.0.0.1:{server.server_port}/"}, file)
server.serve_forever()
"""


@pytest.fixture
def install(scratch: Path) -> Callable[..., None]:
    """Puts an application with faults into the current folder, where `python -m` finds it."""

    def write(*faults: str) -> None:
        (scratch / "lab.py").write_text(APPLICATION % (faults,))

    return write


def test_an_application_is_served_with_its_token(install: Callable[..., None]) -> None:
    install()
    with application("lab") as client:
        assert client.token == TOKEN
        assert client.get("/api/contents").status == 200
    with pytest.raises(urllib.error.URLError):
        client.get("/api")


def test_a_whole_application_passes(install: Callable[..., None]) -> None:
    install()
    assert check_application("lab", "/app") == {"characters": len("let app"), "kernels": ["python3"]}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("open", "a wrong token got 200"),
        ("empty", "the page loads no application"),
        ("script", "/static/main.js.*: 404"),
        ("kernel", r"kernels \['ir'\]"),
        ("dies", "it ended with exit code 1: no such thing as a lab"),
    ],
)
def test_a_faulty_application_fails(install: Callable[..., None], fault: str, said: str) -> None:
    install(fault)
    with pytest.raises(AssertionError, match=said):
        check_application("lab", "/app")


def test_a_page_that_is_not_there_fails(install: Callable[..., None]) -> None:
    install()
    with pytest.raises(AssertionError, match="/lab: 404"):
        check_application("lab", "/lab")


# --- outcome -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        ("return {'n': 1}", 0, {"check": "some_check", "ok": True, "n": 1}),
        ("return {'n': 1, 'ok': False, 'reason': 'x'}", 1, {"check": "some_check", "ok": False, "n": 1, "reason": "x"}),
        ("raise ValueError('bad')", 1, {"check": "some_check", "ok": False, "reason": "ValueError: bad"}),
        ("raise NotExercisedError('no GPU')", 77, {"check": "some_check", "reason": "no GPU"}),
        ("import no_such_thing", 1, None),
    ],
)
@pytest.mark.parametrize("options", [(), ("-OO",)])
def test_a_check_ends_as_its_work_did(
    scratch: Path, work: str, code: int, said: dict[str, object] | None, options: tuple[str, ...]
) -> None:
    (scratch / "lib").symlink_to(CHECKS / "lib")
    script = scratch / "some_check.py"
    script.write_text(
        "from lib.outcome import NotExercisedError, run_check\n"
        f"def check():\n    print('working')\n    {work}\n"
        "run_check(__file__, check)\n"
    )
    done = subprocess.run([sys.executable, *options, script], capture_output=True, text=True, check=False)
    assert done.returncode == code
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == said or (said is None and found["reason"].startswith("ModuleNotFoundError"))
    assert "Traceback" not in done.stderr
    assert code != 1 or work.startswith("return") or found["reason"] in done.stderr
