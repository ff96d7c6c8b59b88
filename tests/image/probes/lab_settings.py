"""Compare settings and extensions of JupyterLab with what the plan says.

argv are its port, and as JSON the words that it is started with, the names of the planned packages of its environment,
and {"server": names, "lab": names} of the extensions that planned files are. Settings are those that its application
has when it is loaded here, from all files that it reads, and so are extensions of the server; those of the page are
what the page of the running server says. Planned are those that planned packages bring, and planned files. Prints
{"planned": how many extensions, "wrong": {what is wrong: details}} as JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

port = sys.argv[1]
words, packages, files = map(json.loads, sys.argv[2:])
PLACES = {"{home}": os.environ["HOME"], "{cookie_key}": str(Path("key").resolve())}
# What LabApp sets by itself, and --no-browser
OWN = {
    "ServerApp.default_url": "/lab",
    "ServerApp.file_url_prefix": "/lab/tree",
    "ServerApp.open_browser": "False",
    "ExtensionApp.open_browser": "False",
}
ENABLED = "ServerApp.jpserver_extensions"
STRICT = "ServerApp.reraise_server_extension_failures"
SERVER = re.compile(r"(?m)^(.*etc/jupyter/jupyter_server_config[.]d/[^/,]+[.]json),")
LAB = re.compile(r"(?m)^(.*share/jupyter/labextensions/((?:@[^/,]+/)?[^/,]+)/package[.]json),")


def records() -> Iterator[tuple[Path, str]]:
    """Of every planned package that is installed: the folder of the packages, and the list of its files."""
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    for folder in site.glob("*.dist-info"):
        name = re.sub(r"[-_.]+", "-", folder.name.split("-")[0]).lower()
        if name in packages:
            yield site, (folder / "RECORD").read_text(encoding="utf-8")


def planned() -> tuple[set[str], set[str], set[str]]:
    """Extensions of the server that are enabled, those of the page, and those that these replace.

    https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html#disabling-other-extensions
    """
    server, lab, replaced = set(files["server"]), set(files["lab"]), set()
    for site, record in records():
        for path, name in LAB.findall(record):
            lab.add(name)
            told = json.loads(Path(site, path).read_text(encoding="utf-8"))
            replaced |= set(told.get("jupyterlab", {}).get("disabledExtensions", ()))
        for path in SERVER.findall(record):
            told = json.loads(Path(site, path).read_text(encoding="utf-8"))
            server |= {name for name, on in told["ServerApp"]["jpserver_extensions"].items() if on}
    return server, lab, replaced


def given() -> tuple[list[str], dict[str, str]]:
    """The words with their places filled, and the settings that they are."""
    filled = list(words)
    for place, value in PLACES.items():
        filled = [word.replace(place, value) for word in filled]
    pairs = [word[2:].split("=", 1) for word in filled if "=" in word]
    return filled, {name if "." in name else f"ServerApp.{name}": value for name, value in pairs}


def effective(argv: list[str]) -> tuple[dict[str, str], set[str]]:
    """Settings and enabled extensions of the application; an extension that does not load ends this."""
    from jupyterlab.labapp import LabApp

    app = LabApp.initialize_server(argv=[*argv, f"--{STRICT}=True", "--ServerApp.log_level=50"])
    known = {f"{section}.{name}": value for section, one in app.config.items() for name, value in one.items()}
    for name in (ENABLED, STRICT, "ServerApp.log_level"):
        known.pop(name, None)
    return {name: str(value) for name, value in known.items()}, {
        name for name, on in app.jpserver_extensions.items() if on
    }


def page() -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
    connection.request("GET", "/lab", headers={"Authorization": f"token {os.environ['DSVM_TOKEN']}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    found = re.search(r'<script[^>]*id="jupyter-config-data"[^>]*>(.*?)</script>', text, re.DOTALL)
    if answer.status != 200 or not found:
        sys.exit(f"/lab: {answer.status}, without the page's settings")
    return dict(json.loads(found[1]))


def main() -> None:
    argv, settings = given()
    settings = OWN | settings
    found, enabled = effective(argv)
    server, lab, replaced = planned()
    told = page()
    shown = {extension["name"] for extension in told["federated_extensions"]}
    wrong = {
        "set, but not planned": {name: value for name, value in found.items() if settings.get(name) != value},
        "not set": sorted(settings.keys() - found.keys()),
        "extensions of the server that are not planned": sorted(enabled - server),
        "extensions of the server that are not enabled": sorted(server - enabled),
        "extensions of the page that are not planned": sorted(shown - lab),
        "extensions of the page that are not there": sorted(lab - shown),
        "extensions of the page that are disabled": sorted(set(told["disabledExtensions"]) - replaced),
    }
    print(
        json.dumps({"planned": len(server) + len(lab), "wrong": {name: what for name, what in wrong.items() if what}})
    )


if __name__ == "__main__":
    main()
