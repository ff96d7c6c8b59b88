"""Byte code is what its source gives when it is compiled again, or it is found."""

from __future__ import annotations

import json
import marshal
import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dsvm.ledger import recompile
from dsvm.ledger.bytecode import work_on
from dsvm.model import Entry

SOURCE = """\
import os


class A:
    '''A class.'''

    def f(self, x={1: 'a'}, *more):
        assert x in {'a', 'b', 'c'}
        return [x for _ in more]
"""
TAG = f"cpython-{sys.version_info.major}{sys.version_info.minor}"


def cached(source: Path, level: int = 0) -> Path:
    made = py_compile.compile(str(source), optimize=level, doraise=True)
    assert made is not None
    return Path(made)


def asked(*rows: tuple[Path, Path, int], folder: Path) -> set[str]:
    """What the program says differs, as it is run in an image."""
    listed = folder / "list.json"
    listed.write_text(json.dumps([[str(one), str(source), level] for one, source, level in rows]))
    options = ("-I", "-S", "-B", "-X", "pycache_prefix=/nonexistent")
    done = subprocess.run(
        [sys.executable, *options, recompile.__file__, listed], capture_output=True, text=True, check=True
    )
    *found, last = done.stdout.splitlines()
    assert last == "done"
    return {Path(json.loads(line)).name for line in found}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return path


def test_byte_code_of_the_source_is_the_same_wherever_it_was_compiled(module: Path, tmp_path: Path) -> None:
    twin = tmp_path / "a/much/longer/place/module.py"
    twin.parent.mkdir(parents=True)
    twin.write_text(SOURCE)
    rows = [(cached(module, level), module, level) for level in (0, 1, 2)]
    # of an equal source, as environments share them: what was compiled of the other one serves
    rows += [(cached(twin, level), module, level) for level in (0, 1, 2)]
    assert asked(*rows, folder=tmp_path) == set()
    wrong = [(one, source, (level + 1) % 3) for one, source, level in rows]
    assert asked(*wrong, folder=tmp_path) == {one.name for one, _, _ in rows}, "levels differ: assert and docstrings"


def other_code(path: Path) -> bytes:
    return marshal.dumps(compile(SOURCE.replace("return [x", "return [os"), str(path), "exec"))


SPOILED: dict[str, Callable[[Path], bytes]] = {
    "other code": other_code,
    "another constant": lambda path: marshal.dumps(compile(SOURCE.replace("'b'", "'d'"), str(path), "exec")),
    "no code": lambda path: marshal.dumps({"a": 1}),
    "nothing": lambda path: b"",
    "no marshalled data": lambda path: b"\xff" * 100,
    "what ends too early": lambda path: other_code(path)[:50],
    # a tuple of so many parts that reading it needs more memory than there is
    "what asks for too much": lambda path: b"(" + (2**31 - 1).to_bytes(4, "little"),
    # deeper than the stack
    "what nests too deeply": lambda path: b")\x01" * 100_000 + b"N",
}


@pytest.mark.parametrize("how", SPOILED)
def test_other_code_behind_a_header_that_agrees_is_found(how: str, module: Path, tmp_path: Path) -> None:
    good = cached(module)
    bad = good.with_name(f"bad.{TAG}.pyc")
    bad.write_bytes(good.read_bytes()[:16] + SPOILED[how](module))
    # between good ones: what it does to its process spoils nothing else
    rows = [(good, module, 0), (bad, module, 0), (good, module, 0)]
    assert asked(*rows, folder=tmp_path) == {bad.name}


def test_what_ends_the_process_differs_and_nothing_else(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a crash of Python would end it: here the time limit does, as nobody writes into the pipe."""
    good = cached(module)
    pipe = good.with_name(f"pipe.{TAG}.pyc")
    os.mkfifo(pipe)
    monkeypatch.setattr(recompile, "SECONDS", 1)
    jobs = [[str(one), str(module), 0] for one in (good, pipe, good)]
    assert recompile.differing(jobs) == [str(pipe)]


def test_a_source_that_is_no_python_has_no_byte_code(module: Path, tmp_path: Path) -> None:
    good = cached(module)
    module.write_text("def (:\n")
    assert asked((good, module, 0), folder=tmp_path) == {good.name}
    module.unlink()
    assert asked((good, module, 0), folder=tmp_path) == {good.name}


# --- which byte code, by which Python ---------------------------------------------------------------------------

SHA = "a" * 64
PYC = "/opt/envs/x/lib/python3.11/site-packages/m/__pycache__/m.cpython-311.pyc"
PY = "/opt/envs/x/lib/python3.11/site-packages/m/m.py"


def file(sha256: str = SHA, **more: object) -> Entry:
    return Entry("file", 0o644, size=1, sha256=sha256)._replace(**more)  # type: ignore[arg-type]


def world() -> tuple[dict[str, tuple[Entry, int]], dict[str, list[tuple[Entry, str]]]]:
    tree = {
        "/usr/bin/python3.11": (file("b" * 64), 0),
        "/opt/envs/x/bin/python3.11": (Entry("link", target="python"), 1),
        "/opt/envs/x/bin/python": (Entry("link", target="/usr/bin/python3.11"), 1),
        PY: (file(), 1),
        PYC: (file("c" * 64), 1),
    }
    return tree, {"/usr/bin/python3.11": [(file("b" * 64), "python3.11-minimal 1")], PY: [(file(), "m 1")]}


def test_byte_code_is_compiled_by_the_python_of_its_environment() -> None:
    tree, wanted = world()
    (job,) = work_on(tree, wanted).jobs
    assert (job.cached, job.source, job.level, job.python) == (PYC, PY, 0, "/usr/bin/python3.11")
    tree["/opt/envs/x/bin/python3.11"] = file("d" * 64), 1
    wanted["/opt/envs/x/bin/python3.11"] = [(file("d" * 64), "python 3.11")]
    (own,) = work_on(tree, wanted).jobs
    assert own.python == "/opt/envs/x/bin/python3.11"
    assert own.key != job.key, "by another Python it is another question"


def test_what_need_not_or_cannot_be_compared() -> None:
    tree, wanted = world()
    assert work_on(tree, wanted, {PYC}).jobs == (), "it is stale already"
    wanted[PYC] = [(file("c" * 64), "m 1")]
    assert work_on(tree, wanted).jobs == (), "an artefact has it so"
    wanted[PYC] = [(file("e" * 64), "m 1")]
    assert work_on(tree, wanted).jobs
    tree["/usr/bin/python3.11"] = file("f" * 64), 1
    (one,) = work_on(tree, wanted).differences
    assert (one.verdict, one.path, one.layer) == ("stale", "/usr/bin/python3.11", 1)
    assert "not one that was locked" in one.what and work_on(tree, wanted).jobs == ()
    del tree["/usr/bin/python3.11"]
    (one,) = work_on(tree, wanted).differences
    assert (one.path, one.what) == (PYC, "there is no /usr/bin/python3.11 to compile its source again")


def test_what_is_no_byte_code_is_not_asked_about() -> None:
    tree, wanted = world()
    del tree[PY]
    assert work_on(tree, wanted).jobs == ()
