"""Start a service once more, in the same home, with a token of its own: argv are its name, what the plan says of it as
JSON, and the text of client.py.

That is what a home holds which is kept from start to start, or mounted into two containers. Both are asked with the
tokens and cookies of both. Prints {what was asked: the answer of client.py} as JSON.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

name, planned, client = sys.argv[1:]
service = json.loads(planned)
here, token = str(service["port"]), os.environ["DSVM_TOKEN"]
PATIENCE = 90  # seconds until the other one answers
TRIES = 3  # on a busy machine code-server gives up, for its parts wait only 10 seconds for each other


def ask(port: str, who: str, known: str, *kept: str) -> dict[str, Any]:
    path = service["health"] if who == "health" else service["protected"]
    argv = [sys.executable, "-I", "-S", "-c", client, port, path, service["login"], who, *kept]
    done = subprocess.run(argv, env={**os.environ, "DSVM_TOKEN": known}, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        there = str(free.getsockname()[1])
    other = secrets.token_urlsafe(24)
    words = [word.replace(here, there) for word in service["run"]]
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w+") as log:
        manifest = Path(folder, "manifest.json")
        # RStudio takes its port from there
        moved = {**service, "run": words, "port": int(there), "env": {**service["env"], "RSTUDIO_PORT": there}}
        manifest.write_text(json.dumps({"services": {name: moved}}))
        own = {"DSVM_MANIFEST": str(manifest), "TMPDIR": folder, "DSVM_TOKEN": other}
        start = partial(
            subprocess.Popen,
            ["/usr/local/bin/dsvm-start"],
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        started, tries = start(), TRIES
        try:
            end = time.monotonic() + PATIENCE
            while not (listens(int(there)) and 200 <= ask(there, "health", other)["status"] < 400):
                ended = started.poll() is not None
                tries -= ended
                if tries == 0 or time.monotonic() > end:
                    log.seek(0)
                    sys.exit(f"{name} does not start once more:\n{log.read()}")
                if ended:
                    started = start()
                time.sleep(0.1)
            cookies = ask(here, "owner", token)["cookies"]
            browser = ("browser", "", f"127.0.0.1:{here}", cookies)
            answers = {
                "its token": ask(there, "other", other),
                "the token of this start": ask(there, "other", token),
                "its token at this start": ask(here, "other", other),
            }
            if cookies:  # one that gives none keeps nobody
                answers |= {
                    "cookies at this start": ask(here, *browser),
                    "cookies of this start": ask(there, *browser),
                }
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait()
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
