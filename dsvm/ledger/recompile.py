"""Says which byte code is not what this Python makes of its source; a program of its own, run by an image's Python.

Usage: python -I -S -B -X pycache_prefix=/nonexistent recompile.py LIST

LIST is a JSON file: [[byte code, source, level of optimization], ...], those of one source one after the other. The
paths that differ are printed, each as JSON in a line, and `done` in the last one.

By `pycache_prefix` no byte code of the image runs here, this Python's own neither. What is compared does not run, but
reading what is no marshalled data may crash Python: so a process of its own does that, and whatever it was at when it
crashed differs.
"""

from __future__ import annotations

import json
import marshal
import os
import resource
import signal
import sys
import warnings
from types import CodeType
from typing import Any

PLAIN = 2  # the version of marshal's form that has no references, and so is the same for the same code
SECONDS = 600  # for one file, on a machine that may be busy
MOST = 8 << 30  # bytes of memory
HEADER = 16  # bytes: https://peps.python.org/pep-0552/


def main() -> None:
    with open(sys.argv[1], encoding="ascii") as file:  # noqa: PTH123 - nothing is imported that is not needed
        jobs = json.load(file)
    warnings.simplefilter("ignore")
    count = max(1, min(os.cpu_count() or 1, len(jobs) // 50))
    ends = [0, *(_boundary(jobs, len(jobs) * number // count) for number in range(1, count)), len(jobs)]
    running = []
    for start, end in zip(ends, ends[1:]):  # noqa: B905, RUF007 - both are of 3.10
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            with os.fdopen(writer, "w") as out:
                for path in differing(jobs[start:end]):
                    out.write(json.dumps(path) + "\n")
            os._exit(0)
        os.close(writer)
        running.append((pid, reader))
    failed = 0
    for pid, reader in running:
        with os.fdopen(reader) as lines:
            for line in lines:
                sys.stdout.write(line)
        failed |= os.waitpid(pid, 0)[1]
    if not failed:
        sys.stdout.write("done\n")


def _boundary(jobs: list[Any], place: int) -> int:
    """The place where the jobs of the next source begin."""
    while 0 < place < len(jobs) and jobs[place][1] == jobs[place - 1][1]:
        place += 1
    return place


def differing(jobs: list[Any]) -> list[str]:
    """Paths of those that differ, or cannot be compared."""
    found = []
    while jobs:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            try:
                compare(jobs, writer)
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as answers:
            said = answers.read()  # a byte for each job that was begun, and for each that ended
        os.waitpid(pid, 0)
        outcomes = said.replace(b"?=", b"=").replace(b"?!", b"!") or b"?"
        found += [jobs[place][0] for place, one in enumerate(outcomes) if one != ord("=")]
        jobs = jobs[len(outcomes) :]
    return found


def compare(jobs: list[Any], out: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST, MOST))
    made: dict[tuple[str, int], tuple[str, bytes]] = {}
    last = ""
    for cached, source, level in jobs:
        os.write(out, b"?")
        signal.alarm(SECONDS)
        if source != last:
            made, last = {}, source
        try:
            same = is_same(cached, source, level, made)
        except Exception:
            same = False
        os.write(out, b"=" if same else b"!")


def is_same(cached: str, source: str, level: int, made: dict[tuple[str, int], tuple[str, bytes]]) -> bool:
    """Whether `cached` is byte code of `source`, whatever place it says it was compiled in.

    `made` keeps what was compiled of this source.
    """
    with open(cached, "rb") as file:  # noqa: PTH123
        code = marshal.loads(file.read()[HEADER:])  # noqa: S302 - it does not run
    if not isinstance(code, CodeType):
        return False
    found, name = marshal.dumps(code, PLAIN), code.co_filename
    if (source, level) not in made:
        made[source, level] = name, marshal.dumps(compiled(source, name, level), PLAIN)
    first, wanted = made[source, level]
    if found.replace(packed(name), packed(first)) == wanted:
        return True
    again = compiled(source, name, level)
    # before Python 3.11 sets are written in no order, and code that is equal as objects will do
    return found == marshal.dumps(again, PLAIN) or (sys.version_info < (3, 11) and code == again)


def compiled(source: str, name: str, level: int) -> CodeType:
    with open(source, "rb") as file:  # noqa: PTH123
        code: CodeType = compile(file.read(), name, "exec", dont_inherit=True, optimize=level)
    return code


def packed(text: str) -> bytes:
    """A string as marshal writes it."""
    return marshal.dumps(text, PLAIN)


if __name__ == "__main__":
    main()
