"""scripts/image/dsvm-info, run as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DSVM_INFO = Path(__file__).parents[2] / "scripts" / "image" / "dsvm-info"


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1.2.3",
        "summary": f"What {name} does",
        "homepage": "https://example.org",
        "license": "MIT",
        "group": "tools",
        "env": None,
        "ecosystem": "apt",
        "commands": [],
        "kernel": None,
        **more,
    }


def image(*tools: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "variant": "cpu-debian",
        "summary": "Everything for one processor",
        "accelerator": "cpu",
        "base": "debian-12",
        "lock": "ab" * 32,
        "created": "2026-11-22",
        "tools": list(tools),
        "services": {},
        "left_out": [],
        "packages": {},
        **more,
    }


def info(tmp_path: Path, content: Any, *arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "manifest.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return subprocess.run(
        [sys.executable, str(DSVM_INFO), *arguments],
        env={"PATH": os.environ["PATH"], "DSVM_MANIFEST": str(path), "COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        check=False,
    )


SOME = image(
    tool("pytorch", group="deep-learning", version="2.13.0+cpu", env="pytorch", kernel="pytorch", ecosystem="pypi"),
    tool("git", commands=["git"]),
    tool("code-server", group="editors", summary="VS Code in the browser, " * 6),
    services={"code-server": {"run": ["code-server", "--auth", "password"], "port": 8080}},
    left_out=[{"tool": "rstudio", "reason": "its package cannot be reached"}],
)


def test_the_whole_table(tmp_path: Path) -> None:
    done = info(tmp_path, SOME)
    assert done.returncode == 0
    assert (
        done.stdout
        == f"""\
Image  cpu-debian: Everything for one processor
Base   debian-12, for CPU
Lock   {"ab" * 32}

DEEP LEARNING
  pytorch      2.13.0+cpu  What pytorch does

EDITORS
  code-server  1.2.3       VS Code in the browser, VS Code in the browser, VS
                           Code in the browser, VS Code in the browser, VS Code
                           in the browser, VS Code in the browser,

TOOLS
  git          1.2.3       What git does

SERVICES
  code-server  port 8080   asks for the token in DSVM_TOKEN

LEFT OUT
  rstudio      its package cannot be reached

More about one: dsvm-info TOOL
"""
    )


def test_one_tool(tmp_path: Path) -> None:
    done = info(tmp_path, SOME, "pytorch", "code-server")
    assert done.returncode == 0
    for shown in ("pytorch 2.13.0+cpu\n", "/opt/envs/pytorch\n", "port 8080: code-server --auth password\n"):
        assert shown in done.stdout
    assert "git" not in done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pytroch", "no tool 'pytroch' in this image (did you mean 'pytorch'?)"),
        ("zzz", "no tool 'zzz' in this image\n"),
        ("rstudio", "rstudio was left out of this image: its package cannot be reached"),
    ],
)
def test_a_tool_that_is_not_there(tmp_path: Path, name: str, said: str) -> None:
    done = info(tmp_path, SOME, "git", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_json_is_the_manifest(tmp_path: Path) -> None:
    done = info(tmp_path, SOME, "--json")
    assert done.returncode == 0
    assert done.stdout == (tmp_path / "manifest.json").read_text()


@pytest.mark.parametrize("arguments", [["--jsno"], ["--json", "git"], ["-x"], ["--links"]])
def test_bad_options(tmp_path: Path, arguments: list[str]) -> None:
    done = info(tmp_path, SOME, *arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


def test_a_broken_manifest_is_no_traceback(tmp_path: Path) -> None:
    done = info(tmp_path, "{")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "manifest.json" in done.stderr


def test_a_reader_that_stops_early(tmp_path: Path) -> None:
    info(tmp_path, image(*(tool(f"tool-{number}") for number in range(3000))))
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -1; exit "${PIPESTATUS[0]}"', "bash", sys.executable, str(DSVM_INFO)],
        env={"PATH": os.environ["PATH"], "DSVM_MANIFEST": str(tmp_path / "manifest.json")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("Image")
    assert done.stderr == ""


# One printable word, as a tool's name and its version are.
word = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=22)


@settings(max_examples=25)
@given(
    tools=st.lists(st.tuples(word, word, st.text(st.sampled_from("ab c"), max_size=300)), max_size=6),
    columns=st.integers(76, 130),
)
def test_no_line_is_wider_than_the_terminal(
    tmp_path_factory: pytest.TempPathFactory, tools: list[tuple[str, str, str]], columns: int
) -> None:
    rows = [tool(name, version=version, summary=summary) for name, version, summary in tools]
    done = info(tmp_path_factory.mktemp("info"), image(*rows), columns=columns)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= columns
    assert done.stdout.count("\n  ") >= len(rows)


# --- the page ----------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """The elements of a page that are open, its text, and where it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.places: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.places += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(tmp_path: Path, content: Any, *more: str) -> Seen:
    done = info(tmp_path, content, "--html", *more)
    assert (done.returncode, done.stderr) == (0, "")
    seen = Seen(done.stdout)
    assert seen.open == [], "every element ends"
    return seen


