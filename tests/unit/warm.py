"""Commands of ours as processes of their own that need not load everything first: forks of one that has and waits.

What such a process gets is its own: words, environment, folder, standard streams, exit code, and every cache of ours,
which are all empty when it begins. How Python itself starts, a test of that has to see in a process made the usual way.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WAITING = """\
import gc, importlib, json, os, pkgutil, socket, sys
import invoke.main
import dsvm

def wait(ours):
    for module in pkgutil.walk_packages(dsvm.__path__, "dsvm."):
        importlib.import_module(module.name)
    assert os.listdir("/proc/self/task") == [str(os.getpid())], "a thread would not survive the fork"
    gc.collect()
    gc.freeze()
    while True:
        asked, streams, _, _ = socket.recv_fds(ours, 1 << 20, 3)
        if not asked:
            os._exit(0)
        child = os.fork()
        if child == 0:
            ours.close()
            return json.loads(asked), streams
        for stream in streams:
            os.close(stream)
        ours.send(b"%d" % child)
        ours.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

asked, streams = wait(socket.socket(fileno=int(sys.argv[1])))
for number, stream in enumerate(streams):
    os.dup2(stream, number)
    os.close(stream)
sys.stdin = sys.__stdin__ = open(0, errors="surrogateescape")
sys.stdout = sys.__stdout__ = open(1, "w", errors="surrogateescape")
sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, errors="backslashreplace")
os.environ.clear()
os.environ.update(asked["env"])
sys.path[1:1] = [place for place in asked["path"] if place not in sys.path]
sys.argv = ["invoke", *asked["words"]]
invoke.main.program.run()
"""


@cache
def _waiting() -> socket.socket:
    """The way to the process that waits; it ends with this one."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", WAITING, str(there.fileno())]
    process = subprocess.Popen(argv, cwd=ROOT, env=env, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL)
    there.close()
    atexit.register(process.wait)
    atexit.register(here.close)
    return here


@dataclass(frozen=True)
class Begun:
    """A command that runs; no other one begins here before somebody waited for its end."""

    argv: Sequence[str]
    pid: int

    def wait(self, timeout: float = 120) -> int:
        """Its exit code; TimeoutExpired, and its end, when it takes longer than so many seconds."""
        way = _waiting()
        way.settimeout(timeout)
        try:
            return int(way.recv(100))
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            way.settimeout(None)
            way.recv(100)
            raise subprocess.TimeoutExpired(self.argv, timeout) from None


def begin(words: Iterable[str | Path], env: Mapping[str, str], streams: tuple[int, int, int]) -> Begun:
    """Begin `invoke WORDS` with this environment and no other, and with these files as its standard streams."""
    argv = ["invoke", *map(str, words)]
    path = [place for place in env.get("PYTHONPATH", "").split(os.pathsep) if place]
    asked = json.dumps({"words": argv[1:], "env": dict(env), "path": path})
    way = _waiting()
    way.settimeout(None)
    socket.send_fds(way, [asked.encode()], streams)
    return Begun(argv, int(way.recv(100)))


def invoke(words: Iterable[str | Path], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `invoke WORDS` with this environment and no other."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open("rb") as nothing:
        begun = begin(words, env, (nothing.fileno(), out.fileno(), err.fileno()))
        code = begun.wait()
        texts = []
        for one in (out, err):
            one.seek(0)
            texts.append(one.read().decode())
    return subprocess.CompletedProcess(begun.argv, code, *texts)
