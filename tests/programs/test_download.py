from __future__ import annotations

import hashlib
import os
import resource as limits
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from server import Resource, Server

from dsvm.host import Cancelled, DiskFullError, Host, NetworkError, download
from dsvm.host.downloads import Downloaded
from dsvm.model import GoneError, StoreError

CONTENT = bytes(os.urandom(300_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Bytes(list[int]):
    """What `on_bytes` heard."""

    def __call__(self, count: int) -> None:
        self.append(count)


def fetch(host: Host, tmp_path: Path, *urls: str, **options: object) -> Downloaded:
    options = {"sha256": SHA256, "size": len(CONTENT), "quarantine": tmp_path / "quarantine", **options}
    return download(host.client, urls, tmp_path / "a.part", **options)  # type: ignore[arg-type]


def test_plain(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a.whl", Resource(CONTENT))
    heard = Bytes()
    assert fetch(host, tmp_path, url, on_bytes=heard) == Downloaded(url, SHA256, len(CONTENT))
    assert (tmp_path / "a.part").read_bytes() == CONTENT
    assert sum(heard) == len(CONTENT)


def test_nothing_known_about_it(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a.tgz", Resource(CONTENT))
    (tmp_path / "a.part").write_bytes(b"left over from something else")
    assert fetch(host, tmp_path, url, sha256=None, size=None).sha256 == SHA256
    assert "range" not in server.seen("/a.tgz")[0]


def test_empty_file(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/empty", Resource(b""))
    assert fetch(host, tmp_path, url, sha256=hashlib.sha256().hexdigest(), size=0).size == 0
    assert (tmp_path / "a.part").read_bytes() == b""


@pytest.mark.parametrize("known", [True, False])
def test_cut_connection_goes_on_where_it_stopped(server: Server, host: Host, tmp_path: Path, known: bool) -> None:
    url = server.add("/a", Resource(CONTENT, cuts=[100_000, 50_000]))
    heard = Bytes()
    options = {} if known else {"sha256": None, "size": None}
    assert fetch(host, tmp_path, url, on_bytes=heard, **options).sha256 == SHA256
    ranges = [headers.get("range") for headers in server.seen("/a")]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert server.seen("/a")[1]["if-range"] == '"1"'
    assert min(heard) > 0
    assert sum(heard) == len(CONTENT)


def test_changed_on_the_server_while_cut(server: Server, host: Host, tmp_path: Path) -> None:
    resource = Resource(b"x" * 300_000, cuts=[100_000], etag='"old"')
    url = server.add("/a", resource)

    def swap(count: int) -> None:
        resource.content, resource.etag = CONTENT, '"new"'

    assert fetch(host, tmp_path, url, sha256=None, size=None, on_bytes=swap).sha256 == SHA256


def test_cut_without_validator_and_hash_starts_over(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT, cuts=[100_000], etag=""))
    assert fetch(host, tmp_path, url, sha256=None, size=None).sha256 == SHA256
    assert [headers.get("range") for headers in server.seen("/a")] == [None, None]


def test_server_without_ranges_starts_over(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT, cuts=[100_000], ranges=False))
    heard = Bytes()
    assert fetch(host, tmp_path, url, on_bytes=heard).sha256 == SHA256
    assert -100_000 in heard
    assert sum(heard) == len(CONTENT)


def test_server_with_wrong_ranges_starts_over(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT, cuts=[100_000], wrong_range=True))
    assert fetch(host, tmp_path, url, sha256=None, size=None).sha256 == SHA256


def test_cut_of_a_body_without_length(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT, cuts=[100_000], framed=False))
    assert fetch(host, tmp_path, url).sha256 == SHA256


def test_leftover_of_an_earlier_run_is_continued(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT))
    (tmp_path / "a.part").write_bytes(CONTENT[:200_000])
    heard = Bytes()
    fetch(host, tmp_path, url, on_bytes=heard)
    assert [headers.get("range") for headers in server.seen("/a")] == ["bytes=200000-"]
    assert sum(heard) == len(CONTENT)


