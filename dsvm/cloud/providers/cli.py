"""Where virtual-machine images are published: one module for each cloud, all through its own command line.

Nothing here keeps or takes a secret: who may do what is decided by the login that the provider's program has.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsvm.host import run, tail, which
from dsvm.model import DsvmError, ProgramError, PublishError
from dsvm.plan import Release


@dataclass
class Cli:
    """A provider's command line: one door for questions, for steps, and for taking steps back when a later one fails.

    In a dry run nothing is started: every command is said, and the answers are those of a cloud that has nothing yet.
    """

    program: str
    # how to log in, for the message when nobody is
    login: str
    # full output of each command
    logs: Path
    echo: Callable[[str], None]
    dry_run: bool = False
    # words that end every command
    always: tuple[str, ...] = ()
    _undo: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    _later: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    _number: int = 0

    def ask(self, *words: str, dry: Any, absent: int | None = None) -> Any:
        """The JSON that a query prints; None when it ends with the exit code `absent`, for what does not exist."""
        return self._json(words, dry, absent, "")

    def do(self, what: str, *words: str, absent: int | None = None) -> None:
        """Take a step, and say `what` it is. Raises PublishError naming step and log when it fails.

        The exit code `absent` is no failure: what is to go is gone.
        """
        if what and not self.dry_run:
            self.echo(f"publish: {what}")
        self._call(words, absent, what)

    def make(self, what: str, *words: str, dry: Any) -> Any:
        """Take a step, and return the JSON that it prints of what it made."""
        if not self.dry_run:
            self.echo(f"publish: {what}")
        return self._json(words, dry, None, what)

    def identify(self, *words: str) -> None:
        """Raise PublishError unless `words`, which asks who is logged in, finds somebody."""
        try:
            if not self.dry_run:
                which(self.program)
        except ProgramError as error:
            raise PublishError(error.message, hint=error.hint) from error
        try:
            found = self._json(words, "somebody", None, "")
        except PublishError as error:
            raise PublishError(f"{self.program} is not logged in: {error.message}", hint=self.login) from error
        if not found:
            raise PublishError(f"{self.program} is not logged in", hint=self.login)

    def undo(self, what: str, action: Callable[[], object]) -> None:
        """Remember what takes the coming step back; say it before the step, for one that fails may leave something."""
        self._undo.append((what, action))

    def later(self, what: str, action: Callable[[], object]) -> None:
        """Remember what has served its purpose at the end, however that comes out."""
        self._later.append((what, action))

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Take back what was done when the block fails, in reverse; the error says what could not be taken back."""
        try:
            yield
        except BaseException as error:
            left = self._take(self._undo + self._later, "taking back: ")
            if isinstance(error, LookupError | TypeError | ValueError):
                message = f"an answer of {self.program} has another form than expected: {error!r}"
            elif isinstance(error, DsvmError):
                message = error.message
            else:  # Ctrl-C
                raise
            left = f"\nLeft behind:\n    {left}" if left else ""
            raise PublishError(f"{message}{left}", hint=getattr(error, "hint", "")) from error
        if left := self._take(self._later, "removing "):
            self.echo(f"publish: left behind, to be removed by hand:\n    {left}")

    def _take(self, actions: Sequence[tuple[str, Callable[[], object]]], why: str) -> str:
        """Run `actions`, the last one first; returns what failed, a line each."""
        failed = []
        for what, action in reversed(actions):
            if not self.dry_run:
                self.echo(f"publish: {why}{what}")
            try:
                action()
            except DsvmError as error:
                failed.append(f"{what}: {error.message}")
        return "\n    ".join(failed)

    def _json(self, words: Sequence[str], dry: Any, absent: int | None, what: str) -> Any:
        printed = self._call(words, absent, what)
        if printed is None:
            return dry if self.dry_run else None
        try:
            return json.loads(printed)
        except json.JSONDecodeError as error:
            raise PublishError(
                f"{shlex.join([self.program, *words[:4]])}: its answer is no JSON: {printed[:200]!r}",
                hint=f"Full output: {self.logs}",
            ) from error

    def _call(self, words: Sequence[str], absent: int | None, what: str) -> str | None:
        """What a command prints; None where the exit code is `absent`, and in a dry run."""
        argv = [self.program, *words, *self.always]
        if self.dry_run:
            self.echo(shlex.join(argv))
            return None
        self._number += 1
        log = self.logs / f"{self._number:02}-{'-'.join(words[:3])}.log".replace("/", "_")
        try:
            done = run(argv, log=log, check=False)
        except ProgramError as error:
            raise PublishError(error.message, hint=error.hint or self.login) from error
        if done.returncode != 0 and done.returncode != absent:
            output = tail(done.stderr.strip() or done.stdout)
            raise PublishError(
                f"{what or shlex.join(argv[:4])}: {self.program} ended with exit code {done.returncode}:\n{output}",
                hint=f"Full output: {log}",
            )
        return done.stdout if done.returncode == 0 else None


def same_image(release: Release, where: str, tags: Mapping[str, str] | None, key: str) -> None:
    """Raise PublishError when what is called like `release` already was made from another lock.

    `key` is how this cloud spells the tag.
    """
    found = (tags or {}).get(key)
    if found != release.tags[key]:
        raise PublishError(
            f"{where} exists and was made from {f'lock {found}' if found else 'something else'}",
            hint="Publish under another version: --version MAJOR.MINOR.PATCH",
        )
