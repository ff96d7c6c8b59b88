"""Open shells on terminals of so many lines and columns, which are argv, and elsewhere.

Prints {"told": {shell: lines that it says by itself}, "quiet": the same of those that have nothing to say} as JSON.
"""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

lines, columns = map(int, sys.argv[1:])
MARK = "dsvm-check"
ASK = f"echo {MARK}"
LOGIN = ("bash", "-lic", ASK)


def before_mark(text: str) -> list[str]:
    """Lines before that of the command; all of them where it never came."""
    found = text.replace("\r", "").split("\n")
    return [line for line in found[: found.index(MARK) if MARK in found else len(found)] if line]


def on_terminal(argv: tuple[str, ...], **more: str) -> list[str]:
    """What comes before the command's own words, in a terminal."""
    usual = {name: value for name, value in os.environ.items() if name not in ("SHLVL", "TMUX", "STY", "COLUMNS")}
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execvpe(argv[0], argv, {**usual, "TERM": "xterm", **more})
        finally:
            os._exit(127)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # the terminal's other end is closed
        pass
    os.waitpid(pid, 0)
    return before_mark(shown.decode(errors="replace"))


def elsewhere(argv: tuple[str, ...]) -> list[str]:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    return before_mark(done.stdout)


with tempfile.TemporaryDirectory() as home:
    Path(home, ".hushlogin").touch()
    told = {"bash -l": on_terminal(LOGIN), "sh -l": on_terminal(("sh", "-lic", ASK))}
    quiet = {
        "a shell that runs a script": on_terminal(("bash", "-lc", ASK)),
        "a shell without a terminal": elsewhere(LOGIN),
        "with ~/.hushlogin": on_terminal(LOGIN, HOME=home),
        "a shell in another one": on_terminal(LOGIN, SHLVL="1"),
        "a window of tmux": on_terminal(LOGIN, TMUX="/tmp/tmux-1000/default,1,0"),
        "a window of screen": on_terminal(LOGIN, STY="1.pts-0"),
    }
print(json.dumps({"told": told, "quiet": quiet}))