def test_complete_leftover_needs_no_request(server: Server, host: Host, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(CONTENT)
    assert fetch(host, tmp_path, server.url + "/a").size == len(CONTENT)
    assert server.requests == []


@pytest.mark.parametrize("left", [b"wrong" * 10_000, b"w" * 300_000, b"w" * 400_000])
def test_wrong_leftover_is_not_held_against_the_server(server: Server, host: Host, tmp_path: Path, left: bytes) -> None:
    url = server.add("/a", Resource(CONTENT))
    (tmp_path / "a.part").write_bytes(left)
    heard = Bytes()
    assert fetch(host, tmp_path, url, on_bytes=heard).sha256 == SHA256
    assert (tmp_path / "a.part").read_bytes() == CONTENT
    assert sum(heard) == len(CONTENT)
    assert not (tmp_path / "quarantine").exists()


def test_wrong_content_is_quarantined(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a.whl", Resource(b"something else"))
    secret = url.replace("http://", "http://me:secret@")
    with pytest.raises(StoreError) as error:
        fetch(host, tmp_path, secret, name="a-1.0.whl")
    kept = list((tmp_path / "quarantine").iterdir())
    other = hashlib.sha256(b"something else").hexdigest()
    assert [path.read_bytes() for path in kept] == [b"something else"]
    assert "secret" not in str(error.value)
    assert not isinstance(error.value, GoneError)
    for part in ("a-1.0.whl", SHA256, other, "me:***@", str(kept[0])):
        assert part in str(error.value)
    assert not (tmp_path / "a.part").exists()


def test_wrong_leftover_and_wrong_server(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(b"something else"))
    (tmp_path / "a.part").write_bytes(b"some")
    with pytest.raises(StoreError, match="SHA-256"):
        fetch(host, tmp_path, url)
    assert len(list((tmp_path / "quarantine").iterdir())) == 1


def test_next_place_after_a_wrong_file(server: Server, host: Host, tmp_path: Path) -> None:
    bad = server.add("/bad", Resource(b"x" * 300_000))
    good = server.add("/good", Resource(CONTENT))
    assert fetch(host, tmp_path, server.url + "/absent", bad, good).url == good


def test_every_fault_is_listed(server: Server, host: Host, tmp_path: Path) -> None:
    bad = server.add("/bad", Resource(b"x"))
    refused = server.add("/refused", Resource(CONTENT, statuses=[403]))
    with pytest.raises(StoreError) as error:
        fetch(host, tmp_path, server.url + "/absent", bad, refused)
    assert not isinstance(error.value, GoneError)
    for part in ("/absent: HTTP 404", "/refused: HTTP 403", f"from      {bad}"):
        assert part in str(error.value)


def test_endless_wrong_content_is_cut_off(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(b"x" * 17_000_000))
    with pytest.raises(StoreError, match="10 were expected"):
        fetch(host, tmp_path, url, size=10)
    assert not (tmp_path / "a.part").exists()


def test_gone_everywhere(server: Server, host: Host, tmp_path: Path) -> None:
    gone = server.add("/gone", Resource(statuses=[410]))
    missing = (tmp_path / "nowhere").as_uri()
    with pytest.raises(GoneError) as error:
        fetch(host, tmp_path, server.url + "/a_1.0.deb", gone, missing, name="a_1.0.deb")
    assert error.value.gone == ("a_1.0.deb",)
    assert len(server.requests) == 2, "what is not there is asked for once"


def test_no_place_at_all_is_gone(host: Host, tmp_path: Path) -> None:
    with pytest.raises(GoneError, match="no place"):
        fetch(host, tmp_path, name="a")


def test_busy_then_fine(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT, statuses=[503, 502, 429]))
    assert fetch(host, tmp_path, url).sha256 == SHA256


def test_busy_for_good(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT, statuses=[503] * 20, headers={"Retry-After": "0"}))
    with pytest.raises(StoreError, match="HTTP 503") as error:
        fetch(host, tmp_path, url)
    assert not isinstance(error.value, GoneError)
    assert len(server.requests) == 5


def test_retry_after_is_honoured(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT, statuses=[429], headers={"Retry-After": "2"}))
    start = time.monotonic()
    fetch(host, tmp_path, url)
    assert 2 <= time.monotonic() - start < 4


def test_long_retry_after_is_not_waited_for(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT, statuses=[429], headers={"Retry-After": "3600"}))
    other = server.add("/b", Resource(CONTENT))
    start = time.monotonic()
    assert fetch(host, tmp_path, url, other).url == other
    assert time.monotonic() - start < 2


