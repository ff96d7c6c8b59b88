"""Continuous integration fails when a test is skipped that tests/conftest.py does not name."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """\
import pytest

@pytest.mark.skipif(True, reason="no such program")
@pytest.mark.parametrize("case", ["a[1]", "b"])
def test_marked(case): pass

def test_in_the_body(): pytest.skip("not today")

@pytest.fixture
def missing(): pytest.skip("a fixture has none")

def test_in_a_fixture(missing): pass

@pytest.mark.xfail
def test_known_to_fail(): assert False

def test_good(): pass
"""
MODULE = "import pytest\npytest.importorskip('no_such_module')\ndef test_never(): pass\n"


class Project:
    """A folder with the real tests/conftest.py, whose list may be another one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tests").mkdir()
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "tests/test_one.py").write_text(TESTS)
        (folder / "tests/test_two.py").write_text(MODULE)
        self.allow()

    def allow(self, *patterns: str) -> None:
        allowed = dict.fromkeys(patterns, "a reason")
        text = CONFTEST.read_text()
        (self.folder / "tests/conftest.py").write_text(f"{text}\nMAY_BE_SKIPPED = {allowed}\n")

    def run(self, *words: str, forbid: bool = True) -> tuple[int, list[str]]:
        """Exit code of the tests, and the lines about skips."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "DSVM_"))}
        environment |= {"DSVM_FORBID_SKIPS": "1"} if forbid else {}
        argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
        done = subprocess.run(argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.returncode, [line for line in done.stdout.splitlines() if line.startswith("may ")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
LIST = "(MAY_BE_SKIPPED, tests/conftest.py)"


@WORKERS
def test_every_kind_of_skip_that_is_not_on_the_list_fails_the_run(project: Project, workers: tuple[str, ...]) -> None:
    project.allow("tests/test_one.py::test_marked[[]b]", "tests/test_one.py::test_good", "tests/test_other.py::*")
    code, said = project.run(*workers)
    assert code == 1
    assert said == [
        f"may not be skipped {LIST}: tests/test_one.py::test_in_a_fixture: a fixture has none",
        f"may not be skipped {LIST}: tests/test_one.py::test_in_the_body: not today",
        f"may not be skipped {LIST}: tests/test_one.py::test_marked[a[1]]: no such program",
        f"may not be skipped {LIST}: tests/test_two.py: could not import 'no_such_module': "
        "No module named 'no_such_module'",
        f"may be skipped, and was not {LIST}: tests/test_one.py::test_good",
    ]


def test_what_is_on_the_list_may_be_skipped(project: Project) -> None:
    project.allow("tests/test_one.py::test_marked*", "tests/test_one.py::test_in_*", "tests/test_two.py")
    assert project.run() == (0, [])


def test_elsewhere_than_in_continuous_integration_everything_may_be_skipped(project: Project) -> None:
    assert project.run(forbid=False) == (0, [])


def test_every_pattern_names_a_test_that_there_is() -> None:
    root = CONFTEST.parents[1]
    for pattern in runpy.run_path(str(CONFTEST))["MAY_BE_SKIPPED"]:
        file, _, name = pattern.partition("::")
        assert f"\ndef {name.rstrip('*')}" in (root / file).read_text(), pattern
