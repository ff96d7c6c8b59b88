"""Ask every kind of shell for commands, all of them at once: argv are variables that the plan sets, as JSON, and the
commands.

Each must be the program that the plan's PATH leads to, and one that can be run, whatever a shell reads when it starts.
Prints what differs, as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

planned, names = json.loads(sys.argv[1]), sys.argv[2:]
# What terminals are: of JupyterLab and code-server, of `docker exec -it`, of ssh; the last is that of a service
SHELLS = (
    ("bash", "-lc"),
    ("bash", "-ic"),
    ("bash", "-lic"),
    ("sh", "-lc"),
    ("sh", "-ic"),
    ("dsvm-start", "bash", "-lic"),
)
MARK = "dsvm-check:"
ASK = f'for name; do echo "{MARK}$name=$(command -v -- "$name" | head -n 1)"; done; env'
# What changes what programs are or load
STRANGE = ("BASH_ENV", "ENV", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD", "PERL5OPT", "PYTHONHOME", "PYTHONPATH")
# The layer of what users add to the environment `base` has a Python of its own: see dsvm-python
LAYERED = ("python", "python3", "pip")


def asked(shell: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Where each command is, and the environment."""
    done = subprocess.run(
        [*shell, ASK, "ask", *names], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    found: dict[str, str] = {}
    environment: dict[str, str] = {}
    for line in done.stdout.splitlines():
        kept = found if line.startswith(MARK) else environment
        name, _, value = line.removeprefix(MARK).partition("=")
        kept[name] = value
    return found, environment


def layer() -> str:
    try:
        done = subprocess.run(["dsvm-python", "--bin", "base"], capture_output=True, text=True)
    except OSError:
        return "/nowhere"
    return done.stdout.strip() or "/nowhere"


def cannot_run(path: Path) -> str | None:
    """Why the kernel cannot run a file."""
    if not os.access(path, os.X_OK) or not path.is_file():
        return "is no program"
    with path.open("rb") as file:
        first = file.readline(256)
    if first.startswith(b"#!"):
        interpreter = first[2:].split()[0].decode(errors="replace") if first[2:].split() else ""
        if not os.access(interpreter, os.X_OK):
            return f"is run by {interpreter or 'nothing'}, which is no program"
    elif not first.startswith(b"\x7fELF"):
        return "is neither a script with its interpreter's name nor a binary of this system"
    return None


def main() -> None:
    expected = {name: shutil.which(name) or "" for name in names}
    faults = [f"{name}: not on the plan's PATH" for name, path in expected.items() if not path]
    for name, path in expected.items():
        if path and (why := cannot_run(Path(path))):
            faults.append(f"{name}: {path} {why}")
    own = layer()
    for shell in SHELLS:
        found, environment = asked(shell)
        shown = " ".join(shell)
        for name, path in expected.items():
            said = found.get(name, "")
            if said != path and not (name in LAYERED and said == f"{own}/{name}"):
                faults.append(f"{shown}: {name} is {said or 'not found'}, not {path}")
        for name, value in planned.items():
            # lists of folders grow by those of the user's layer, behind the image's
            if not f"{environment.get(name)}:".startswith(f"{value}:"):
                faults.append(f"{shown}: {name} is {environment.get(name)!r}, not {value!r}")
        strange = (name for name in STRANGE if name in environment and name not in planned)
        faults += [f"{shown}: {name} is {environment[name]!r}" for name in strange]
    print(json.dumps(faults))


if __name__ == "__main__":
    main()
