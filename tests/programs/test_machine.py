from __future__ import annotations

import base64
import gzip
import os
import shutil
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server import Resource, Server

from dsvm.host import Host, redact
from dsvm.host.apt_client import deb822_uris, one_line_uris
from dsvm.model import InputError, ProgramError, StoreError


class Place:
    """A home, an /etc and an environment to write configuration into."""

    def __init__(self, root: Path) -> None:
        self.home, self.etc = root / "home", root / "etc"
        self.environ = {"HOME": str(self.home), "VIRTUAL_ENV": str(root / "venv")}
        self.home.mkdir()

    def write(self, name: str, text: str) -> Path:
        """Write `home/...`, `etc/...` or `venv/...`."""
        path = self.home.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def host(self, **environ: str) -> Host:
        return Host(environ={**self.environ, **environ}, etc=self.etc)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- PyPI ---


def test_default_index(place: Place) -> None:
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    assert place.host().pypi_indexes == (PYPI_SIMPLE_ENDPOINT.rstrip("/"),)
    assert place.host().find_links == ()


def test_pip_files_in_pips_order(place: Place) -> None:
    names = ["etc/xdg/pip/pip.conf", "etc/pip.conf", "home/.pip/pip.conf", "home/.config/pip/pip.conf"]
    names += ["venv/pip.conf"]
    for number, name in enumerate(names):
        place.write(name, f"[global]\nindex-url = http://h{number}/simple/\n")
        assert place.host().pypi_indexes == (f"http://h{number}/simple",)
    extra = place.write("extra.conf", "[global]\nindex-url = http://h9/simple")
    assert place.host(PIP_CONFIG_FILE=str(extra)).pypi_indexes == ("http://h9/simple",)
    assert "http://h4/simple" not in place.host(PIP_CONFIG_FILE=os.devnull).pypi_indexes
    # as pip has it: an existing PIP_CONFIG_FILE replaces the user's files
    place.write("home/.config/pip/pip.conf", "[global]\nfind-links = /user\n")
    assert place.host().find_links == ("/user",)
    assert place.host(PIP_CONFIG_FILE=str(extra)).find_links == ()


def test_pip_forms(place: Place) -> None:
    place.write(
        "etc/pip.conf",
        """
        [global]
        index_url: http://first/simple
        extra-index-url =
            http://second/simple/
            http://third/simple  http://first/simple
        find-links = /wheels ~/more
            file:///flat/folder http://host/page.html
        cert = /nowhere.pem
        [install]
        index-url = http://install/simple
        [list]
        format = columns
        """.replace("\n        ", "\n"),
    )
    host = place.host()
    assert host.pypi_indexes == (
        "http://install/simple", "http://second/simple", "http://third/simple", "http://first/simple",
    )  # fmt: skip
    assert host.find_links == (
        "/wheels", f"{place.home}/more", "file:///flat/folder", "http://host/page.html",
    )  # fmt: skip
    host = place.host(PIP_INDEX_URL="http://env/simple", PIP_EXTRA_INDEX_URL="http://a/ http://b", PIP_FIND_LINKS="rel")
    assert host.pypi_indexes == ("http://env/simple", "http://a", "http://b")
    assert host.find_links == (str(Path("rel").absolute()),)
    with pytest.raises(StoreError, match=r"cert=/nowhere\.pem: cannot read"):
        _ = host.ssl_context


def test_no_index(place: Place) -> None:
    assert place.host(PIP_NO_INDEX="1", PIP_FIND_LINKS="/wheels").pypi_indexes == ()
    assert place.host(UV_NO_INDEX="true").pypi_indexes == ()
    assert len(place.host(PIP_NO_INDEX="0").pypi_indexes) == 1


def test_uv_variables_come_before_pips(place: Place) -> None:
    host = place.host(
        UV_DEFAULT_INDEX="mirror=http://uv/simple",
        UV_INDEX="torch=http://torch/whl http://plain/simple",
        UV_EXTRA_INDEX_URL="http://extra/simple?a=b",
        UV_FIND_LINKS="/one two, http://links/",
        PIP_INDEX_URL="http://pip/simple",
        PIP_EXTRA_INDEX_URL="http://pip-extra/simple",
        PIP_FIND_LINKS="/pip",
    )
    assert host.pypi_indexes == (
        "http://uv/simple", "http://torch/whl", "http://plain/simple", "http://extra/simple?a=b",
        "http://pip-extra/simple",
    )  # fmt: skip
    assert host.find_links == ("/one two", "http://links", "/pip")
    assert place.host(UV_INDEX_URL="http://uv").pypi_indexes == ("http://uv",)


