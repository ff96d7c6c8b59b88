from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from server import Resource, Server

from dsvm.host import DiskFullError, Host
from dsvm.model import GoneError, StoreError
from dsvm.screen.fetch import LineProgress, fetch_progress
from dsvm.store import FetchSummary, Store, Want
from dsvm.store.trees import check_names


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def want(content: bytes, *urls: str, name: str = "a.whl") -> Want:
    return Want(name, sha(content), len(content), lambda: urls)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class Heard:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.total, self.files, self.bytes, self.stopped = 0, 0, 0, 0
        self.done: list[str] = []

    def start(self, total_bytes: int, files: int) -> None:
        self.total, self.files = total_bytes, files

    def advance(self, count: int) -> None:
        self.bytes += count

    def done_file(self, name: str) -> None:
        self.done.append(name)

    def stop(self) -> None:
        self.stopped += 1


def python(program: str, *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fetch_program(store: Store, content: bytes, url: str, name: str = "a.whl") -> str:
    return f"""
        from pathlib import Path
        from dsvm.host import Host
        from dsvm.store import Store, Want
        want = Want({name!r}, {sha(content)!r}, {len(content)}, lambda: [{url!r}])
        print(Store(Path({str(store.root)!r})).fetch([want], host=Host.detect()))
    """


# --- adding ---


def test_add(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"content")
    assert not store.has(sha(b"content"))
    assert store.add(source) == (sha(b"content"), 7)
    assert store.add(source, sha256=sha(b"content")) == (sha(b"content"), 7)
    blob = store.path(sha(b"content"))
    assert store.has(blob.name, 7) and not store.has(blob.name, 8)
    assert blob.read_bytes() == b"content"
    assert blob.stat().st_mode & 0o777 == 0o444
    source.write_bytes(b"changed")
    assert blob.read_bytes() == b"content"
    assert list((store.root / "partial").iterdir()) == []


def test_add_the_wrong_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(StoreError, match=sha(b"other")):
        store.add(tmp_path / "file", sha256=sha(b"other"))
    with pytest.raises(StoreError, match="No such file"):
        store.add(tmp_path / "missing")
    assert not store.has(sha(b"content"))
    assert list((store.root / "partial").iterdir()) == []


def test_times_depend_on_content_alone(store: Store, tmp_path: Path) -> None:
    times = []
    for content in (b"one", b"two"):
        (tmp_path / "file").write_bytes(content)
        store.add(tmp_path / "file")
        Store(tmp_path / "other").add(tmp_path / "file")
        here, there = (Store(tmp_path / name).path(sha(content)).stat() for name in ("store", "other"))
        assert here.st_mtime == there.st_mtime < time.time()
        times.append(here.st_mtime)
    assert times[0] != times[1]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "ab" * 31, "AB" * 32, "g" * 64])
def test_path_takes_only_hashes(store: Store, name: str) -> None:
    with pytest.raises(StoreError):
        store.path(name)


# --- fetching ---


def test_fetch(server: Server, host: Host, store: Store) -> None:
    contents = [os.urandom(size) for size in (10, 200_000, 30_000, 0)]
    urls = [server.add(f"/{index}", Resource(content)) for index, content in enumerate(contents)]
    wants = [want(content, url, name=url[-1]) for content, url in zip(contents, urls, strict=True)]
    heard = Heard()
    # the same file under two names is fetched once
    summary = store.fetch([*wants, want(contents[0], urls[0], name="again")], host=host, progress=heard)
    assert summary == FetchSummary(fetched=4, reused=0, bytes=230_010)
    assert [store.path(sha(content)).read_bytes() for content in contents] == contents
    assert (heard.total, heard.bytes, heard.files, heard.stopped) == (230_010, 230_010, 4, 1)
    assert len(heard.done) == 4 == len(server.requests)
    assert list((store.root / "partial").iterdir()) == []
    assert store.fetch(wants, host=host) == FetchSummary(fetched=0, reused=4, bytes=0)
    assert len(server.requests) == 4


def test_largest_first(server: Server, host: Host, store: Store) -> None:
    contents = [b"x" * size for size in (1, 300, 20)]
    wants = [
        want(content, server.add(f"/{len(content)}", Resource(content)), name=str(len(content))) for content in contents
    ]
    store.fetch(wants, host=host, jobs=1)
    assert [request.path for request in server.requests] == ["/300", "/20", "/1"]


