"""Print how the program was started that listens on a port; of its parents the one that dsvm-start itself has started.

argv are the port and the variable that has the token. Prints {"words": its command line, "by": the command line of what
started it, "home": its home, "variables": names, "token": whether it has the container's} as JSON.
"""

import json
import os
import sys
from pathlib import Path

LISTEN = "0A"
STARTER = "/usr/local/bin/dsvm-start"
port, variable = int(sys.argv[1]), sys.argv[2]


def listening() -> set[str]:
    """What links of /proc/PID/fd say of the sockets that listen on the port."""
    rows = [row.split() for table in ("tcp", "tcp6") for row in Path("/proc/net", table).read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port}


def holds(process: Path, sockets: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in sockets for link in Path(process, "fd").iterdir())
    except OSError:  # it is another user's, or has ended
        return False


def read(process: Path, name: str) -> list[str]:
    return Path(process, name).read_bytes().decode("utf-8", "replace").split("\0")[:-1]


def parent(process: Path) -> Path:
    line = next(line for line in Path(process, "status").read_text().splitlines() if line.startswith("PPid:"))
    return Path("/proc", line.split()[1])


sockets = listening()
holders = [process for process in Path("/proc").glob("[0-9]*") if holds(process, sockets)]
if not holders:
    sys.exit(f"no process of ours listens on port {port}")
process = min(holders, key=lambda one: int(one.name))
while STARTER not in read(parent(process), "cmdline") and parent(process).name not in ("0", "1"):
    process = parent(process)
environment = dict(pair.split("=", 1) for pair in read(process, "environ") if "=" in pair)
found = {
    "words": read(process, "cmdline"),
    "by": read(parent(process), "cmdline"),
    "home": environment.get("HOME", ""),
    "variables": sorted(environment),
    "token": environment.get(variable) == os.environ["DSVM_TOKEN"],
}
print(json.dumps(found))