def test_uv_toml(place: Place) -> None:
    place.write(
        "home/.config/uv/uv.toml",
        """
        find-links = ["/wheels"]
        [[index]]
        name = "mirror"
        url = "http://mirror/simple"
        default = true
        [[index]]
        url = "http://more/simple"
        [[index]]
        name = "torch"
        url = "http://torch/whl"
        explicit = true
        [pip]
        extra-index-url = ["http://pip/simple"]
        """,
    )
    place.write("etc/uv/uv.toml", 'index-url = "http://system/simple"')
    host = place.host()
    assert host.pypi_indexes == ("http://mirror/simple", "http://more/simple", "http://pip/simple")
    assert host.find_links == ("/wheels",)


@pytest.mark.parametrize(
    ("name", "text"), [("etc/pip.conf", "index-url = x"), ("home/.config/uv/uv.toml", "index = [")]
)
def test_broken_client_configuration(place: Place, name: str, text: str) -> None:
    path = place.write(name, text)
    with pytest.raises(InputError, match=str(path)):
        _ = place.host().pypi_indexes


# --- connections ---


def test_get(server: Server, host: Host) -> None:
    url = server.add("/a", Resource(b"content", statuses=[503, 502]))
    assert host.get(url, accept="text/x").content == b"content"
    assert [headers["accept"] for headers in server.seen("/a")] == ["text/x"] * 3
    assert host.get(server.url + "/b").status_code == 404
    assert host.get(server.add("/c", Resource(statuses=[503] * 9))).status_code == 503
    with pytest.raises(StoreError, match="redirects"):
        host.get(server.add("/d", Resource(statuses=[302] * 99, headers={"Location": "/d"})))


def test_get_of_an_unknown_host(host: Host) -> None:
    with pytest.raises(StoreError, match=r"^no network connection to nowhere\.invalid") as error:
        host.get("http://nowhere.invalid/a")
    assert "proxy" in error.value.hint
    start = time.monotonic()
    with pytest.raises(StoreError):
        host.get("http://nowhere.invalid/b")
    assert time.monotonic() - start < 0.1, "it is not tried again"


def test_unreachable(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(b"content"))
    assert host.unreachable(url) is None
    assert server.seen("/a")[0]["range"] == "bytes=0-0"
    assert host.unreachable(server.url + "/b") == f"{server.url}/b: HTTP 404 Not Found"
    assert "no network connection" in str(host.unreachable("http://nowhere.invalid/"))
    assert host.unreachable(server.add("/c", Resource(b"", statuses=[503]))) is None
    assert host.unreachable((tmp_path / "home").as_uri()) is not None
    (tmp_path / "f").write_text("")
    assert host.unreachable((tmp_path / "f").as_uri()) is None


# --- npm ---


@pytest.mark.skipif(
    not shutil.which("npm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"), reason="no npm here"
)
def test_npm_registry(place: Place) -> None:
    assert place.host().npm_registry().startswith("http")
    place.write("home/.npmrc", "registry=http://127.0.0.1:1/npm/\nnodedir=/unknown/setting\n")
    assert place.host().npm_registry() == "http://127.0.0.1:1/npm"
    own = Host(environ=place.environ, sources={"npm": ("http://own",)})
    assert own.npm_registry() == "http://own"


# --- apt ---

ONE_LINE = """\
# deb http://commented/debian stable main
deb http://one/debian/ bookworm main contrib
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://two/debian bookworm main
  deb	[ trusted=yes ] file:/srv/debian ./
deb-src http://source/debian bookworm main
deb http://flat/repo ./
deb cdrom:[Debian 12]/debian bookworm main
deb
"""
DEB822 = """\
# a comment first
Types: deb deb-src
# http://commented/debian
URIs: http://three/debian
 http://four/debian/
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://off/debian
Suites: bookworm

types: deb
uris: http://five/debian-security
suites: bookworm-security

Types: deb-src
URIs: http://source/debian
"""


def test_one_line_sources() -> None:
    assert one_line_uris(ONE_LINE) == [
        "http://one/debian/", "https://two/debian", "file:/srv/debian", "http://flat/repo",
    ]  # fmt: skip


def test_deb822_sources() -> None:
    assert deb822_uris(DEB822) == [
        "http://three/debian", "http://four/debian/", "http://five/debian-security",
    ]  # fmt: skip


