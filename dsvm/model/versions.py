"""Versions as programs print them and as package registries write them, brought together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

# What Debian adds to an upstream version whose source it repacked: +dfsg1, ~ds, .dfsg.2, +repack1, +debian
_REPACKED = re.compile(r"[+.~](?:dfsg|ds|repack|debian)[.\d]*(?=$|[+~-])")
_REALLY = re.compile(r"^.*\+really")
_WORDS = re.compile(r"[\s,;()\[\]{}<>\"'=/:@|]+")
# 'v1.2', 'R-4.2.2' and 'jq-1.6' are versions with a name before them; '12.1' is not '2.1' with a 1 before it
_TOKEN = re.compile(r"^(?:[A-Za-z][A-Za-z_]*-?)*(\d.*)$")


def upstream_version(version: str) -> str:
    """The version as its makers number it: without Debian's epoch, revision and marks of a repacked source.

    '1:2.39.5-0+deb12u2' -> '2.39.5'; a version without any of these stays as it is.
    """
    version = re.sub(r"^\d+:", "", version)
    version = re.sub(r"-\d[^-]*$", "", version)
    version = _REALLY.sub("", version)
    return _REPACKED.sub("", version).replace("~", "")


def printed_versions(output: str) -> Iterator[str]:
    """Everything in a program's output that looks like a version, in order."""
    for word in _WORDS.split(output):
        if match := _TOKEN.match(word):
            yield match[1].rstrip(".-+_")


def same_version(printed: str, locked: str, *, parts: int | None = None) -> bool:
    """Whether `printed` names the locked version, as a version: '2.1' is '2.1.0' and neither '2.10' nor '12.1'.

    With `parts`, only so many release numbers count. A local label ('+cpu') counts when both have one.
    """
    return printed == locked or any(_equal(printed, one, parts) for one in {locked, upstream_version(locked)})


def _equal(printed: str, locked: str, parts: int | None) -> bool:
    if parts is not None:
        wanted = _release(locked, parts)
        return wanted != () and _release(printed, parts) == wanted
    try:
        left, right = Version(printed), Version(locked)
    except InvalidVersion:
        return printed == locked
    if left.local is None or right.local is None:
        return Version(left.public) == Version(right.public)
    return left == right


def _release(version: str, parts: int) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    return tuple([*numbers, *[0] * parts][:parts]) if numbers else ()
