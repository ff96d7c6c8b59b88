"""Who builds and releases here: what continuous integration says of itself, and the revisions of what is built from."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dsvm.host import run, without_user
from dsvm.model import ProgramError

HERE = "urn:dsvm:own-machine"
LONGEST = 400  # characters of what an environment says


@dataclass(frozen=True)
class Surroundings:
    """Where a command runs: the builder's URI, this run's (none where nobody counts runs), and who has started it."""

    builder: str = HERE
    invocation: str = ""
    who: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Surroundings:
        """By the variables that GitHub, GitLab and Azure Pipelines set; whoever sets them elsewhere is believed too."""

        def said(*names: str) -> list[str]:
            return [environ.get(name, "")[:LONGEST] for name in names]

        if environ.get("GITHUB_ACTIONS") == "true":
            server, flow, repository, run_id, attempt, who = said(
                "GITHUB_SERVER_URL", "GITHUB_WORKFLOW_REF", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT",
                "GITHUB_ACTOR",
            )  # fmt: skip
            invocation = f"{server}/{repository}/actions/runs/{run_id}/attempts/{attempt or 1}"
            return cls._checked(f"{server}/{flow}", invocation, who)
        if environ.get("GITLAB_CI") == "true":
            project, job, who = said("CI_PROJECT_URL", "CI_JOB_URL", "GITLAB_USER_LOGIN")
            return cls._checked(f"{project}/-/pipelines", job, who)
        if environ.get("TF_BUILD") == "True":
            server, project, definition, build, who = said(
                "SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECTID", "SYSTEM_DEFINITIONID", "BUILD_BUILDID",
                "BUILD_REQUESTEDFOR",
            )  # fmt: skip
            place = f"{server.rstrip('/')}/{project}/_build"
            return cls._checked(f"{place}?definitionId={definition}", f"{place}/results?buildId={build}", who)
        return cls(who=_printable(_user()))

    @classmethod
    def _checked(cls, builder: str, invocation: str, who: str) -> Surroundings:
        good = all(re.fullmatch(r"https?://[^\s<>\"{}|\\^`]+", one) for one in (builder, invocation))
        return cls(builder, invocation, _printable(who)) if good else cls(who=_printable(who))


@dataclass(frozen=True)
class Revision:
    """The commit that a folder is at, and whether files of it differ from that."""

    name: str
    commit: str
    modified: bool
    # of its repository, where others could find it too
    remote: str = ""


def revisions(folders: Iterable[Path]) -> list[Revision]:
    """Of each repository that one of the folders lies in; none where git does not know."""
    found: dict[str, Revision] = {}
    for folder in folders:
        top = _git(folder, "rev-parse", "--show-toplevel")
        commit = _git(folder, "rev-parse", "--verify", "HEAD^{commit}")
        if top is None or commit is None or top in found:
            continue
        changed = _git(Path(top), "status", "--porcelain", "--untracked-files=normal")
        remote = _remote(_git(folder, "remote", "get-url", "origin") or "")
        found[top] = Revision(_printable(folder.name), commit, changed != "", remote)
    return list(found.values())


def _remote(url: str) -> str:
    """A remote's URL without whoever logs in there; nothing of this machine's own folders."""
    if match := re.fullmatch(r"(?:[\w.-]+@)?([\w.-]+):(?!/)([^\s]+)", url):
        url = f"ssh://{match[1]}/{match[2]}"
    try:
        public = urlsplit(url).scheme in ("http", "https", "ssh", "git")
    except ValueError:
        return ""
    return without_user(url) if public and url.isprintable() else ""


def _git(folder: Path, *words: str) -> str | None:
    """What git prints about the repository of a folder; None where it cannot, or is missing."""
    try:
        done = run(["git", "-C", folder, *words], timeout=60, check=False)
    except ProgramError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _printable(text: str) -> str:
    return "".join(one for one in text if one.isprintable())[:100]
