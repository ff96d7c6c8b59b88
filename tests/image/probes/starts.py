"""Start commands as `NAME --version`: argv are their names. Prints {name: why it does not start} as JSON.

What a program says of that, or its exit code, is no fault: not every one knows the word. That it is not found, that its
interpreter or a library is gone, that a signal ends it or that it says nothing at all, is. One that is still at work
after a while has started.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

SECONDS = 45
NOT_RUN = (126, 127)  # a shell script whose own program cannot be run
LOST = re.compile(
    r"error while loading shared libraries|cannot open shared object file|bad interpreter|symbol lookup error"
    r"|(?:ModuleNotFound|Import)Error:|Cannot find module|Could not find or load main class|Error: package or namespace"
)


def fault(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        return "not on PATH"
    try:
        process = subprocess.Popen(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return f"{path} cannot be run: {error.strerror}"
    try:
        data, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return ""
    said = data.decode(errors="replace")
    last = said.strip().splitlines()[-1][:200] if said.strip() else ""
    if process.returncode < 0:
        return f"{path} is ended by {signal.Signals(-process.returncode).name}: {last}"
    if process.returncode in NOT_RUN:
        return f"{path}: exit code {process.returncode}: {last}"
    if found := LOST.search(said):
        line = next(line for line in said.splitlines() if found[0] in line)
        return f"{path}: {line.strip()[:200]}"
    return "" if said.strip() else f"{path} says nothing"


with ThreadPoolExecutor(2) as pool:
    faults = dict(zip(sys.argv[1:], pool.map(fault, sys.argv[1:]), strict=True))
print(json.dumps({name: why for name, why in faults.items() if why}))
