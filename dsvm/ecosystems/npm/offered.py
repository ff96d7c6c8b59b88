"""Newer versions of npm packages: what the registry calls the latest, and which packages do not go with that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from semver import Version

from dsvm.ecosystems.protocol import Context, Offered
from dsvm.host import Host, redact
from dsvm.model import DsvmError, Pin, Section, StoreError

# What a registry sends where all versions of a package are asked for, without what people read:
# https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md
SHORT = "application/vnd.npm.install-v1+json"
Needs = Mapping[tuple[str, str], Sequence[str]]  # (name, version) -> who needs it, `glob 7.2.3: minimatch@^3`


def offered(
    section: Section, top: Pin, context: Context, again: Callable[[], str], needs: Callable[[], Needs]
) -> dict[str, Offered]:
    """What the registry offers of each pin of the program `top`.

    `again` is the version of the program that locking again brings, and `needs` the packages that it then has, with
    those that need each, where that is the locked program.
    """
    names = dict.fromkeys(pin.plain_name for pin in section.pins)
    with ThreadPoolExecutor(8) as pool:
        latest = dict(zip(names, pool.map(lambda name: _latest(name, context.host), names), strict=True))
    found = {pin.name: latest[pin.plain_name] for pin in section.pins}
    behind = [pin for pin in section.pins if _is_newer(found[pin.name], pin)]
    if not behind:
        return found
    try:
        moved = again()
        who = needs() if moved == top.version else {}
    except DsvmError as error:
        return found | {pin.name: Offered(found[pin.name].newest, words=error.message) for pin in behind}
    for pin in behind:
        newest = found[pin.name].newest
        if pin is top:
            found[pin.name] = Offered(newest, moved)
        elif moved != top.version:
            words = f"locking again brings {top.name} {moved}, with packages of its own"
            found[pin.name] = Offered(newest, holders=(top.name,), words=words)
        else:
            found[pin.name] = _chosen(pin, str(newest), who)
    return found


def _chosen(pin: Pin, newest: str, who: Needs) -> Offered:
    """A package as npm chooses it now: in the newest version, or in one that somebody needs."""
    name = pin.plain_name
    versions = sorted((version for other, version in who if other == name), key=_order)
    if not versions:
        return Offered(newest, words="nothing needs it any more")
    # of several versions the next one stands in its place
    again = next((one for one in versions if _order(one) >= _order(pin.version)), versions[-1])
    if again == newest:
        return Offered(newest, again)
    needed = who[name, again]
    holders = tuple(dict.fromkeys(re.split("[: ]", one)[0] for one in needed))
    return Offered(newest, again, holders, "; ".join(dict.fromkeys(needed[:20])))


@lru_cache(maxsize=8192)
def _latest(name: str, host: Host) -> Offered:
    """The latest version of a package, by its tag; the newest release where that is none."""
    try:
        place = f"{host.npm_registry().rstrip('/')}/{quote(name, safe='@/')}"
        said = _json(host, f"{place}/latest", "application/json")
        version = said.get("version") if said else None
        if not isinstance(version, str) or "-" in version:
            version = _newest_release(_json(host, place, SHORT), version)
    except DsvmError as error:
        return Offered(None, words=error.message)
    return Offered(version) if version else Offered(None, words="the registry has no such package")


def _newest_release(said: Mapping[str, Any] | None, otherwise: str | None) -> str | None:
    versions = (said or {}).get("versions")
    releases = [one for one in versions if "-" not in one] if isinstance(versions, dict) else []
    return max(releases, key=_order, default=otherwise)


def _json(host: Host, url: str, accept: str) -> Mapping[str, Any] | None:
    """A JSON object, or None when there is none of that name. Raises StoreError."""
    answer = host.get(url, accept=accept)
    if answer.status_code in (404, 405, 410):
        return None
    if answer.status_code >= 400:
        raise StoreError(f"{redact(url)}: HTTP {answer.status_code}")
    try:
        found = answer.json()
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{redact(url)}: its answer is no JSON") from error
    if not isinstance(found, dict):
        raise StoreError(f"{redact(url)}: its answer is no JSON object")
    return found


def _order(version: str) -> tuple[bool, Any]:
    """Sorts what is no version before what is."""
    try:
        return True, Version.parse(version)
    except ValueError:
        return False, version


def _is_newer(offer: Offered, pin: Pin) -> bool:
    return offer.newest is not None and _order(pin.version) < _order(offer.newest)