def test_the_page_says_what_is_here_and_how_to_use_it(tmp_path: Path) -> None:
    seen = page(tmp_path, SOME)
    text = " ".join(seen.text)
    for word in ("pytorch", "2.13.0+cpu", "git", "dsvm-python pytorch", "%pip install NAME", "port 8080", "rstudio"):
        assert word in text
    assert "its package cannot be reached" in text and "install.packages" not in text, "R is not here"
    assert "No GPU is seen here" in text
    assert seen.tags & {"script", "img", "link", "iframe"} == set(), "it loads nothing"


def test_the_page_names_the_gpus_that_the_driver_shows(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'NVIDIA H100, 580.95.05, 81559 MiB'\n")
    program.chmod(0o755)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(SOME))
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "DSVM_MANIFEST": str(path)}
    done = subprocess.run([sys.executable, DSVM_INFO, "--html"], env=env, capture_output=True, text=True, check=True)
    assert "GPU: NVIDIA H100, 580.95.05, 81559 MiB" in done.stdout and "No GPU" not in done.stdout
    program.write_text("#!/bin/sh\nexit 9\n")
    done = subprocess.run([sys.executable, DSVM_INFO, "--html"], env=env, capture_output=True, text=True, check=True)
    assert "No GPU is seen here" in done.stdout


def test_the_page_leads_to_notebooks_where_a_server_opens_them(tmp_path: Path) -> None:
    one = {"title": "Nets <b>", "path": "/usr/local/share/dsvm/notebooks/nets.ipynb", "kernel": "nets"}
    content = image(tool("pytorch", homepage=None, notebook=one), tool("git", homepage=None))
    plain, served = page(tmp_path, content), page(tmp_path, content, "--links")
    assert plain.places == [] and served.places == ["notebooks/nets.ipynb"]
    assert "/usr/local/share/dsvm/notebooks" in plain.text and "nets.ipynb" in plain.text
    for seen in (plain, served):
        assert "Nets <b>" in "".join(seen.text)
    assert "Sample notebooks" not in page(tmp_path, SOME).text


@settings(max_examples=20, deadline=None)
@given(word=st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=20))
def test_nothing_of_a_manifest_is_markup(tmp_path_factory: pytest.TempPathFactory, word: str) -> None:
    hostile = f"<script>alert(1)</script>{word}"
    one = tool(hostile, version=hostile, summary=hostile, group=hostile, env=hostile, homepage="javascript:alert(1)")
    seen = page(
        tmp_path_factory.mktemp("page"),
        image(one, variant=hostile, summary=hostile, left_out=[{"tool": hostile, "reason": hostile}]),
    )
    assert "script" not in seen.tags and seen.places == []
    assert "".join(seen.text).count(hostile) >= 8
