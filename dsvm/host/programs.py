"""The only door to other programs: argument lists, never shell strings."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dsvm.host.files import Log
from dsvm.host.urls import redact
from dsvm.model import ProgramError

INSTALL_HINTS = {
    "docker": "scripts/engine install && scripts/engine start",
    "mmdebstrap": "scripts/base-tools",
    "apt-get": "lock on Debian or Ubuntu, which have it",
    "dnf-3": "apt-get install dnf",
    "rpm": "apt-get install rpm",
    "rpmkeys": "apt-get install rpm",
    "git": "apt-get install git",
    "az": "pip install azure-cli, or https://learn.microsoft.com/cli/azure/install-azure-cli",
    "aws": "pip install awscli, or https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
    "gcloud": "https://cloud.google.com/sdk/docs/install",
    "setpriv": "apt-get install util-linux",
}


def which(program: str) -> str:
    """Full path of `program`; ProgramError with an install hint when it is missing."""
    found = shutil.which(program)
    if found is None:
        hint = INSTALL_HINTS.get(program, "")
        raise ProgramError(f"{program}: not installed, or not on PATH", hint=f"Try: {hint}" if hint else "")
    return found


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    log: Path | None = None,
    check: bool = True,
    apart: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it printed.

    `env` is added to the current environment, `timeout` is in seconds, `log` keeps the whole output. What runs `apart`
    has processes and mounts of its own, which go when it goes; only where we are root, as others make them otherwise.
    Raises ProgramError when the program is missing, fails (unless `check` is false) or runs out of time. What stays of
    it, in the error and in `log`, has no secrets of URLs; what is returned is as it was printed.
    """
    words = [which(os.fspath(argv[0])), *(os.fspath(word) for word in argv[1:])]
    try:
        done = subprocess.run(
            with_us([*(_own_namespaces() if apart else ()), *words]),
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramError(redact(f"{' '.join(words[:3])}: no end after {timeout:.0f} s")) from error
    output = redact(done.stdout + done.stderr)
    if log is not None:
        with Log(log) as file:
            file.write(output)
    if check and done.returncode != 0:
        where = f"Full output: {log}" if log is not None else ""
        raise ProgramError(
            f"{Path(words[0]).name} {words[1] if len(words) > 1 else ''} failed with exit code {done.returncode}:\n"
            + tail(output),
            hint=where,
            output=output,
            returncode=done.returncode,
        )
    return done


@contextmanager
def stream(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[tuple[Iterator[str], Callable[[], int]]]:
    """Run a program while reading its lines, stdout and stderr as one; yields them and a `wait` for its exit code.

    Leaving the block early (an exception, Ctrl-C) interrupts the program and waits until it has gone.
    """
    words = [which(os.fspath(argv[0])), *(os.fspath(word) for word in argv[1:])]
    process = subprocess.Popen(
        with_us(words),
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches us alone: we decide how the program ends
    )
    assert process.stdout is not None  # noqa: S101 - for the type checker
    try:
        yield iter(process.stdout), process.wait
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def stream_bytes(argv: Sequence[str | os.PathLike[str]]) -> Iterator[IO[bytes]]:
    """Run a program while reading what it prints to stdout, as it is; what it says to stderr counts for nothing.

    Leaving the block ends the program.
    """
    words = [which(os.fspath(argv[0])), *(os.fspath(word) for word in argv[1:])]
    with subprocess.Popen(
        with_us(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=1 << 20
    ) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        try:
            yield process.stdout
        finally:
            process.kill()


def with_us(words: Sequence[str]) -> list[str]:
    """The same words for a program that is killed when we are, where this system can do that."""
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", "KILL"] if setpriv else []), *words]


def _own_namespaces() -> list[str]:
    unshare = shutil.which("unshare") if os.geteuid() == 0 else None
    return [unshare, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"] if unshare else []


def mortal(argv: Sequence[str | os.PathLike[str]], word: str = "KILL") -> list[str]:
    """The command with a signal for the case that we end, in whatever way: nothing of it outlives us."""
    return ["setpriv", "--pdeathsig", word, which(os.fspath(argv[0])), *(os.fspath(one) for one in argv[1:])]


@dataclass(frozen=True)
class Background:
    """A program that runs beside us."""

    poll: Callable[[], int | None]
    log: Path

    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")


@contextmanager
def background(argv: Sequence[str | os.PathLike[str]], *, log: Path) -> Iterator[Background]:
    """Run a program beside us, its output in `log`; it is ended with the block, and with us."""
    words = mortal(argv)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [which(words[0]), *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Background(process.poll, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tail(text: str, lines: int = 15) -> str:
    """The last `lines` lines of `text`, indented."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:])


def bundled(program: str) -> Path:
    """A program that one of our Python dependencies installs beside this Python."""
    path = Path(sys.executable).parent / program
    if not path.is_file():
        raise ProgramError(f"{program}: missing from {path.parent}", hint="Run scripts/quickstart again")
    return path
