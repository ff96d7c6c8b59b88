"""The files of continuous integration: what they run is there, and what they use of others is pinned."""

from __future__ import annotations

import itertools
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from invoke.collection import Collection
from invoke.loader import FilesystemLoader

from dsvm import lock as locks

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
GITLAB, AZURE = ROOT / ".gitlab-ci.yml", ROOT / "azure-pipelines.yml"
FILES = [*WORKFLOWS, GITLAB, AZURE]
by_name = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


class Loader(yaml.SafeLoader):
    """In YAML 1.1 `on` is a truth; GitHub reads it as a word."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:bool"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> dict[str, Any]:
    found = yaml.load(path.read_text(), Loader)
    assert isinstance(found, dict)
    return found


def scripts(value: object, key: str = "") -> Iterator[str]:
    """All shell programs in a file: what stands under these keys."""
    if key in ("run", "bash", "script", "before_script", "after_script"):
        yield from value if isinstance(value, list) else [str(value)]
    elif isinstance(value, dict):
        for inner, one in value.items():
            yield from scripts(one, inner)
    elif isinstance(value, list):
        for one in value:
            yield from scripts(one)


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every simple command, one program after the other."""
    for script in scripts(read(path)):
        for line in script.replace("\\\n", " ").splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            command: list[str] = []
            for word in (*words, ";"):
                if set(word) <= set("();<>|&"):
                    if command:
                        yield command
                    command = []
                else:
                    command.append(word)


def test_the_reader_finds_commands(tmp_path: Path) -> None:
    path = tmp_path / "ci.yml"
    path.write_text(
        "on: push\nj:\n  steps:\n  - run: |\n      a --b 'c d' \\\n        e && sudo f | g > h\n  script: [x y]\n"
    )
    assert [*commands(path)] == [["a", "--b", "c d", "e"], ["sudo", "f"], ["g"], ["h"], ["x", "y"]]
    assert read(path)["on"] == "push"


@pytest.fixture(scope="module")
def tasks() -> Collection:
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    return Collection.from_module(module)


@by_name
def test_every_command_of_ours_exists_with_those_options(path: Path, tasks: Collection) -> None:
    wrong, found = [], 0
    for words in commands(path):
        if words[0].rpartition("/")[2] != "invoke":
            continue
        found += 1
        name, *rest = words[1:]
        if name not in tasks.task_names:
            wrong.append(f"invoke {name}")
            continue
        known = {flag.replace("_", "-") for one in tasks[name].get_arguments() for flag in (one.name, f"no-{one.name}")}
        used = [word[2:].partition("=")[0] for word in rest if word.startswith("--")]
        used += re.findall(r'\bsign="?--([\w-]+)', path.read_text()) if "$sign" in rest else []
        wrong += [f"invoke {name} --{option}" for option in used if option not in known]
    assert found and wrong == []


@by_name
def test_every_script_exists_and_knows_its_options(path: Path) -> None:
    found = [words[words[0] == "sudo" :] for words in commands(path)]
    ours = [words for words in found if words[0].startswith(("scripts/", ".ci/"))]
    assert ours
    for name, *rest in ours:
        assert (ROOT / name).stat().st_mode & 0o111, f"{name} cannot be run"
        usage = (ROOT / name).read_text().partition("\n\n")[0]
        assert [word for word in rest if word.startswith("--") and word not in usage] == []


@pytest.mark.parametrize("path", [*WORKFLOWS, GITLAB], ids=lambda path: path.name)
def test_a_job_has_an_identity_only_where_it_signs(path: Path) -> None:
    """The right to say who it is: whoever has that can sign as it."""
    jobs = {name: job for name, job in (read(path).get("jobs") or read(path)).items() if isinstance(job, dict)}
    signing = {name for name, job in jobs.items() if "--keyless" in "\n".join(scripts(job))}
    assert signing == {
        name for name, job in jobs.items() if "id-token" in job.get("permissions", {}) or "id_tokens" in job
    }
    assert signing == ({"night"} if path.stem == "nightly" else {"nightly"} if path == GITLAB else set())


def uses(path: Path) -> list[tuple[str, str, str]]:
    """Each action with its commit and the version beside it."""
    return re.findall(r"uses: ([\w./-]+)@(\S+)(?: # (\S+))?$", path.read_text(), re.MULTILINE)


def test_actions_of_others_are_pinned_by_commit_and_say_their_version() -> None:
    pins: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for path in WORKFLOWS:
        assert len(uses(path)) == path.read_text().count("uses:")
        for action, commit, version in uses(path):
            assert re.fullmatch(r"[0-9a-f]{40}", commit), f"{path.name}: {action}@{commit}"
            assert re.fullmatch(r"v\d+\.\d+\.\d+", version), f"{path.name}: {action} {version}"
            pins["/".join(action.split("/")[:2])].add((commit, version))
    assert pins and all(len(found) == 1 for found in pins.values()), pins


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_do_little_and_not_for_ever(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {} and workflow["concurrency"]["group"]
    assert "pull_request_target" not in path.read_text()
    for name, job in workflow["jobs"].items():
        assert "permissions" in job and int(job["timeout-minutes"]) <= 720, name
        for step in job["steps"]:
            if "actions/checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] == "false", name


def test_the_other_two_do_the_same_for_no_longer() -> None:
    assert all("timeout" in job for name, job in read(GITLAB).items() if isinstance(job, dict) and "script" in job)
    for job in read(AZURE)["jobs"]:
        assert int(job["timeoutInMinutes"]) <= 720
        assert job["steps"][0] == {"checkout": "self", "persistCredentials": "false"}


def test_the_image_that_gitlab_starts_is_that_of_a_base() -> None:
    assert read(GITLAB)["default"]["image"] == tiny.project().bases["debian-12"].image


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "ci"], ids=lambda path: path.name)
def test_a_night_begins_with_the_layers_of_the_night_before(path: Path) -> None:
    (words,) = [words for words in commands(path) if words[0].endswith("/invoke") and words[1] == "nightly"]
    given = dict(itertools.pairwise(words))
    assert given["--cache-from"] == given["--cache-to"] == f"{given['--registry']}/cache"


@by_name
def test_variants_that_are_named_are_locked(path: Path) -> None:
    named = set(re.findall(r"\b[cg]pu-[a-z]+\b", path.read_text()))
    assert [name for name in named if locks.find(tiny.project(), name) is None] == []
