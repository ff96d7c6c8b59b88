"""Scripts of continuous integration: room on a hosted runner, and the pull request with new locks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "s3cr3t-token"
CLEAN = {key: value for key, value in os.environ.items() if key not in {
    "CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "RUNNER_ENVIRONMENT", "AGENT_ISSELFHOSTED"
}}  # fmt: skip


def spy(folder: Path, name: str, answer: str = "", code: int = 0) -> Path:
    """A program that writes down its words and its input; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / f"{name}.said"
    path = folder / name
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>{said}\ncat >>{said}\nprintf "%s" "{answer}"\nexit {code}\n')
    path.chmod(0o755)
    return said


# --- room ------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    found = tmp_path / "machine"
    for name in ("usr/local/lib/android/sdk", "usr/share/dotnet", "usr/share/dict"):
        (found / name).mkdir(parents=True)
    return found


def space(machine: Path, *variants: str, **env: str) -> subprocess.CompletedProcess[str]:
    bin = machine.parent / "bin"
    spy(bin, "docker")
    env = {**CLEAN, "PATH": f"{bin}:{os.environ['PATH']}", "DSVM_TEST_MACHINE": str(machine), **env}
    words = [str(ROOT / "scripts/ci-space"), *variants]
    return subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "env", [{"RUNNER_ENVIRONMENT": "github-hosted"}, {"TF_BUILD": "True", "AGENT_ISSELFHOSTED": "0"}]
)
def test_a_hosted_runner_is_emptied_of_what_no_build_uses(machine: Path, env: Mapping[str, str]) -> None:
    done = space(machine, **env)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in machine.rglob("*") if not any(path.iterdir())) == ["dict", "lib"]
    assert "GiB before" in done.stderr
    assert (machine.parent / "bin/docker.said").read_text() == "image prune --all --force\n"


@pytest.mark.parametrize(
    "env",
    [{}, {"CI": "true"}, {"RUNNER_ENVIRONMENT": "self-hosted"}, {"TF_BUILD": "True", "AGENT_ISSELFHOSTED": "1"},
     {"TF_BUILD": "True"}, {"AGENT_ISSELFHOSTED": "0"}],
)  # fmt: skip
def test_a_runner_of_somebody_s_own_is_not(machine: Path, env: Mapping[str, str]) -> None:
    assert space(machine, **env).returncode == 0
    assert (machine / "usr/local/lib/android/sdk").is_dir() and not (machine.parent / "bin/docker.said").exists()


