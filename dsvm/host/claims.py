"""Who works on what: one run at a time on a variant, and no cleaning of a store that runs are using.

Images and build folders are one user's, whatever the store: claims of variants lie in the user's state folder.

A claim is a lock of the operating system on a file of the store: it goes with the process that has it, however it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

POLL = 0.2  # seconds between two looks at a claim that another run has


def folder() -> Path:
    """Where claims of variants are: XDG_STATE_HOME, or what this system has for that."""
    from platformdirs import user_state_path

    return user_state_path("dsvm")


def owner() -> str:
    """A word for whose claims these are: one engine serves several users, and several machines."""
    return hashlib.sha256(f"{platform.node()} {os.getuid()} {folder()}".encode()).hexdigest()[:16]


def _path(root: Path, name: str) -> Path:
    folder = root / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _take(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    """Who has a claim, in words: by what it wrote into the file."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        since = datetime.fromtimestamp(float(said["since"])).strftime("%H:%M:%S")
        return f"process {int(said['pid'])} ({str(said['command'])[:80]}), at it since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextmanager
def of_variant(root: Path, variant: str, echo: Callable[[str], None]) -> Iterator[bool]:
    """Work on `variant` alone; `root` is the folder of its claim. Waits for another run, and says for whom.

    Yields whether it had to wait: then what was seen before is old.
    """
    path = _path(root, f"variant-{variant}")
    with path.open("a+", encoding="utf-8") as file:
        waited = False
        while not _take(file, fcntl.LOCK_EX):
            if not waited:
                echo(f"{variant}: waiting for {_holder(path)}")
            waited = True
            time.sleep(POLL)
        command = " ".join(("invoke", *sys.argv[1:]))
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "command": command, "since": time.time()}))
        file.flush()
        yield waited


@contextmanager
def of_store(root: Path) -> Iterator[None]:
    """Use the store beside others: while anybody does, it is not cleaned. A run that cleans is waited for."""
    with _path(root, "store").open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def to_clean(root: Path) -> Iterator[bool]:
    """Have the store for oneself, if nobody uses it; yields whether that is so. Nobody begins to use it meanwhile."""
    with _path(root, "store").open("a+", encoding="utf-8") as file:
        yield _take(file, fcntl.LOCK_EX)


@contextmanager
def if_free(root: Path, variant: str) -> Iterator[str | None]:
    """Keep others off `variant` if nobody works on it; yields None then, else who does, in words."""
    path = _path(root, f"variant-{variant}")
    with path.open("a+", encoding="utf-8") as file:
        yield None if _take(file, fcntl.LOCK_EX) else _holder(path)