@given(st.text(st.sampled_from("deb []=:/#\n\tx-")))
def test_any_sources(text: str) -> None:
    for uri in one_line_uris(text):
        assert ":" in uri and not any(character.isspace() for character in uri)


def test_apt_mirrors(place: Place) -> None:
    place.write("etc/apt/sources.list", ONE_LINE)
    place.write("etc/apt/sources.list.d/debian.sources", DEB822)
    place.write("etc/apt/sources.list.d/old.list.save", "deb http://saved/debian stable main")
    host = place.host()
    assert host.apt_mirrors("debian") == (
        "http://one/debian", "https://two/debian", "file:/srv/debian", "http://three/debian",
        "http://four/debian",
    )  # fmt: skip
    assert host.apt_mirrors("debian-security") == ("http://five/debian-security",)
    own = Host(environ=place.environ, etc=place.etc, sources={"debian": ("http://own/any",)})
    assert own.apt_mirrors("debian") == ("http://own/any",)
    with pytest.raises(StoreError, match="exotix") as error:
        host.apt_mirrors("exotix")
    assert "config.yaml" in error.value.hint


def fake(folder: Path, name: str, script: str) -> None:
    """Put a small program in the place of another."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_mirrors_of_the_bootstrap_tool(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(
        tmp_path / "bin",
        "mmdebstrap",
        'echo "I: deb http://not-this/debian" >&2; echo "deb [signed-by=/k] http://m/debian stable main"\n'
        'echo "deb http://m/debian stable-updates main"; echo "deb http://s/debian-security s main"; exit 25',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert place.host().apt_mirrors("debian") == ("http://m/debian",)
    assert place.host().apt_mirrors("debian-security") == ("http://s/debian-security",)
    with pytest.raises(StoreError, match="ubuntu: mmdebstrap knows no mirror"):
        place.host().apt_mirrors("ubuntu")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramError, match="mmdebstrap: not installed"):
        place.host().apt_mirrors("debian")


@pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="mmdebstrap is not installed")
@pytest.mark.parametrize("distribution", ["debian", "debian-security", "ubuntu", "ubuntu-ports"])
def test_mirrors_of_the_real_bootstrap_tool(place: Place, distribution: str) -> None:
    mirrors = place.host().apt_mirrors(distribution)
    assert mirrors
    assert all(mirror.startswith("http") and mirror.endswith(f"/{distribution}") for mirror in mirrors)


@pytest.mark.skipif(not shutil.which("apt-config"), reason="no apt here")
def test_apt_proxy(server: Server, place: Place) -> None:
    place.write("etc/apt/sources.list", "deb http://mirror.invalid/debian stable main\n")
    options = place.write(
        "apt.conf", f'Acquire::http::Proxy "http://{server.host}";\nAcquire::http::Proxy::near "DIRECT";\n'
    )
    server.add("http://mirror.invalid/debian/a", Resource(b"content"))
    host = place.host(APT_CONFIG=str(options))
    assert host.apt_proxies["Acquire::http::Proxy"] == f"http://{server.host}"
    assert host.client.get("http://mirror.invalid/debian/a").content == b"content"
    assert host._apt_proxy("http", "near") is None
    # the proxy is apt's own: other hosts do without it
    assert "no network" in str(host.unreachable("http://elsewhere.invalid/debian/a"))


def test_pip_proxy(server: Server, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add("http://index.invalid/simple/", Resource(b"content"))
    for proxy in (f"http://{server.host}", server.host):
        assert place.host(PIP_PROXY=proxy).client.get("http://index.invalid/simple/").content == b"content"


def test_proxy_of_the_environment(server: Server, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{server.host}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.add("http://index.invalid/simple/", Resource(b"content"))
    host = place.host(PIP_PROXY="http://127.0.0.1:1")
    assert host.client.get("http://index.invalid/simple/").content == b"content"


def test_proxy_that_cannot_be(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "gopher://me:secret@127.0.0.1:1")
    with pytest.raises(StoreError, match="proxy settings") as error:
        _ = place.host().client
    assert "secret" not in str(error.value)


# --- credentials ---


def authorization(server: Server, host: Host, url: str) -> str | None:
    host.client.get(url)
    return server.requests[-1].headers.get("authorization")


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def test_credentials(server: Server, place: Place) -> None:
    url = server.add("/debian/a", Resource(b""))
    assert authorization(server, place.host(), url) is None
    assert authorization(server, place.host(), url.replace("//", "//u%40x:p%3A@")) == basic("u@x", "p:")
    place.write("etc/apt/auth.conf.d/x.conf", f"machine http://{server.host}/debian login apt password a")
    assert authorization(server, place.host(), url) == basic("apt", "a")
    assert authorization(server, place.host(), server.add("/other", Resource(b""))) is None
    place.write("home/.netrc", "machine 127.0.0.1 login net password n")
    assert authorization(server, place.host(), url) == basic("net", "n")
    assert authorization(server, place.host(), url.replace("//", "//u:p@")) == basic("u", "p")
    other = place.write("other-netrc", "machine 127.0.0.1 login other password o")
    assert authorization(server, place.host(NETRC=str(other)), url) == basic("other", "o")
    place.write("home/.netrc", "nonsense {")
    assert authorization(server, place.host(), url) == basic("apt", "a")


def test_the_token_of_npm_goes_to_its_registry_alone(server: Server, place: Place) -> None:
    url = server.add("/npm/a.tgz", Resource(b""))
    place.write("home/.npmrc", f"registry=http://{server.host}/npm/\n//{server.host}/npm/:_authToken=${{TOKEN}}\n")
    assert authorization(server, place.host(TOKEN="secret"), url) == "Bearer secret"
    assert authorization(server, place.host(TOKEN="secret"), server.add("/other", Resource(b""))) is None
    word = b64encode(b"p w").decode()
    place.write("home/.npmrc", f"//{server.host}/npm/:username=me\n//{server.host}/npm/:_password={word}\n")
    assert authorization(server, place.host(), url) == basic("me", "p w")
    own = place.write("own", f"//{server.host}/:_auth=QUJD\n")
    assert authorization(server, place.host(NPM_CONFIG_USERCONFIG=str(own)), url) == "Basic QUJD"


def test_credentials_stay_with_their_host(server: Server, place: Place) -> None:
    other = Server()
    try:
        target = other.add("/b", Resource(b"content"))
        target = target.replace("127.0.0.1", "localhost")
        url = server.add("/a", Resource(statuses=[302], headers={"Location": target}))
        assert place.host().client.get(url.replace("//", "//u:p@")).content == b"content"
        assert "authorization" in server.requests[-1].headers
        assert "authorization" not in other.requests[-1].headers
    finally:
        other.close()


def test_the_password_of_an_index_goes_with_files_of_its_host_alone(place: Place, server: Server) -> None:
    """pip.conf says it once; the index's pages name files without it."""
    page, file = server.add("/simple/a/", Resource(b"page")), server.add("/files/a.whl", Resource(b"file"))
    index = page.removesuffix("/a/").replace("://", "://me:sec%2Fret@")
    place.write("home/.config/pip/pip.conf", f"[global]\nindex-url = {index}\n")
    other = Server()
    try:
        client = place.host().client
        assert client.get(file).content == b"file"
        told = server.requests[-1].headers["authorization"].removeprefix("Basic ")
        assert base64.b64decode(told) == b"me:sec/ret"
        client.get(other.add("/files/a.whl", Resource(b"file")))
        assert "authorization" not in other.requests[-1].headers, "another port is another place"
    finally:
        other.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/a?b=c", "https://host/a?b=c"),
        ("https://me:secret@host/a", "https://me:***@host/a"),
        ("https://:secret@host/a", "https://***@host/a"),
        ("https://token@host/a", "https://***@host/a"),
        ("get https://me:p@ss@host/ and http://x:y@h", "get https://me:***@host/ and http://x:***@h"),
        ("https://host/?X-Amz-Signature=abc&n=1&access_token=d", None),
        ("/a/path@2/x", "/a/path@2/x"),
        ("https://me:sec/ret@host/a", "https://me:***@host/a"),
        ("Failed to fetch http://me:sec ret@host/a", "Failed to fetch http://me:***@host/a"),
        ("http://localhost:4873/@scope/name", "http://localhost:4873/@scope/name"),
        ("http://[::1]:4873/@scope/name", "http://[::1]:4873/@scope/name"),
        ("see http://host:80/x, or write to a@b", "see http://host:80/x, or write to a@b"),
        ("https://host/@scope/name", "https://host/@scope/name"),
    ],
)
def test_redact(text: str, shown: str | None) -> None:
    shown = shown or "https://host/?X-Amz-Signature=***&n=1&access_token=***"
    assert redact(text) == shown