def test_the_doctor_is_asked_about_each_variant(machine: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    said = spy(checkout / ".venv/bin", "invoke", code=4)
    done = subprocess.run(
        [checkout / "scripts/ci-space", "one", "two"], env=CLEAN, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 4
    assert said.read_text() == "doctor --variant one\ndoctor --variant two\n"


# --- pull request ----------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a lock and this script; `origin.git` beside it is where it came from."""
    found = tmp_path / "checkout"
    (found / "manifests/locks").mkdir(parents=True)
    (found / "manifests/locks/one.json").write_text("1\n")
    (found / "scripts/lib").mkdir(parents=True)
    shutil.copy2(ROOT / "scripts/ci-pull-request", found / "scripts")
    shutil.copy2(ROOT / "scripts/lib/common.sh", found / "scripts/lib")
    (found / "night.md").write_text("# What moved\n\nnumpy 1 -> 2\n")
    for words in (
        ("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "origin.git")),
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "manifests", "scripts"),
        ("-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "-m", "first"),
        ("remote", "add", "origin", (tmp_path / "origin.git").as_uri()),
        ("push", "--quiet", "origin", "main"),
        ("-C", str(tmp_path / "origin.git"), "config", "receive.advertisePushOptions", "true"),
    ):
        git(found, *words)
    return found


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, env=CLEAN, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": "main", "GH_TOKEN": TOKEN}
AZURE = {
    "TF_BUILD": "True", "SYSTEM_ACCESSTOKEN": TOKEN, "SYSTEM_COLLECTIONURI": "https://cloud.example/us",
    "SYSTEM_TEAMPROJECT": "team", "BUILD_REPOSITORY_NAME": "images", "BUILD_SOURCEBRANCH": "refs/heads/main",
}  # fmt: skip


def gitlab(checkout: Path) -> dict[str, str]:
    url = (checkout.parent / "origin").as_uri()
    return {"GITLAB_CI": "true", "GITLAB_TOKEN": TOKEN, "CI_PROJECT_URL": url, "CI_DEFAULT_BRANCH": "main"}


def request(checkout: Path, env: Mapping[str, str], code: int = 0) -> str:
    bin = checkout.parent / "bin"
    path = {"PATH": f"{bin}:{os.environ['PATH']}", "GIT_TRACE": str(checkout.parent / "trace")}
    words = ["scripts/ci-pull-request", "nightly/main", "New locks", "night.md"]
    done = subprocess.run(
        words, cwd=checkout, env={**CLEAN, **path, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert not (trace := checkout.parent / "trace").exists() or TOKEN not in trace.read_text()
    return done.stderr


def pushed(checkout: Path) -> str:
    return git(checkout.parent / "origin.git", "show", "--stat", "--format=%B", "nightly/main")


def test_without_a_new_lock_there_is_nothing_to_ask_for(checkout: Path) -> None:
    (checkout / "other").touch()
    assert "no lock has changed" in request(checkout, GITHUB)
    assert "nightly" not in git(checkout.parent / "origin.git", "branch")


@pytest.mark.parametrize("number", ["", "7"])
def test_on_github(checkout: Path, number: str) -> None:
    (checkout / "manifests/locks/one.json").write_text("2\n")
    (checkout / "manifests/locks/two.json").touch()
    said = spy(checkout.parent / "bin", "gh", number)
    request(checkout, GITHUB)
    assert "New locks\n\n# What moved" in pushed(checkout) and "2 files changed" in pushed(checkout)
    listed, did, *text = said.read_text().splitlines()
    assert listed.startswith("pr list --head nightly/main --state open")
    asked = "edit 7" if number else "create --head nightly/main --base main"
    assert did == f"pr {asked} --title New locks --body-file -" and text == ["# What moved", "", "numpy 1 -> 2"]


def test_on_gitlab_which_needs_no_program(checkout: Path) -> None:
    (checkout / "manifests/locks/one.json").write_text("2\n")
    request(checkout, gitlab(checkout))
    assert "numpy 1 -> 2" in pushed(checkout)
    trace = (checkout.parent / "trace").read_text()
    assert "merge_request.target=main" in trace and "merge_request.create" in trace


@pytest.mark.parametrize("number", ["", "7"])
def test_on_azure(checkout: Path, number: str) -> None:
    (checkout / "manifests/locks/one.json").write_text("2\n")
    said = spy(checkout.parent / "bin", "az", number)
    request(checkout, AZURE)
    assert "numpy 1 -> 2" in pushed(checkout)
    assert f"repos pr {'update' if number else 'create'} --organization https://cloud.example/us" in said.read_text()
    assert ("--id 7" if number else "--target-branch refs/heads/main") in said.read_text()


def test_a_second_one_takes_the_place_of_the_first(checkout: Path) -> None:
    spy(checkout.parent / "bin", "gh")
    for text in ("2\n", "3\n"):
        (checkout / "manifests/locks/one.json").write_text(text)
        request(checkout, GITHUB)
        assert git(checkout.parent / "origin.git", "show", "nightly/main:manifests/locks/one.json") == text
        git(checkout, "reset", "--quiet", "--hard", "origin/main")


def test_what_is_missing_is_said(checkout: Path) -> None:
    (checkout / "manifests/locks/one.json").write_text("2\n")
    assert "none of GitHub Actions, GitLab CI" in request(checkout, {}, 2)
    assert "GH_TOKEN is not set" in request(checkout, {**GITHUB, "GH_TOKEN": ""}, 2)
