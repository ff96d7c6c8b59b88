"""How the image suite runs a check: in an environment of the plan's, on this host in the place of an image."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import testinfra

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from image.harness import Image

PLANNED = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "WORDS": "a 'b' $c \"d\""}


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment as a bad image may set it, in which checks pass that should fail."""
    (tmp_path / "bashrc").write_text("false() { true; }\n")
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.sorted = list\n")
    for name, value in {
        "BASH_ENV": str(tmp_path / "bashrc"),
        "PYTHONOPTIMIZE": "1",
        "PYTHONPATH": str(tmp_path),
        "LD_LIBRARY_PATH": str(tmp_path),
        "A_LINE": "one\nDSVM_TOKEN=no\ntwo",
        "DSVM_TOKEN": "kept",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def image(settings: Mapping[str, object] | None = None) -> Image:
    return Image(testinfra.get_host("local://"), settings, PLANNED)


def test_a_check_sees_the_plan_s_environment_and_nothing_of_the_image_s(spoilt: Path) -> None:
    seen = dict(line.split("=", 1) for line in image().shell("env | grep =").expect_success().output.splitlines())
    assert {name: seen[name] for name in PLANNED} == PLANNED
    own = {"HOME", "USER", "LOGNAME", "DSVM_TOKEN", "PWD", "OLDPWD", "SHLVL", "_"}
    assert seen.keys() - PLANNED.keys() <= own
    assert (seen["HOME"], seen["DSVM_TOKEN"]) == ("/home/ds", "kept")


@pytest.mark.parametrize(
    "command", ["false", "python3 -c 'assert 1 == 2'", "python3 -c 'import sys; sys.exit(sorted([2, 1]) == [1, 2])'"]
)
def test_what_should_fail_fails_whatever_the_image_sets(spoilt: Path, command: str) -> None:
    assert image().shell(command).code != 0


def test_a_machine_s_user_keeps_the_home(spoilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/checker")
    assert image({"machine": {}}).read(["printenv", "HOME"]).strip() == "/home/checker"
