"""docker lists the containers of an engine, played by a small server on a socket, and shows its errors."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
from pathlib import Path

from lib.http_server import Handler, serving
from lib.outcome import run_check

CONTAINERS = [
    {
        "Id": "0123456789abcdef" * 4,
        "Names": ["/lab"],
        "Image": "dsvm/check",
        "ImageID": "sha256:" + "0" * 64,
        "Command": "tini",
        "Created": 1750000000,
        "State": "running",
        "Status": "Up 3 minutes",
        "Ports": [{"PrivatePort": 8888, "Type": "tcp"}],
        "Labels": {"kept": "yes"},
    }
]


class Engine(Handler):
    """The part of an engine's API that listing containers asks."""

    def do_HEAD(self) -> None:
        self.say(200, "OK")

    def do_GET(self) -> None:
        if self.path.endswith("/_ping"):
            self.say(200, "OK")
        elif "/containers/json" in self.path:
            self.say(200, json.dumps(CONTAINERS))
        else:
            self.say(404, json.dumps({"message": "no such thing in this engine"}))

    def say(self, status: int, text: str) -> None:
        self.answer(status, text.encode(), {"Api-Version": "1.44", "Content-Type": "application/json"})


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    env |= {"DOCKER_HOST": f"unix://{Path('engine.sock').resolve()}", "DOCKER_CONFIG": str(Path("config").resolve())}
    return subprocess.run(["docker", *words], env=env, capture_output=True, text=True, timeout=60)


def check() -> dict[str, object]:
    nobody = docker("ps")
    if nobody.returncode == 0:
        raise AssertionError("it listed containers where there is no engine")
    with serving(socketserver.ThreadingUnixStreamServer("engine.sock", Engine)):
        listed = docker("ps", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.Ports}} {{.Labels}}")
        unknown = docker("image", "inspect", "nothing")
    if listed.returncode != 0:
        raise AssertionError(f"docker ps: {listed.stderr.strip()}")
    if listed.stdout.strip() != "0123456789ab lab dsvm/check 8888/tcp kept=yes":
        raise AssertionError(f"it printed {listed.stdout!r}")
    if unknown.returncode == 0:
        raise AssertionError("it found an image that is not there")
    made = docker("context", "create", "far", "--docker", "host=tcp://192.0.2.1:2376")
    if made.returncode != 0:
        raise AssertionError(f"docker context: {made.stderr.strip()}")
    contexts = docker("context", "ls", "--format", "{{.Name}}").stdout.split()
    if "far" not in contexts:
        raise AssertionError(f"contexts {contexts}")
    return {"listed": listed.stdout.strip(), "contexts": contexts}


if __name__ == "__main__":
    run_check(__file__, check)
