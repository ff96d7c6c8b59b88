"""A started image serves on loopback only, and only those who know its token."""

from __future__ import annotations

import re
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from workbench import BIG, Done, Invoke, docker, run

CONTAINER = f"dsvm-{BIG}"


class Client:
    """A browser with cookies of its own, and without a proxy."""

    def __init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)

    def get(self, url: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        """Status, and the path where redirects ended."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with self.opener.open(url, data, timeout=30) as answer:
                return answer.status, urllib.parse.urlsplit(answer.url).path
        except urllib.error.HTTPError as error:
            return error.code, urllib.parse.urlsplit(error.url).path


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """code-server's port, which somebody else has already."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 8080))
        holder.listen()
        yield 8080


@pytest.fixture(scope="module")
def started(cpu_debian: Done, invoke: Invoke, taken: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    if run(["docker", "container", "inspect", CONTAINER]).code == 0:
        pytest.fail(f"{CONTAINER} runs already: stop it first (invoke stop --variant {BIG})")
    docker("volume", "rm", "--force", f"dsvm-home-{BIG}")
    work = tmp_path_factory.mktemp("work")
    work.chmod(0o755)  # the container's user is another one
    (work / "mine.txt").write_text("from this host")
    try:
        yield invoke("start", "--variant", BIG, "--mount", str(work)).passed()
    finally:
        invoke("stop", "--variant", BIG, "--forget")


@pytest.fixture(scope="module")
def urls(started: Done) -> dict[str, str]:
    return _urls(started)


def _urls(started: Done) -> dict[str, str]:
    return dict(re.findall(r"^  (\S+) +(http://\S+)", started.out, re.MULTILINE))


@pytest.fixture(scope="module")
def token(urls: dict[str, str]) -> str:
    return urllib.parse.parse_qs(urllib.parse.urlsplit(urls["jupyterlab"]).query)["token"][0]


def test_it_says_where_the_services_are(started: Done, urls: dict[str, str], token: str) -> None:
    assert sorted(urls) == ["code-server", "jupyterlab"]
    assert f"password: {token}" in started.out
    assert f"invoke stop --variant {BIG}" in started.out


def test_a_taken_port_is_left_alone(started: Done, urls: dict[str, str], taken: int) -> None:
    port = urllib.parse.urlsplit(urls["code-server"]).port
    assert port != taken
    assert f"port {taken} is taken: code-server gets {port}" in started.out


def test_what_it_says_is_reached_is(started: Done) -> None:
    assert "is the engine on another machine" not in started.out


def test_ports_are_on_loopback_only(started: Done) -> None:
    published = docker("port", CONTAINER).splitlines()
    assert len(published) == 2
    assert [line for line in published if "-> 127.0.0.1:" not in line] == []


def test_jupyterlab_wants_the_token(urls: dict[str, str], token: str) -> None:
    site = urls["jupyterlab"].split("/lab")[0]
    assert Client().get(urls["jupyterlab"]) == (200, "/lab")
    assert Client().get(f"{site}/api/contents?token={token}")[0] == 200
    assert Client().get(f"{site}/api/contents")[0] == 403
    assert Client().get(f"{site}/api/contents?token={token[:-1]}")[0] == 403


def test_code_server_wants_the_password(urls: dict[str, str], token: str) -> None:
    site = urls["code-server"].rstrip("/")
    for password, where in ((token, "/"), (token[:-1], "/login"), ("", "/login")):
        browser = Client()
        browser.get(f"{site}/login", {"password": password})
        status, path = browser.get(f"{site}/")
        assert (status, path) == (200, where), f"with the password '{password}'"


def test_the_token_is_on_no_command_line(started: Done, token: str) -> None:
    """Processes of containers are the machine's own: everybody on it can list them."""
    shown = [path for path in Path("/proc").glob("[0-9]*/cmdline") if token.encode() in _read(path)]
    assert shown == []


def test_a_second_start_says_that_it_runs(started: Done, invoke: Invoke) -> None:
    before = docker("container", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", CONTAINER)
    done = invoke("start", "--variant", BIG)
    done.refused(2, f"{CONTAINER} is running already", f"invoke stop --variant {BIG}")
    assert docker("container", "inspect", "--format", "{{.Id}} {{.State.StartedAt}}", CONTAINER) == before


def test_a_folder_of_this_machine_is_in_it(started: Done) -> None:
    assert docker("exec", CONTAINER, "cat", "/home/ds/work/mine.txt") == "from this host"
    assert re.search(r"^  /\S+/work0 is /home/ds/work in it$", started.out, re.MULTILINE)


def test_stop_keeps_what_was_saved(started: Done, invoke: Invoke, urls: dict[str, str], token: str) -> None:
    browser, site, editor = Client(), urls["jupyterlab"].split("/lab")[0], urls["code-server"].rstrip("/")
    browser.get(urls["jupyterlab"])
    browser.get(f"{editor}/login", {"password": token})
    assert (browser.get(f"{site}/api/contents")[0], browser.get(editor)) == (200, (200, "/")), "logged in"
    assert docker("exec", CONTAINER, "stat", "--format=%U", "/home/ds") == "ds"
    docker("exec", CONTAINER, "sh", "-c", "echo saved > /home/ds/notebook")
    stopped = invoke("stop", "--variant", BIG).passed().out
    assert stopped.startswith(f"{CONTAINER} stopped\n")
    assert f"stays in volume dsvm-home-{BIG}: invoke stop --variant {BIG} --forget removes it" in stopped
    assert run(["docker", "container", "inspect", CONTAINER]).code != 0
    assert invoke("stop", "--variant", BIG).passed().out.startswith(f"{CONTAINER} was not running\n")
    again = invoke("start", "--variant", BIG).passed()
    assert f"its home is that of earlier starts, volume dsvm-home-{BIG}" in again.out
    assert docker("exec", CONTAINER, "cat", "/home/ds/notebook") == "saved"
    # other ports, where another program has taken one; cookies are a host's, whatever its port
    later = _urls(again)
    site, editor = later["jupyterlab"].split("/lab")[0], later["code-server"].rstrip("/")
    opened = (browser.get(f"{site}/api/contents")[0], browser.get(editor)[1])
    assert opened == (403, "/login"), "cookies of the token before are as good as that"
    forgotten = invoke("stop", "--variant", BIG, "--forget").passed()
    assert f"home dsvm-home-{BIG} and all that was saved there are removed" in forgotten.out
    assert run(["docker", "volume", "inspect", f"dsvm-home-{BIG}"]).code != 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it has ended
