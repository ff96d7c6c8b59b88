"""Locks as version control has them: revisions and days of the git repository that a lock lies in."""

from __future__ import annotations

import re
from pathlib import Path

from dsvm.host import run
from dsvm.model import InputError

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def text_at(lock: Path, revision: str) -> tuple[str, str]:
    """The text of a lock file at a revision, or as of the end of a day (YYYY-MM-DD, UTC), and which commit that is.

    Raises InputError when there is none, ProgramError when git is missing.
    """
    commit = _as_of(lock, revision) if DAY.fullmatch(revision) else _commit(lock, revision)
    text = _git(lock, "show", f"{commit}:./{lock.name}")
    if text is None and DAY.fullmatch(revision):
        raise _unborn(lock, revision)
    said = _git(lock, "log", "--max-count=1", "--format=%h %cs", commit, "--")
    short, _, day = (said or "").strip().partition(" ")
    if text is None:
        raise InputError(
            f"revision {revision} ({short}, {day}) has no {lock.name}",
            hint=f"Revisions that changed it: git log --oneline -- {lock}",
        )
    return text, f"commit {short}, {day}"


def _commit(lock: Path, revision: str) -> str:
    """The full name of the commit that a revision names."""
    found = None
    if not revision.startswith("-"):
        found = _git(lock, "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}")
    if not found:
        if _git(lock, "rev-parse", "--git-dir") is None:
            raise InputError(
                f"{lock.parent}: no git repository, so there is no '{revision}' of {lock.name}",
                hint="Name lock files: --old FILE --new FILE",
            )
        raise InputError(
            f"git knows no revision '{revision}'",
            hint="Name a lock file, a variant, VARIANT@REVISION, a revision, a day (2026-11-20) or an image (NAME:TAG)",
        )
    return found.strip()


def _as_of(lock: Path, day: str) -> str:
    """The last commit until the end of a day; which one changed the lock, a long history would take long to say."""
    found = _git(lock, "rev-list", "--max-count=1", f"--before={day}T23:59:59Z", "HEAD", "--")
    if not (found or "").strip():
        raise _unborn(lock, day)
    return (found or "").strip()


def _unborn(lock: Path, day: str) -> InputError:
    return InputError(
        f"{lock.name} was in no commit by {day}", hint=f"Days that changed it: git log --format=%cs -- {lock}"
    )


def _git(lock: Path, *words: str) -> str | None:
    """What git prints about the repository of a lock, or None when it cannot."""
    done = run(["git", "-C", lock.parent, *words], timeout=60, check=False)
    return done.stdout if done.returncode == 0 else None
