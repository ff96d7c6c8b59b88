"""A server program that a check starts: a port for it, waiting until it is ready, and its end."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

POLL_INTERVAL = 0.2  # seconds
STOP_TIMEOUT = 120.0  # seconds; an emulated machine is slow
KEPT_OUTPUT = 400  # characters of a server's output in a message


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment_without_proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


@contextmanager
def running(
    argv: Sequence[str],
    *,
    ready: Callable[[], object],
    timeout: float,
    env: Mapping[str, str] | None = None,
    log: Path = Path("server.log"),
    stop_timeout: float = STOP_TIMEOUT,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server program, from when `ready()` is true until the block ends; times are in seconds.

    `ready` may raise OSError as long as nobody listens. stdout and stderr go to the file `log`. Raises AssertionError
    with the end of that file when the program ends before it is ready, is not ready in time, or does not end after a
    SIGTERM: then it is killed.
    """
    with log.open("wb") as output, subprocess.Popen(argv, stdout=output, stderr=output, env=env) as process:
        try:
            _wait_until_ready(process, ready, timeout, log)
            yield process
        finally:
            ended = _stop(process, stop_timeout)
    # here, so that it does not take the place of what was raised in the block
    if not ended:
        raise AssertionError(f"it does not end after a SIGTERM: {_tail(log)}")


def _wait_until_ready(process: subprocess.Popen[bytes], ready: Callable[[], object], timeout: float, log: Path) -> None:
    deadline = time.monotonic() + timeout
    while True:
        if process.poll() is not None:
            raise AssertionError(f"it ended with exit code {process.returncode}: {_tail(log)}")
        if time.monotonic() >= deadline:
            raise AssertionError(f"it does not answer after {timeout:g} s: {_tail(log)}")
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(POLL_INTERVAL)


def _stop(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """End a program; False when it had to be killed."""
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        return False
    return True


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip()[-KEPT_OUTPUT:]
