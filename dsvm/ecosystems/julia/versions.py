"""Versions of Julia packages, and ranges of them as registries and as people write them.

https://pkgdocs.julialang.org/v1/compatibility/ and src/Versions.jl of Pkg, which decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import total_ordering
from typing import NamedTuple

VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?")
NUMBERS = r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?"
SEMVER = re.compile(rf"([~^]?)\s*{NUMBERS}")
INEQUALITY = re.compile(rf"(≥|>=|=|<)\s*{NUMBERS}")
HYPHEN = re.compile(rf"{NUMBERS}\s+-\s+{NUMBERS}")
BOUND = re.compile(r"\*|v?\d+(?:\.\d+){0,2}")


@total_ordering
class Version:
    """A version with Julia's order: numbers, then what comes before a release, then builds of one (`1.2.13+1`)."""

    def __init__(self, text: str) -> None:
        match = VERSION.fullmatch(text)
        if match is None:
            raise ValueError(f"'{text}' is no version, such as 1.2.3")
        self.text = text.removeprefix("v")
        self.release = (int(match[1]), int(match[2]), int(match[3]))
        self.order = (self.release, match[4] is None, _parts(match[4]), _parts(match[5]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.order == other.order

    def __lt__(self, other: Version) -> bool:
        return self.order < other.order

    def __hash__(self) -> int:
        return hash(self.order)

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


def _parts(text: str | None) -> tuple[tuple[bool, int, str], ...]:
    """Words between dots, numbers first and by their value."""
    words = text.split(".") if text else []
    return tuple((not word.isdigit(), int(word) if word.isdigit() else 0, word) for word in words)


class Range(NamedTuple):
    """From a bound to another, both included: each up to three numbers, and as many of a version's count.

    (1, 2) to (1,) is everything from 1.2.0 to before 2; () is no bound.
    """

    lower: tuple[int, ...]
    upper: tuple[int, ...]

    def __contains__(self, version: object) -> bool:
        assert isinstance(version, Version)  # noqa: S101 - `in` is asked about versions only
        numbers = version.release
        return numbers[: len(self.lower)] >= self.lower and numbers[: len(self.upper)] <= self.upper

    def __str__(self) -> str:
        lower, upper = (".".join(map(str, bound)) for bound in self)
        return (lower or "*") if self.lower == self.upper else f"{lower or '0'}-{upper or '*'}"


Ranges = Sequence[Range]
ANY: Ranges = (Range((), ()),)


def allowed(ranges: Ranges, version: Version) -> bool:
    return any(version in one for one in ranges)


def registry_range(text: str) -> Range:
    """A range as registries write it: `1`, `1.2.3`, `0.5-0.7`, `1.2-*`, `*`. ValueError for anything else."""
    words = [word.strip() for word in text.split("-")]
    if len(words) > 2 or not all(BOUND.fullmatch(word) for word in words):
        raise ValueError(f"'{text}' is no range of versions, such as 1.2-1")
    lower, upper = (_numbers(*re.findall(r"\d+", word)) for word in (words * 2)[:2])
    return Range(lower, upper)


def registry_ranges(value: str | Sequence[str]) -> Ranges:
    """What a registry says of a dependency's versions: a range or a list of them."""
    return tuple(registry_range(one) for one in ([value] if isinstance(value, str) else value))


def compat(text: str) -> Ranges:
    """Versions as [compat] of a Project.toml says them: `1.2`, `^1.2`, `~0.3.1`, `>= 1`, `< 2`, `= 1.2.3`, `1.2 - 3`.

    Several, separated by commas, allow what any of them allows. ValueError for anything else.
    """
    return tuple(_compat(one.strip(), text) for one in text.split(","))


def _compat(text: str, whole: str) -> Range:
    if match := SEMVER.fullmatch(text):
        given = _numbers(*match.groups()[1:])
        lower = _padded(given)
        if lower == (0, 0, 0) and len(given) == 3:
            raise ValueError(f"'{whole}': there is no version 0.0.0")
        if match[1] == "~":
            return Range(lower, lower[: min(2, len(given))])
        # up to the first number that is not zero, as far as numbers are given
        significant = next((place for place, number in enumerate(given, 1) if number), len(given))
        return Range(lower, lower[:significant])
    if match := INEQUALITY.fullmatch(text):
        bound = _padded(_numbers(*match.groups()[1:]))
        match match[1]:
            case "=":
                return Range(bound, bound)
            case "<":
                if bound == (0, 0, 0):
                    raise ValueError(f"'{whole}': no version is less than 0")
                last = next(place for place in (3, 2, 1) if bound[place - 1])
                return Range((0, 0, 0), (*bound[: last - 1], bound[last - 1] - 1))
            case _:
                return Range(bound, ())
    if match := HYPHEN.fullmatch(text):
        numbers = match.groups()
        return Range(_numbers(*numbers[:3]), _numbers(*numbers[3:]))
    raise ValueError(f"'{whole}' says no versions: write 1.2, ~1.2.3, >= 1.2, < 2, = 1.2.3 or 1.2 - 1.5")


def _numbers(*words: str | None) -> tuple[int, ...]:
    return tuple(int(word) for word in words if word is not None)


def _padded(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return (*numbers, 0, 0, 0)[:3]
