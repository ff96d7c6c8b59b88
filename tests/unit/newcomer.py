"""What a newcomer has: the ecosystem of tests/outside, a shelf for it on loopback, and the tool of CONTRIBUTING.md."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dsvm.host import bundled

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ROOT / "tests" / "outside"
PROGRAM = """\
#!/bin/sh
if [ "$1" = --version ]; then exec cat /opt/shelf/greeter/VERSION; fi
. /opt/shelf/phrases/hello
echo "$HELLO, $1!"
"""
PACKAGES: Mapping[tuple[str, str], tuple[Mapping[str, str], list[str]]] = {
    ("greeter", "1.0"): ({"bin/greeter": PROGRAM}, ["phrases"]),
    ("greeter", "1.2"): ({"bin/greeter": PROGRAM}, ["phrases"]),
    ("phrases", "3"): ({"hello": "HELLO=Hello\n"}, []),
}


def install(target: Path, scratch: Path) -> Path:
    """Build the distribution of tests/outside and install it into a folder of its own; returns the folder."""
    source = Path(shutil.copytree(OUTSIDE, scratch / "source"))
    argv: list[str | Path] = [
        *(bundled("uv"), "pip", "install", "--quiet", "--no-config", "--no-index", "--no-deps", "--no-build-isolation"),
        *("--cache-dir", scratch / "cache", "--target", target, source),
    ]
    subprocess.run(argv, check=True)
    return target


def contributing() -> dict[str, str]:
    """The tool of CONTRIBUTING.md with its check script, as files of a catalog."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (tool,) = re.findall(r"```yaml\n# (tools/networkx.yaml)\n(.*?)```", text, re.DOTALL)
    (script,) = re.findall(r"```python\n# (checks/networkx_paths.py)\n(.*?)```", text, re.DOTALL)
    return dict([tool, script])


# --- a shelf -------------------------------------------------------------------------------------------------


def fill(folder: Path) -> Path:
    """Put the packages and their index into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, dict[str, object]] = {}
    for (name, version), (files, needs) in PACKAGES.items():
        data = archive(name, {**files, "VERSION": f"{version}\n"})
        file = f"{name}-{version}.tar.gz"
        (folder / file).write_bytes(data)
        entry = {"file": file, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "needs": needs}
        index.setdefault(name, {})[version] = entry
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def archive(name: str, files: Mapping[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size = len(text.encode())
            member.mode = 0o755 if text.startswith("#!") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder on loopback; gives its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