# Long enough not to be found by chance in the rest of the URL.
SECRETS = st.text(st.characters(codec="ascii", exclude_characters="/?# '\"\\@:*", categories=["L", "N", "P", "S"]),
                  min_size=9, max_size=20)  # fmt: skip


@given(user=st.text("abc", max_size=3), secret=SECRETS)
def test_no_password_survives(user: str, secret: str) -> None:
    for text in (f"https://{user}:{secret}@host/path", f"failed for '{f'ftp://{secret}@host:1/'}'"):
        assert secret not in redact(text)
        assert "host" in redact(text)


def test_secrets_are_not_in_the_representation() -> None:
    assert "secret" not in repr(Host(environ={"PIP_INDEX_URL": "https://me:secret@host"}))


# --- the user's own sources ---


def test_sources(place: Place) -> None:
    path = place.write(
        "home/.config/dsvm/config.yaml",
        """\
sources:
  pypi: [https://mirror.test/simple/, file:///srv/simple]
  npm: https://user:pass@mirror.test/npm/
  debian-security: http://mirror.test:3142/debian-security
""",
    )
    host = Host.detect(environ=place.environ)
    assert host.source("pypi") == host.pypi_indexes == ("https://mirror.test/simple", "file:///srv/simple")
    assert host.npm_registry() == "https://user:pass@mirror.test/npm"
    assert host.apt_mirrors("debian-security") == ("http://mirror.test:3142/debian-security",)
    assert host.source("debian") == ()
    other = place.write("other.yaml", "sources: {pypi: http://other/simple}")
    for found in (
        Host.detect(other, environ=place.environ),
        Host.detect(environ={**place.environ, "DSVM_CONFIG": str(other)}),
    ):
        assert found.pypi_indexes == ("http://other/simple",)
    path.unlink()
    assert Host.detect(environ=place.environ).sources == {}


