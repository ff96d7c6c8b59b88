"""What people, disks and strangers put before us: a fault that says where, in time, and nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dsvm import catalog as catalogs
from dsvm import lock as locks
from dsvm.catalog.models import kinds
from dsvm.catalog.reading import read_yaml
from dsvm.host import read_bounded, write_whole
from dsvm.lock.files import to_text
from dsvm.model import DsvmError, FileError, InputError, LockError

ROOT = Path(__file__).parents[2]
MANIFEST = (ROOT / "manifests/tools/code-server.yaml").read_bytes()
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{new}: &{new} {{{', '.join(f'k{n}: *{old}' for n in range(10))}, <<: *{old}}}\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "more than 100000 values"),
        (MERGES, "more than 100000 values"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 times"),
        ("[" * 100_000, "nested too deeply"),
        ("[\n" * 100_000, "nested too deeply"),
        ("- " * 100_000 + "a", "nested too deeply"),
        ("- " * 60 + "a", "nested more than 50 times"),
        ("a: " + "9" * 10_000, "a number of 10000 digits"),
        ("a: \x00", "not valid YAML"),
        ("\ufffe", "not valid YAML"),
        ("", "empty"),
    ],
)
def test_a_yaml_file_that_is_made_to_hurt(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    found = read_yaml(path)
    assert isinstance(found, str) and said in found, found


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(70 << 20)


def loop(path: Path) -> None:
    path.symlink_to(path)


OTHER_KINDS = pytest.mark.parametrize("make", [fifo, folder, large, loop], ids=lambda one: one.__name__)


@OTHER_KINDS
@pytest.mark.parametrize("name", ["tools/mine.yaml", "compat.yaml", "retired.yaml", "variants/mine.yaml"])
def test_what_is_no_file_is_a_fault_and_not_waited_for(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    make(path)
    with pytest.raises(InputError) as caught:
        catalogs.load([tmp_path])
    assert str(path) in caught.value.message


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "tools").write_text("tool: x")
    with pytest.raises(InputError, match="a folder is expected here"):
        catalogs.load([tmp_path])


@OTHER_KINDS
def test_a_lock_that_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "mine.json")
    with pytest.raises(LockError, match=r"mine\.json"):
        locks.read(tmp_path / "mine.json")


# A long run: DSVM_EXAMPLES=50000 pytest tests/unit/test_foreign_bytes.py tests/programs/test_trust.py -k edited
EXAMPLES = int(os.environ.get("DSVM_EXAMPLES", "300"))
LOCK = json.loads(to_text(tiny.lock()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, child in inner for one in places(child, (*path, key)))]


def changed(value: object, path: tuple[str | int, ...], new: object) -> object:
    if not path:
        return new
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: changed(value[key], tuple(rest), new)}
    assert isinstance(value, list) and isinstance(key, int)
    return [*value[:key], changed(value[key], tuple(rest), new), *value[key + 1 :]]


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(places(LOCK)), new=VALUES)
@example(place=(), new="\ud800")
def test_a_lock_that_somebody_edited_is_read_or_refused(
    tmp_path: Path, place: tuple[str | int, ...], new: object
) -> None:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(changed(LOCK, place, new)), encoding="utf-8")
    try:
        locks.read(path)
    except DsvmError as error:
        assert str(path) in error.message


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(MANIFEST)), gone=st.integers(0, 40), new=st.binary(max_size=8) | st.sampled_from(
    [b"[", b"{", b"&a ", b"*a", b"!!int ", b"<<: ", b"\n- ", b": ", b"\t", b"'", b'"', b"|\n", b"---\n", b"!!python/x "]
))  # fmt: skip
@example(at=158, gone=14, new=b"!!int")
@example(at=158, gone=14, new=b"!!bool x")
@example(at=158, gone=14, new=b"!!timestamp 9999-99-99")
def test_a_manifest_that_somebody_edited_is_read_or_refused(tmp_path: Path, at: int, gone: int, new: bytes) -> None:
    (tmp_path / "tools").mkdir(exist_ok=True)
    path = tmp_path / "tools/code-server.yaml"
    path.write_bytes(MANIFEST[:at] + new + MANIFEST[at + gone :])
    faults: list[str] = []
    found = catalogs.load_model(path, kinds()["tools"], faults)
    assert (found is None) == bool(faults)


# --- writing -------------------------------------------------------------------------------------------------


def test_a_file_is_whole_or_as_it_was_when_the_disk_is_full(tmp_path: Path) -> None:
    """RLIMIT_FSIZE is a full disk for one process."""
    path = tmp_path / "lock.json"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(FileError, match="disk full") as caught:
            write_whole(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert str(path) in caught.value.message and str(tmp_path) in caught.value.hint
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]


def test_something_else_is_in_the_files_place(tmp_path: Path) -> None:
    (tmp_path / "lock.json").mkdir()
    with pytest.raises(FileError, match=r"lock\.json: cannot be written"):
        write_whole(tmp_path / "lock.json", "x")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written"):
        write_whole(tmp_path / "file/lock.json", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "lock.json"]


def test_a_folder_that_nobody_can_write_to() -> None:
    with pytest.raises(FileError, match="/proc/dsvm: cannot be written"):
        write_whole(Path("/proc/dsvm"), "x")


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "one", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o644


def test_a_reader_takes_no_more_than_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 11)
    assert read_bounded(tmp_path / "one", 11) == b"x" * 11
    with pytest.raises(OSError, match="larger than"):
        read_bounded(tmp_path / "one", 10)


def test_a_full_standard_output_is_said_and_is_no_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "invoke", "list"], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 4
    assert "error: what is said here cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
