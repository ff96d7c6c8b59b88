"""Nothing of a store reaches a build that is not what its name says: disks lie, and people edit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsvm.model import StoreError
from dsvm.store import Hashed, Store


def change(path: Path, text: bytes) -> None:
    """Other bytes of the same size, and the times of before."""
    stat = path.stat()
    assert len(text) == stat.st_size
    path.chmod(0o644)
    path.write_bytes(text)
    path.chmod(stat.st_mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, folder: Path, text: bytes) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "one").write_bytes(text)
    return store.add(folder / "one")[0]


def test_another_file_of_the_same_size_is_found_and_set_aside(store: Store, tmp_path: Path) -> None:
    sha256 = put(store, tmp_path / "in", b"good wheel")
    assert store.has(sha256)
    change(store.path(sha256), b"evil wheel")
    again = Store(store.root)
    assert not again.has(sha256)
    assert not store.path(sha256).exists()
    (kept,) = (store.root / "quarantine").iterdir()
    assert kept.read_bytes() == b"evil wheel"
    assert "damaged, its SHA-256 is" in again.damaged[0] and str(kept) in again.damaged[0]


def test_a_damaged_artefact_reaches_no_build(store: Store, tmp_path: Path) -> None:
    sha256 = put(store, tmp_path / "in", b"good wheel")
    store.tree(tmp_path / "tree", {"a.whl": sha256})
    change(store.path(sha256), b"evil wheel")  # the tree has a link to it
    with pytest.raises(StoreError, match=r"a\.whl: not in the store, or damaged there"):
        store.tree(tmp_path / "tree", {"a.whl": sha256})


def test_a_copy_in_a_tree_that_was_changed_is_made_anew(store: Store, tmp_path: Path) -> None:
    sha256 = put(store, tmp_path / "in", b"good wheel")
    store.tree(tmp_path / "tree", {"a.whl": sha256})
    copy = tmp_path / "tree/a.whl"
    stat = copy.stat()
    copy.unlink()
    copy.write_bytes(b"good wheel")
    copy.chmod(stat.st_mode)
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    change(copy, b"evil wheel")
    store.tree(tmp_path / "tree", {"a.whl": sha256})
    assert copy.read_bytes() == b"good wheel"


def read_by_us() -> int:
    """Bytes that this process has read so far, from wherever."""
    (line,) = (one for one in Path("/proc/self/io").read_text().splitlines() if one.startswith("rchar:"))
    return int(line.split()[1])


def test_what_did_not_change_is_read_once(tmp_path: Path) -> None:
    size = 40 << 20
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(size)
    first = Hashed(tmp_path / "hashed.json")
    before = read_by_us()
    digest = first.digest(path)
    assert read_by_us() - before >= size
    first.save()
    second = Hashed(tmp_path / "hashed.json")
    before = read_by_us()
    assert second.digest(path) == digest
    assert read_by_us() - before < size / 100


def test_links_that_come_and_go_with_trees_cost_no_hashing(store: Store, tmp_path: Path) -> None:
    sha256 = put(store, tmp_path / "in", b"good wheel")
    other = put(store, tmp_path / "in", b"more")
    store.tree(tmp_path / "tree", {"a.whl": sha256})
    store.tree(tmp_path / "tree", {"a.whl": sha256, "b.whl": other})
    stat = store.path(sha256).stat()
    known = Hashed(store.root / "hashed.json").known[f"{stat.st_dev}:{stat.st_ino}"]
    assert known == (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, sha256)


@pytest.mark.parametrize("text", ["", "[]", '{"1:2": 3}', '{"1:2": ["a", 1, 1, "x"]}', "[" * 100_000, "\x00"])
def test_a_memory_that_is_broken_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "hashed.json").write_text(text)
    (tmp_path / "one").write_bytes(b"x")
    hashed = Hashed(tmp_path / "hashed.json")
    assert hashed.digest(tmp_path / "one").startswith("2d711642")
    hashed.save()
    assert len(Hashed(tmp_path / "hashed.json").known) == 1
