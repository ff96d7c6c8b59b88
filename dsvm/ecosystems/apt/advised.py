"""What advisories call Debian packages: by source package, in the distribution's release.

https://ossf.github.io/osv-schema/#defined-ecosystems
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dsvm.ecosystems.apt.control import control_of
from dsvm.ecosystems.protocol import Advised
from dsvm.model import Base, LockError, Pin, Repository
from dsvm.store import Store

# https://www.debian.org/doc/debian-policy/ch-controlfields.html#s-f-source
SOURCE = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)(?:\s*\((?P<version>[^()\s]+)\))?")
POOL = re.compile(r"(?:.*/)?pool/[^/]+(?:/[^/]+)?/[a-z0-9]+/(?P<source>[a-z0-9][a-z0-9+.-]+)/[^/]+")
BINARY_ONLY = re.compile(r"\+b\d+$")  # a rebuild of the same source


def advised(pin: Pin, base: Base, store: Store, repositories: Mapping[str, Repository]) -> Sequence[Advised]:
    """The source package that a pin was built from; nothing when the distribution is not where it comes from."""
    ecosystem = _ecosystem(base)
    if ecosystem is None or not _of_distribution(pin.registry, base, repositories):
        return ()
    remembered = store.readings("deb-sources", 1)
    said = remembered.word(pin.sha256)
    if said is None and store.size(pin.sha256) is not None:
        try:
            control = control_of(store.path(pin.sha256), pin.filename)
        except LockError:
            return (_guessed(pin, ecosystem),)
        match = SOURCE.fullmatch(control.get("Source", pin.name).strip())
        name, version = (match["name"], match["version"]) if match else (pin.name, None)
        said = f"{name} {version or control['Version']}"
        remembered.put(pin.sha256, said)
    if said is None:
        return (_guessed(pin, ecosystem),)
    name, _, version = said.partition(" ")
    # a rebuild says no version of its source, which has none of the rebuild's own ending
    return (Advised(ecosystem, name, BINARY_ONLY.sub("", version)),)


def _guessed(pin: Pin, ecosystem: str) -> Advised:
    """By the folder of the archive, which is the source's, and the package's own version."""
    match = POOL.fullmatch(pin.file)
    name = match["source"] if match else pin.name
    return Advised(ecosystem, name, BINARY_ONLY.sub("", pin.version), certain=False)


def _ecosystem(base: Base) -> str | None:
    """Debian:12, Ubuntu:24.04:LTS, Ubuntu:25.10; None for others, which OSV has nothing of."""
    if base.os == "debian":
        return f"Debian:{base.release}"
    if base.os == "ubuntu":
        year, _, month = base.release.partition(".")
        long = month == "04" and year.isdigit() and int(year) % 2 == 0
        return f"Ubuntu:{base.release}{':LTS' if long else ''}"
    return None


def _of_distribution(registry: str, base: Base, repositories: Mapping[str, Repository]) -> bool:
    """Whether a registry is the base's own archive, or another part of its release."""
    own = [suite.partition("/")[::2] for suite in (base.bootstrap.suites if base.bootstrap else ())]
    if registry in {archive for archive, _ in own}:
        return True
    repository = repositories.get(registry)
    if repository is None or repository.archive is None:
        return False
    suites = {place.suite for place in repository.places if base.base in place.base}
    return bool(suites) and suites <= {suite for archive, suite in own if archive == repository.archive}