@pytest.mark.parametrize("text", ["", "# nothing\n", "sources:\n", "sources: {}\n"])
def test_empty_configuration(place: Place, text: str) -> None:
    place.write("home/.config/dsvm/config.yaml", text)
    assert Host.detect(environ=place.environ).sources == {}


def test_faulty_sources_are_all_named(place: Place) -> None:
    path = place.write(
        "home/.config/dsvm/config.yaml",
        """\
source: {}
sources:
  pypi: mirror.test/simple
  npm: []
  Debian: http://mirror.test/debian
  ubuntu:
    - http://mirror.test/ubuntu
    - {url: http://mirror.test/ubuntu}
    - ftp://me:secret@mirror.test/ubuntu
  pypi: http://mirror.test/simple
  conda: http://mirror.test:port/
cache: /srv
""",
    )
    with pytest.raises(InputError) as error:
        Host.detect(environ=place.environ)
    lines = [fault.split(": ", 1)[0].rpartition(":")[2] for fault in error.value.faults]
    assert lines == ["1", "3", "4", "5", "8", "9", "10", "11", "12"]
    assert all(fault.startswith(f"{path}:") for fault in error.value.faults)
    assert "did you mean 'sources'?" in error.value.faults[0]
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("text", ["sources: [", "- a", "sources: 3", "a: b: c", "\0", "? [a]\n: b"])
def test_malformed_configuration(place: Place, text: str) -> None:
    path = place.write("home/.config/dsvm/config.yaml", text)
    with pytest.raises(InputError, match=rf"{path}:1: "):
        Host.detect(environ=place.environ)


def test_missing_configuration(place: Place) -> None:
    with pytest.raises(InputError, match="no such file"):
        Host.detect(environ={**place.environ, "DSVM_CONFIG": "/nowhere/config.yaml"})


@given(st.text(st.sampled_from("sources: pypi\n-[]{}'\"#&*!|>%@`http://x"), max_size=40))
def test_any_configuration(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever the file says, it is read or refused with a line: never a crash."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    try:
        host = Host.detect(path, environ={})
    except InputError as error:
        assert all(fault.startswith(f"{path}:") for fault in error.faults)
    else:
        assert all(isinstance(url, str) for urls in host.sources.values() for url in urls)


def test_an_answer_without_end_is_given_up(place: Place, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsvm.host.clients.MOST_ANSWERED", 1000)
    packed = gzip.compress(b"x" * 1_000_000)
    url = server.add("/bomb", Resource(packed, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(StoreError, match="an answer of more than"):
        place.host().get(url)
    small = server.add("/small", Resource(gzip.compress(b"y" * 999), headers={"Content-Encoding": "gzip"}))
    assert place.host().get(small).text == "y" * 999