def test_many_cuts_do_not_use_up_the_attempts_of_a_large_file(server: Server, host: Host, tmp_path: Path) -> None:
    content = bytes(os.urandom(12 << 20))
    url = server.add("/a", Resource(content, cuts=[1 << 20] * 10))
    got = fetch(host, tmp_path, url, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    assert got.size == len(content)
    assert len(server.requests) == 11


def test_redirect(server: Server, host: Host, tmp_path: Path) -> None:
    server.add("/b", Resource(CONTENT))
    url = server.add("/a", Resource(statuses=[302] * 9, headers={"Location": "/b"}))
    assert fetch(host, tmp_path, url).sha256 == SHA256


def test_redirect_without_end(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(statuses=[302] * 99, headers={"Location": "/a"}))
    with pytest.raises(StoreError, match="redirects"):
        fetch(host, tmp_path, url)


def test_file_url_and_path(host: Host, tmp_path: Path) -> None:
    source = tmp_path / "a file+1.whl"
    source.write_bytes(CONTENT)
    assert fetch(host, tmp_path, source.as_uri()).sha256 == SHA256
    (tmp_path / "a.part").unlink()
    assert fetch(host, tmp_path, str(source)).sha256 == SHA256
    assert source.read_bytes() == CONTENT


def test_folder_in_the_place_of_a_file(host: Host, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="directory"):
        fetch(host, tmp_path, tmp_path.as_uri())


@pytest.mark.parametrize("url", ["ftp://example.invalid/a", "http://[/a", "file://elsewhere/a"])
def test_unusable_url(host: Host, tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError) as error:
        fetch(host, tmp_path, url)
    assert not isinstance(error.value, GoneError)


def test_no_network(host: Host, tmp_path: Path) -> None:
    start = time.monotonic()
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        dead: dict[str, str] = {}
        with pytest.raises(NetworkError, match=r"a\.whl: no network connection to 127\.0\.0\.1") as error:
            fetch(host, tmp_path, url, url + "2", dead=dead, name="a.whl")
        assert time.monotonic() - start < 8
        assert "proxy" in error.value.hint
        start = time.monotonic()
        with pytest.raises(NetworkError):
            fetch(host, tmp_path, url + "3", dead=dead, name="b.whl")
        assert time.monotonic() - start < 0.2, "a host that is known to be unreachable is not tried again"


def test_unknown_host(host: Host, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"no network connection to nowhere\.invalid"):
        fetch(host, tmp_path, "http://nowhere.invalid/a")


def test_untrusted_certificate(host: Host, tmp_path: Path) -> None:
    key, pem = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    server.add("/a", Resource(CONTENT))
    url = f"https://localhost:{server.host.rpartition(':')[2]}/a"
    try:
        with pytest.raises(StoreError, match="certificate of localhost is not trusted") as error:
            fetch(host, tmp_path, url)
        assert "SSL_CERT_FILE" in error.value.hint
        for variable in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
            trusting = Host(environ={**host.environ, variable: str(pem)}, etc=host.etc)
            (tmp_path / "a.part").unlink(missing_ok=True)
            assert fetch(trusting, tmp_path, url).sha256 == SHA256
    finally:
        server.close()


def test_cancel(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT))
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        fetch(host, tmp_path, url, cancel=cancel)


def test_verify_rejects(server: Server, host: Host, tmp_path: Path) -> None:
    bad, good = server.add("/bad", Resource(b"bad")), server.add("/good", Resource(CONTENT))

    def verify(path: Path) -> str | None:
        return None if path.read_bytes() == CONTENT else "its integrity is wrong"

    assert fetch(host, tmp_path, bad, good, sha256=None, size=None, verify=verify).url == good
    with pytest.raises(StoreError, match="its integrity is wrong"):
        fetch(host, tmp_path, bad, sha256=None, size=None, verify=verify)
    assert [path.read_bytes() for path in (tmp_path / "quarantine").iterdir()] == [b"bad"]


def test_file_too_large_for_a_quota(server: Server, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT))
    program = f"""
import resource, sys
from pathlib import Path
from dsvm.host import DiskFullError, Host, download
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    download(Host.detect().client, [{url!r}], Path({str(tmp_path / "a.part")!r}), sha256={SHA256!r}, size=300000)
except DiskFullError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "disk full" in done.stdout, done.stderr
    assert "300000 bytes are needed" in done.stdout
    assert str(tmp_path) in done.stdout
    assert not (tmp_path / "a.part").exists()
    assert len(server.requests) == 1
    assert limits.getrlimit(limits.RLIMIT_FSIZE)[0] != 100_000


def test_folder_that_cannot_be_written(server: Server, host: Host, tmp_path: Path) -> None:
    url = server.add("/a", Resource(CONTENT))
    with pytest.raises(StoreError, match="No such file") as error:
        download(host.client, [url], tmp_path / "missing" / "a.part", sha256=SHA256)
    assert not isinstance(error.value, GoneError | DiskFullError)


class Drip(BaseHTTPRequestHandler):
    """Promises all of the file, and gives a few bytes of it at a time."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        for start in range(0, 2_000, 10):
            try:
                self.wfile.write(CONTENT[start : start + 10])
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.02)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def dripping() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Drip) as slow:
        slow.daemon_threads = True
        threading.Thread(target=slow.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{slow.server_address[1]}/a"
        slow.shutdown()


def test_a_mirror_that_drips_is_given_up_for_the_next_one(
    server: Server, host: Host, tmp_path: Path, dripping: str
) -> None:
    url = server.add("/a", Resource(CONTENT))
    begun = time.monotonic()
    got = fetch(host, tmp_path, dripping, url, floor=10_000.0, patience=0.5)
    assert (got.url, got.sha256) == (url, SHA256)
    assert time.monotonic() - begun < 3
    assert server.seen("/a")[0]["range"].startswith("bytes="), "what had dripped is not fetched again"


def test_a_lone_mirror_that_drips_is_named(host: Host, tmp_path: Path, dripping: str) -> None:
    with pytest.raises(StoreError, match=r"only \d+ bytes a second for \d+ s: given up"):
        fetch(host, tmp_path, dripping, floor=10_000.0, patience=0.5)