def test_a_damaged_size_is_fetched_again(server: Server, host: Host, store: Store) -> None:
    one = want(b"content", server.add("/a", Resource(b"content")))
    store.path(one.sha256).parent.mkdir(parents=True)
    store.path(one.sha256).write_bytes(b"cont")
    assert store.fetch([one], host=host).fetched == 1
    assert store.path(one.sha256).read_bytes() == b"content"


def test_all_failures_are_reported(server: Server, host: Host, store: Store) -> None:
    good = want(b"good", server.add("/good", Resource(b"good")), name="good")
    wrong = want(b"right", server.add("/wrong", Resource(b"wrong")), name="wrong")
    gone = want(b"gone", server.url + "/gone", name="gone")
    with pytest.raises(StoreError) as error:
        store.fetch([wrong, gone, good], host=host)
    assert not isinstance(error.value, GoneError)
    assert "2 of 3 files" in error.value.message
    for part in ("gone: no longer served", "wrong: its SHA-256", sha(b"right"), sha(b"wrong"), "quarantine/"):
        assert part in error.value.message
    assert store.has(good.sha256), "one failure does not stop the rest"
    assert not store.has(wrong.sha256)


def test_gone(server: Server, host: Host, store: Store) -> None:
    wants = [want(name.encode(), f"{server.url}/{name}", name=name) for name in ("b.deb", "a.deb")]
    with pytest.raises(GoneError) as error:
        store.fetch(wants, host=host)
    assert error.value.gone == ("a.deb", "b.deb")
    assert "a.deb\n  b.deb" in error.value.message
    with pytest.raises(GoneError) as error:
        store.fetch(wants[:1], host=host)
    assert error.value.gone == ("b.deb",)


def test_a_place_that_cannot_be_asked_is_not_gone(host: Host, store: Store) -> None:
    def locate() -> Iterator[str]:
        yield (store.root / "absent").as_uri()
        raise StoreError("the index is down")

    with pytest.raises(StoreError, match="the index is down") as error:
        store.fetch([Want("a", sha(b"a"), 1, locate)], host=host)
    assert not isinstance(error.value, GoneError)


def test_later_places_are_asked_only_when_needed(server: Server, host: Host, store: Store) -> None:
    def locate() -> Iterator[str]:
        yield server.add("/a", Resource(b"a"))
        raise AssertionError("asked for more")

    store.fetch([Want("a", sha(b"a"), 1, locate)], host=host)


def test_a_bug_is_not_swallowed(server: Server, host: Host, store: Store) -> None:
    def locate() -> Iterable[str]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.fetch([Want("a", sha(b"a"), 1, locate)], host=host)


def test_a_bug_does_not_wait_for_the_others(server: Server, host: Host, store: Store) -> None:
    resource = Resource(b"content", stall=1)
    stalled = want(b"content", server.add("/a", resource))

    def locate() -> Iterable[str]:
        assert resource.stalled.wait(10)
        time.sleep(0.3)  # until the other one waits for more
        raise ZeroDivisionError

    start = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        store.fetch([stalled, Want("b", sha(b"b"), 1, locate)], host=host)
    assert time.monotonic() - start < 6


def test_no_network_is_said_once(host: Host, store: Store) -> None:
    wants = [want(bytes([n]), f"http://nowhere.invalid/{n}", name=f"p{n:02}") for n in range(40)]
    start = time.monotonic()
    with pytest.raises(StoreError) as error:
        store.fetch(wants, host=host)
    assert time.monotonic() - start < 10
    assert error.value.message.count("no network connection to nowhere.invalid") == 1
    assert "p00\n    p01\n" in error.value.message
    assert "and 30 more" in error.value.message
    assert "proxy" in error.value.hint


def test_not_enough_room(host: Host, store: Store, server: Server) -> None:
    with pytest.raises(StoreError, match=r"disk full: 1 files need .* GB, .* are free"):
        store.fetch([Want("a", sha(b"a"), 1 << 60, lambda: [server.url + "/a"])], host=host)
    assert server.requests == []


