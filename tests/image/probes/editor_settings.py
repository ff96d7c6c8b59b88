"""Look at the settings and extensions of a code-server that runs.

argv are its port, what editor_routes.js prints, and the folder of its data. Extensions are those that VS Code's server
found when it was loaded, which it writes down there. Prints {"found": how many extensions, "wrong": {what is wrong:
details}} as JSON.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

port, routes, data = int(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
PROGRAM = Path("/opt/code-server/lib/vscode/extensions")
SETTINGS = Path.home() / ".config/code-server/config.yaml"
# What code-server writes at its first start; all but the last is said by its command line, or by the token
USUAL = {"bind-addr", "auth", "password", "cert"}
FOUND = data / "CachedProfilesData/__default__profile__/extensions.builtin.cache"
PATIENCE = 30  # seconds until VS Code's server has looked for extensions, after the first page


def scanned() -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    cookie = {"Cookie": f"code-server-session={urllib.parse.quote(routes['cookies']['user'])}"}
    connection.request("GET", "/", headers=cookie)
    connection.getresponse().read()
    end = time.monotonic() + PATIENCE
    while not FOUND.exists():
        if time.monotonic() > end:
            sys.exit(f"VS Code's server has not looked for its extensions: there is no {FOUND}")
        time.sleep(0.1)
    return list(json.loads(FOUND.read_text(encoding="utf-8"))["result"])


def begins(folder: Path, script: str) -> bool:
    """Whether the script that an extension begins with is there, as Node.js looks for it."""
    return any(Path(folder, f"{script}{end}").is_file() for end in ("", ".js", ".cjs", "/index.js"))


def main() -> None:
    own = json.loads((data / "extensions/extensions.json").read_text()) if (data / "extensions").is_dir() else []
    lines = SETTINGS.read_text(encoding="utf-8").splitlines() if SETTINGS.is_file() else []
    pairs = dict(line.split(":", 1) for line in lines if ":" in line and line[0] not in " #-")
    result = scanned()
    folders = {Path(one["location"]["path"]): one for one in result}
    there = {path.parent for path in PROGRAM.glob("*/package.json")}
    wrong = {
        "settings that are not usual": sorted(pairs.keys() - USUAL),
        "certificate": [pairs["cert"].strip()] if pairs.get("cert", " false").strip() != "false" else [],
        "extensions of a user's": sorted(one["identifier"]["id"] for one in own),
        "extensions that are not loaded": sorted(str(path) for path in there - folders.keys()),
        "extensions from elsewhere": sorted(str(path) for path in folders.keys() - there),
        "extensions that are not valid": {
            str(path): one["validations"] for path, one in folders.items() if not one["isValid"]
        },
        "extensions whose program is gone": sorted(
            str(path)
            for path, one in folders.items()
            if "main" in one["manifest"] and not begins(path, one["manifest"]["main"])
        ),
    }
    print(json.dumps({"found": len(folders), "wrong": {name: what for name, what in wrong.items() if what}}))


if __name__ == "__main__":
    main()
