"""Fetch every script that the pages of code-server can load, as a browser that has logged in.

argv are its port and what editor_routes.js prints, for a cookie. The workbench is one script; what it loads beside
that, workers, frames and modules, it names by their paths, and so do those in turn. Prints {"asked": how many,
"wrong": {path: why}} as JSON.
"""

from __future__ import annotations

import html
import http.client
import json
import re
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

port, routes = int(sys.argv[1]), json.loads(sys.argv[2])
OUT = Path("/opt/code-server/lib/vscode/out")
USER = {"Cookie": f"code-server-session={urllib.parse.quote(routes['cookies']['user'])}"}
# Of modules for WebAssembly the bytes are taken, whatever they are called
TYPES = {".js": "javascript", ".html": "text/html", ".css": "text/css", ".wasm": ""}
# What the workbench names and nobody has: a folder, by a file in it; what signs for Microsoft's own builds; and other
# ways of comparing texts, for two values of a setting that code-server does not bring
ABSENT = ("out/vs/nls.js", "node_modules/vsda/", "node_modules/@vscode/diff/")
FILE = re.compile(r'"(vs/[\w./-]+\.(?:js|html))"')
MODULE = re.compile(r'\("(@?[a-z][\w./-]*)","([\w./-]+\.(?:js|wasm))"')
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def get(path: str) -> tuple[int, str, str]:
    """Status, media type or where to go on, and text."""
    connection.request("GET", path, headers=USER)
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    return answer.status, answer.headers.get("Location") or answer.headers.get("Content-Type") or "", text


def page() -> str:
    """The workbench's page: `/` goes on to it with the folder that is opened."""
    status, where, text = get("/")
    if status in (301, 302):
        status, where, text = get(urllib.parse.urljoin("/", where))
    if status != 200:
        sys.exit(f"/: {status}, {where}")
    return text


def named(script: str, static: str) -> Iterator[str]:
    """Paths of what a script names."""
    for path in FILE.findall(script):
        yield f"{static}/out/{path}"
    for module, path in MODULE.findall(script):
        yield f"{static}/node_modules/{module}/{path}"


def main() -> None:
    text = page()
    sources = re.findall(r'<script[^>]* src="([^"]+)"', text)
    sources += re.findall(r'"path":"([^"]+/serviceWorker[.]js)"', html.unescape(text))
    scripts = {urllib.parse.urljoin("/", source) for source in sources}
    workbench = next((one for one in scripts if one.endswith("/out/vs/code/browser/workbench/workbench.js")), None)
    if workbench is None:
        sys.exit(f"the page loads no workbench, but {sorted(scripts)}")
    static = workbench.partition("/out/")[0]
    # Names that are put together only when they are needed, such as those of keyboards
    built = (path.relative_to(OUT) for path in OUT.glob("vs/**/*") if path.suffix in (".js", ".html", ".css"))
    waiting = scripts | {f"{static}/out/{path}" for path in built if "node" not in path.parts}
    seen: dict[str, str] = {}
    while waiting:
        url = waiting.pop()
        if not url.startswith("/"):
            seen[url] = "is of another site"
            continue
        status, kind, script = get(url)
        wanted = TYPES[Path(url).suffix]
        seen[url] = "" if status == 200 and wanted in kind and script.strip() else f"answers {status}, {kind}"
        if not seen[url] and url.endswith(".js"):
            waiting |= set(named(script, static)) - seen.keys()
    wrong = {url: why for url, why in seen.items() if why and not url.removeprefix(f"{static}/").startswith(ABSENT)}
    print(json.dumps({"asked": len(seen), "wrong": wrong}))


if __name__ == "__main__":
    main()