def test_disk_full_while_fetching(host: Host, server: Server, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small file system")
    try:
        content = os.urandom(4 << 20)
        url = server.add("/a", Resource(content))
        store = Store(small / "store")
        with pytest.raises(DiskFullError, match="disk full") as error:
            store.fetch([Want("a", sha(content), 1000, lambda: [url])], host=host)
        assert str(small) in error.value.message
        assert list((store.root / "partial").iterdir()) == [], "what was written is freed"
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_store_that_cannot_be_written(host: Host, server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file" / "store")
    with pytest.raises(StoreError, match="DSVM_STORE"):
        store.fetch([want(b"a", server.url + "/a")], host=host)


def test_leftover_is_continued(server: Server, host: Host, store: Store) -> None:
    content = os.urandom(200_000)
    one = want(content, server.add("/a", Resource(content)))
    store.partial(one.sha256).parent.mkdir(parents=True)
    store.partial(one.sha256).write_bytes(content[:150_000])
    heard = Heard()
    assert store.fetch([one], host=host, progress=heard).bytes == 200_000
    assert [headers.get("range") for headers in server.seen("/a")] == ["bytes=150000-"]
    assert heard.bytes == heard.total == 200_000


def test_two_runs_at_once_download_once(server: Server, store: Store) -> None:
    content = os.urandom(300_000)
    resource = Resource(content, stall=100_000)
    url = server.add("/a", resource)
    first = python(fetch_program(store, content, url))
    assert resource.stalled.wait(20)
    second = python(fetch_program(store, content, url))
    time.sleep(1.5)
    assert second.poll() is None
    assert not store.has(sha(content)), "visible only when it is whole"
    resource.go.set()
    outputs = [process.communicate(timeout=30) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], outputs
    assert len(server.seen("/a")) == 1
    assert "fetched=1, reused=0, bytes=300000" in outputs[0][0]
    assert "fetched=0, reused=1, bytes=0" in outputs[1][0]
    assert store.path(sha(content)).read_bytes() == content


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_run_is_continued(server: Server, host: Host, store: Store, how: signal.Signals) -> None:
    content = os.urandom(3 << 20)
    resource = Resource(content, stall=2 << 20)
    url = server.add("/a", resource)
    process = python(fetch_program(store, content, url))
    assert resource.stalled.wait(20)
    time.sleep(0.3)
    start = time.monotonic()
    process.send_signal(how)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start < 4
    assert process.returncode != 0
    assert (how == signal.SIGINT) == ("KeyboardInterrupt" in errors)
    assert not store.has(sha(content))
    resource.stall = None
    resource.go.set()
    store.fetch([want(content, url)], host=host)
    asked = re.fullmatch(r"bytes=(\d+)-", server.seen("/a")[1].get("range", ""))
    assert asked and int(asked[1]) >= 1 << 20
    assert store.path(sha(content)).read_bytes() == content


# --- downloads of what has no hash yet ---


def test_download(server: Server, host: Host, store: Store) -> None:
    url = server.add("/a.tgz", Resource(b"content"))
    assert store.download([url], name="a.tgz", host=host) == (sha(b"content"), 7)
    assert store.path(sha(b"content")).read_bytes() == b"content"
    # a hash that is known and there needs no network
    assert store.download([url], name="a", host=host, sha256=sha(b"content")) == (sha(b"content"), 7)
    assert len(server.requests) == 1


def test_download_of_a_wrong_file(server: Server, host: Host, store: Store) -> None:
    url = server.add("/a.tgz", Resource(b"content"))
    with pytest.raises(StoreError, match="integrity"):
        store.download([url], name="a.tgz", host=host, verify=lambda path: "wrong integrity")
    with pytest.raises(StoreError, match=sha(b"other")):
        store.download([url], name="a.tgz", host=host, sha256=sha(b"other"))
    assert not store.has(sha(b"content"))
    assert list((store.root / "partial").iterdir()) == []


def test_broken_download_with_a_hash_is_continued(server: Server, host: Host, store: Store) -> None:
    content = os.urandom(300_000)
    resource = Resource(content, cuts=[200_000, 0, 0, 0, 0])
    url = server.add("/a.tgz", resource)
    with pytest.raises(StoreError, match="after 200000 bytes"):
        store.download([url], name="a.tgz", host=host, sha256=sha(content))
    before = len(server.requests)
    assert store.download([url], name="a.tgz", host=host, sha256=sha(content)) == (sha(content), 300_000)
    assert [headers.get("range") for headers in server.seen("/a.tgz")[before:]] == ["bytes=200000-"]


def test_download_by_key(server: Server, host: Host, store: Store) -> None:
    url = server.add("/a.tgz", Resource(b"content"))
    for _ in range(2):
        got = store.download([url], name="a.tgz", host=host, key="sha512-abc")
        assert got == (sha(b"content"), 7)
    assert len(server.requests) == 1
    store.prune(set())
    store.download([url], name="a.tgz", host=host, key="sha512-abc")
    assert len(server.requests) == 2


# --- trees ---


def add(store: Store, tmp_path: Path, content: bytes) -> str:
    source = tmp_path / "source"
    source.write_bytes(content)
    return store.add(source)[0]


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_tree(store: Store, tmp_path: Path) -> None:
    one, two = add(store, tmp_path, b"one"), add(store, tmp_path, b"two")
    dest = tmp_path / "new" / "tree"
    store.tree(dest, {"a": one, "b/c/d.deb": two, "b/same": one})
    assert listing(dest) == {"a": b"one", "b/c/d.deb": b"two", "b/same": b"one"}
    assert (dest / "a").samefile(store.path(one))
    inode = dest.stat().st_ino
    store.tree(dest, {"a": one, "b/c/d.deb": two, "b/same": one})
    assert dest.stat().st_ino == inode, "nothing to do"
    store.tree(dest, {"a": two})
    assert listing(dest) == {"a": b"two"}
    assert [path.name for path in dest.iterdir()] == ["a"]
    store.tree(dest, {})
    assert list(dest.iterdir()) == []
    assert [path.name for path in dest.parent.iterdir()] == ["tree"], "nothing is left beside it"
    assert store.path(one).read_bytes() == b"one"


def spoil_extra(dest: Path) -> None:
    (dest / "extra").write_text("x")


def spoil_folder(dest: Path) -> None:
    (dest / "folder").mkdir()


def spoil_link(dest: Path) -> None:
    (dest / "d" / "b").unlink()
    (dest / "d" / "b").symlink_to("../a")


def spoil_folder_link(dest: Path) -> None:
    (dest / "d").rename(dest.parent / "elsewhere")
    (dest / "d").symlink_to(dest.parent / "elsewhere")


def spoil_content(dest: Path) -> None:
    (dest / "a").unlink()
    (dest / "a").write_text("six")


def spoil_missing(dest: Path) -> None:
    (dest / "a").unlink()


def spoil_all(dest: Path) -> None:
    subprocess.run(["rm", "-r", dest], check=True)
    dest.write_text("a file")


@pytest.mark.parametrize(
    "spoil",
    [spoil_extra, spoil_folder, spoil_link, spoil_folder_link, spoil_content, spoil_missing, spoil_all],
)
def test_tree_is_put_right(store: Store, tmp_path: Path, spoil: object) -> None:
    one = add(store, tmp_path, b"one")
    dest = tmp_path / "tree"
    store.tree(dest, {"a": one, "d/b": one})
    spoil(dest)  # type: ignore[operator]
    store.tree(dest, {"a": one, "d/b": one})
    assert listing(dest) == {"a": b"one", "d/b": b"one"}
    assert sorted(path.name for path in dest.iterdir()) == ["a", "d"]
    assert not (dest / "d").is_symlink() and not (dest / "d/b").is_symlink()


def test_tree_on_another_file_system(store: Store, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    one = add(store, tmp_path, b"one")
    dest = other / f"dsvm-test-{os.getpid()}"
    try:
        store.tree(dest, {"a/b": one})
        inode = dest.stat().st_ino
        store.tree(dest, {"a/b": one})
        assert dest.stat().st_ino == inode, "a copy counts too"
        (dest / "a/b").chmod(0o644)
        (dest / "a/b").write_text("six")
        store.tree(dest, {"a/b": one})
        assert listing(dest) == {"a/b": b"one"}
    finally:
        subprocess.run(["rm", "-rf", dest], check=True)


def test_tree_of_a_missing_artefact(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, b"one")
    dest = tmp_path / "tree"
    store.tree(dest, {"a": one})
    with pytest.raises(StoreError, match=r"b\.whl: not in the store"):
        store.tree(dest, {"a": one, "b.whl": sha(b"missing")})
    assert listing(dest) == {"a": b"one"}, "the old one stays"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "store", "tree"]


def test_trees_at_once(store: Store, tmp_path: Path) -> None:
    hashes = {f"d/{n}": add(store, tmp_path, bytes([n])) for n in range(30)}
    dest, failures = tmp_path / "tree", []

    def work() -> None:
        try:
            for _ in range(5):
                store.tree(dest, hashes)
                store.tree(dest, dict(list(hashes.items())[:20]))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(listing(dest)) == 20


@pytest.mark.parametrize(
    "names",
    [["/a"], ["../a"], ["a/../b"], ["a//b"], ["./a"], ["a/"], [""], ["."], ["a\0"], ["a\n"], ["a\\b"], ["é" * 200],
     ["\ud800"], ["a", "a/b"]],
)  # fmt: skip
def test_bad_names(store: Store, tmp_path: Path, names: list[str]) -> None:
    one = add(store, tmp_path, b"one")
    with pytest.raises(StoreError):
        check_names(names)
    with pytest.raises(StoreError):
        store.tree(tmp_path / "tree", dict.fromkeys(names, one))
    assert not (tmp_path / "tree").exists()


@hypothesis_settings(max_examples=150)
@given(names=st.sets(st.text(st.sampled_from("ab./~ -\\\n'é"), max_size=8), max_size=6))
def test_any_names(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    """Either all names are refused and nothing changes, or the folder holds exactly these files."""
    here = tmp_path_factory.mktemp("any")
    store = Store(here / "store")
    one = add(store, here, b"one")
    dest = here / "within" / "tree"
    try:
        check_names(names)
    except StoreError:
        with pytest.raises(StoreError):
            store.tree(dest, dict.fromkeys(names, one))
        assert not dest.parent.exists()
    else:
        assert not any(".." in name.split("/") or name.startswith("/") for name in names)
        store.tree(dest, dict.fromkeys(names, one))
        assert set(listing(dest)) == names
        assert list(dest.parent.iterdir()) == [dest]
    assert sorted(path.name for path in here.iterdir() if path != dest.parent) == ["source", "store"]


# --- care ---


def test_verify(store: Store, tmp_path: Path) -> None:
    one, two = add(store, tmp_path, b"one"), add(store, tmp_path, b"two")
    store.path(two).chmod(0o644)
    store.path(two).write_bytes(b"owt")
    assert store.verify() == [two]
    assert store.has(one) and not store.has(two)
    assert len(list((store.root / "quarantine").iterdir())) == 1
    assert store.verify() == []


def test_prune(store: Store, tmp_path: Path) -> None:
    one, two = add(store, tmp_path, b"one"), add(store, tmp_path, b"twotwo")
    store.partial(sha(b"old")).write_bytes(b"ol")
    with store.locked(sha(b"busy")):
        store.partial(sha(b"busy")).write_bytes(b"bu")
        assert store.prune({one}) == (2, 8)
        assert store.partial(sha(b"busy")).exists()
    assert store.has(one) and not store.has(two)
    store.prune({one})
    assert [path for path in store.root.rglob("*") if path.is_file()] == [store.path(one)]
    assert Store(tmp_path / "nothing").prune(set()) == (0, 0)


def test_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DSVM_STORE", str(tmp_path / "here"))
    assert Store().root == tmp_path / "here"
    monkeypatch.delenv("DSVM_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Store().root == tmp_path / "cache/dsvm/store"


# --- progress ---


def test_plain_lines(tmp_path: Path) -> None:
    now = [100.0]
    path = tmp_path / "lines"
    with path.open("w") as stream:
        lines = LineProgress(stream, clock=lambda: now[0])
        lines.start(812_000_000, 430)
        for _ in range(24):
            now[0] += 1
            lines.advance(24_000_000)
            lines.done_file("a")
        lines.stop()
    assert path.read_text().splitlines() == [
        "fetch: 240 of 812 MB, 9 of 430 files, 24 MB/s, 0:24 left",
        "fetch: 480 of 812 MB, 19 of 430 files, 24 MB/s, 0:14 left",
        "fetch: 576 of 812 MB, 24 of 430 files, 24 MB/s, 0:10 left",
    ]


def test_bar_on_a_terminal(server: Server, host: Host, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    primary, secondary = os.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # how a terminal ends
            while chunk := os.read(primary, 10_000):
                shown.append(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    content = os.urandom(2_000_000)
    with os.fdopen(secondary, "w") as terminal:
        one = want(content, server.add("/a", Resource(content)))
        store.fetch([one], host=host, progress=fetch_progress(terminal))
    reader.join(10)
    os.close(primary)
    text = b"".join(shown).decode()
    assert "2.0/2.0 MB" in text
    assert "1/1 files" in text


def test_importing_is_cheap() -> None:
    program = "import sys, dsvm.store.store, dsvm.host.clients, dsvm.screen.fetch; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"httpx", "rich", "stamina", "filelock", "yaml", "debian", "pypi_simple"} & set(modules.split())
