"""What a terminal of an image begins with: `dsvm-info --motd`, and when dsvm-start and login shells say it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsvm.plan.files import LOGIN

PROGRAMS = Path(__file__).parents[2] / "scripts" / "image"
spec = spec_from_file_location("greeting", PROGRAMS / "greeting.py")
assert spec is not None and spec.loader is not None
greeting = module_from_spec(spec)
spec.loader.exec_module(greeting)

TOOL = {"name": "git", "version": "1:2.39.5-0+deb12u2", "env": None}
IMAGE = {
    "variant": "lab",
    "created": "2026-11-22",
    "summary": "Everything for one processor",
    "accelerator": "gpu",
    "tools": [
        TOOL,
        {"name": "r", "version": "4.2.2.20221110-2", "env": None},
        {"name": "pandas", "version": "3.0.1", "env": "base"},
        {"name": "pytorch", "version": "2.13.0", "env": "pytorch"},
    ],
    "services": {"jupyterlab": {"port": 8888}},
}
names = st.text(st.sampled_from("abc-"), min_size=1, max_size=24)


def test_it_says_what_is_here(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(IMAGE))
    done = subprocess.run(
        [sys.executable, PROGRAMS / "dsvm-info", "--motd"],
        env={"PATH": os.environ["PATH"], "DSVM_MANIFEST": str(tmp_path / "manifest.json"), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (
        done.stdout
        == """\
lab of 2026-11-22: Everything for one processor

  Tools       4: dsvm-info lists them, dsvm-info NAME tells more of one
  Python      base (on the PATH), pytorch: dsvm-python NAME
  Languages   R 4.2.2
  Packages    pip install NAME: it goes to your home and needs no root
  GPU         none is seen here: everything runs on the processor (docker run
              --gpus all shows them)
  Services    jupyterlab (8888); each asks for its token
  Help        "Start Page" in JupyterLab, or dsvm-info --html > here.html
  Not again   touch ~/.hushlogin
"""
    )


def test_gpus_are_those_of_the_driver(tmp_path: Path) -> None:
    for number in range(2):
        place = tmp_path / f"0000:0{number}:00.0"
        place.mkdir()
        (place / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 11\n")
    gpus = greeting.seen_gpus(tmp_path)
    assert "  GPU         2 x NVIDIA H100 80GB HBM3" in list(greeting.lines(IMAGE, gpus, 80))
    assert greeting.seen_gpus(tmp_path / "nowhere") == []


@settings(max_examples=30)
@given(
    envs=st.lists(names, max_size=20),
    summary=st.text(st.sampled_from("ab c"), max_size=400),
    width=st.integers(60, 100),
)
def test_it_is_never_larger_than_a_screen(envs: list[str], summary: str, width: int) -> None:
    tools = [{**TOOL, "env": env} for env in envs] + [{**TOOL, "name": name} for name in greeting.LANGUAGES]
    services = {name: {"port": 12345} for name in envs}
    shown = list(greeting.lines({**IMAGE, "summary": summary, "tools": tools, "services": services}, [*envs], width))
    assert len(shown) <= 20
    assert max(map(len, shown)) <= width


def in_terminal(argv: Sequence[str | Path], **environment: str) -> str:
    """What a program shows on a terminal of its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execvpe(argv[0], [str(word) for word in argv], environment)
        finally:
            os._exit(127)
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # it has ended
        pass
    os.waitpid(pid, 0)
    return shown.decode()


@pytest.fixture
def login(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell for which dsvm-info says that it was asked, and whose profile is the image's."""
    (tmp_path / "bin").mkdir()
    for name, text in (("dsvm-info", "echo asked $1"), ("dsvm-python", "exit 1")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "profile").write_text(LOGIN.text or "")
    return {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:/usr/bin:/bin", "ENV": f"{tmp_path}/profile"}


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_the_first_shell_on_a_terminal_says_it(login: dict[str, str], shell: str) -> None:
    argv = [shell, *(["--posix"] if shell == "bash" else []), "-ic", ":"]
    assert in_terminal(argv, **login) == "asked --motd\r\n"
    for more in ({"TMUX": "/tmp/tmux,1,0"}, {"STY": "1.pts"}, {"SHLVL": "1"} if shell == "bash" else {"SHLVL": "2"}):
        assert in_terminal(argv, **login, **more) == "", more
    Path(login["HOME"], ".hushlogin").touch()
    assert in_terminal(argv, **login) == ""


def test_what_reads_no_terminal_hears_nothing(login: dict[str, str]) -> None:
    script = f'. "{login["ENV"]}"; echo done'
    assert in_terminal(["bash", "-c", script], **login) == "done\r\n"
    done = subprocess.run(["bash", "-ic", script], env=login, capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"


def test_dsvm_start_says_it_before_a_shell(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(IMAGE))
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "DSVM_MANIFEST": str(tmp_path / "manifest.json")}
    start = (sys.executable, PROGRAMS / "dsvm-start")
    shell = tmp_path / "bash"
    shell.write_text("#!/bin/sh\necho here\n")
    shell.chmod(0o755)
    assert in_terminal([*start, shell], **home).startswith("lab of 2026-11-22")
    assert in_terminal([*start, shell, "-l"], **home) == "here\r\n"
    assert in_terminal([*start, "echo"], **home) == "\r\n"
    (tmp_path / ".hushlogin").touch()
    assert in_terminal([*start, shell], **home) == "here\r\n"
