"""How a check runs programs in the image: one round trip each, as its ordinary user, in a folder of its own."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from testinfra.host import Host

from dsvm.host import tail
from dsvm.model import ProgramError

PROBES = Path(__file__).parent / "probes"
BASE_PYTHON = "/opt/envs/base/bin/python"
SYSTEM_PYTHON = "/usr/bin/python3"
NOT_EXERCISED = 77  # exit code of a check that cannot do its work here; its last line is {"reason": ...}
TIMED_OUT = (124, 137)
# What no check runs without: the token of a started image, and where a machine's user has its sockets
KEPT = ("DSVM_TOKEN", "XDG_RUNTIME_DIR")
CONTAINER = {"HOME": "/home/ds", "USER": "ds", "LOGNAME": "ds"}
FORGET = (
    "for name in $(env | sed -n 's/^\\([A-Za-z_][A-Za-z0-9_]*\\)=.*/\\1/p'); do "
    'case $name in KEPT) ;; *) unset "$name" ;; esac; done; '
)
IN_SCRATCH = 'folder=$(mktemp -d) && cd "$folder" || exit 125; "$@"; code=$?; cd /; rm -rf "$folder"; exit "$code"'


@dataclass(frozen=True)
class Done:
    """What a command did: stdout and stderr as one text, in the order printed."""

    command: str
    code: int
    output: str
    timeout: int

    def expect_success(self) -> Done:
        if self.code == NOT_EXERCISED:
            pytest.skip(_reason(self.output))
        if self.code in TIMED_OUT:
            fail(f"no end after {self.timeout} s: {self.command}", self.output)
        if self.code != 0:
            fail(f"exit code {self.code}: {self.command}", self.output)
        return self


class Image:
    """A started image."""

    def __init__(
        self, host: Host, settings: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.host = host
        known = settings or {}
        # The environment of every check is the plan's, whatever the image itself sets: nothing there makes one pass.
        # A machine's user has a home of another name.
        own = {**({} if "machine" in known else CONTAINER), **(environment or {})}
        kept = "|".join(
            KEPT + (() if "PATH" in own else ("PATH",)) + (("HOME", "USER", "LOGNAME") if "machine" in known else ())
        )
        self.environment = FORGET.replace("KEPT", kept) + "".join(
            f"export {name}={shlex.quote(value)}; " for name, value in own.items()
        )
        # what a shell does first; a container has it in its environment
        self.prelude = str(known.get("prelude", ""))
        # how many times as long as in a container everything may take
        self.slowness = int(known.get("slowness", 1))

    def shell(self, command: str, *, env: str | None = None, timeout: int = 60) -> Done:
        """Run a command line of bash; programs of environment `env` are found first."""
        return self.run(["bash", "-euc", command], env=env, timeout=timeout, shown=command)

    def run(self, argv: Sequence[str], *, env: str | None = None, timeout: int = 60, shown: str | None = None) -> Done:
        """Run a program to its end, at most `timeout` seconds long, in a folder of its own."""
        timeout *= self.slowness
        words = ["timeout", "--kill-after=10", str(timeout), *argv]
        setup = self.environment + self.prelude + (f"export PATH=/opt/envs/{env}/bin:$PATH; " if env else "")
        result = self.host.run(f"exec 2>&1; {setup}set -- {shlex.join(words)}; {IN_SCRATCH}")
        return Done(shown or shlex.join(argv), result.rc, result.stdout + result.stderr, timeout)

    def root(self, argv: Sequence[str], *, timeout: int = 60) -> Done:
        """Run a program of a virtual machine as root."""
        return self.run(["sudo", "-n", *argv], timeout=timeout, shown=shlex.join(argv))

    def root_probe(self, name: str, *args: str) -> Any:
        """`probe` as root of a virtual machine."""
        return self._json(self.root([SYSTEM_PYTHON, "-I", "-S", "-c", source(name), *args]), name)

    def probe(self, name: str, *args: str, python: str = SYSTEM_PYTHON, timeout: int = 60) -> Any:
        """What a program of probes/ prints as JSON on its last line; it runs by the image's own Python.

        Isolated: neither PYTHON* variables nor a user's packages, and for the system's Python no site hooks, change it.
        """
        alone = ["-I", "-S"] if python == SYSTEM_PYTHON else ["-I"]
        argv = [python, *alone, "-c", source(name), *args]
        done = self.run(argv, timeout=timeout, shown=f"{name} {shlex.join(args)}")
        return self._json(done, name)

    def _json(self, done: Done, name: str) -> Any:
        done.expect_success()
        try:
            return json.loads(done.output.splitlines()[-1])
        except (ValueError, IndexError):
            fail(f"no JSON from {name}", done.output)

    def read(self, argv: Sequence[str]) -> str:
        """stdout alone, as `dsvm.ecosystems` wants it; ProgramError when the command fails."""
        result = self.host.run(f"{self.environment}{shlex.join(argv)}")
        if result.rc != 0:
            raise ProgramError(
                f"{argv[0]}: exit code {result.rc} in the image:\n{tail(result.stderr)}",
                output=result.stderr,
                returncode=result.rc,
            )
        return str(result.stdout)


def source(probe: str) -> str:
    return (PROBES / probe).read_text(encoding="utf-8")


def fail(what: str, output: str = "") -> NoReturn:
    """End the check: what is wrong, and the output that shows it. The Python stack of the suite says nothing more."""
    text = f"{what}\n{output.rstrip()}" if output.strip() else what
    raise pytest.fail.Exception(text, pytrace=False) from None


def _reason(output: str) -> str:
    last = output.rstrip().splitlines()[-1:] or ["no reason given"]
    try:
        return str(json.loads(last[0])["reason"])
    except (ValueError, KeyError, TypeError):
        return last[0]
