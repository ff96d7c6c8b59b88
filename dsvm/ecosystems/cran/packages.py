"""R packages and what they need of each other."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dsvm.model import (
    LockError,
)

if TYPE_CHECKING:
    pass


# What R itself consists of; no repository has these.
R_ITSELF = {
    *("base", "compiler", "datasets", "graphics", "grDevices", "grid", "methods", "parallel", "splines", "stats"),
    *("stats4", "tcltk", "tools", "utils"),
}
NAME = r"[A-Za-z][A-Za-z0-9.]*[A-Za-z0-9]"
VERSION = r"\d+(?:[.-]\d+)*"
NEED = re.compile(rf"(?P<name>{NAME}|R)\s*(?:\(?\s*(?P<sign>>=|<=|==|>|<)\s*(?P<version>{VERSION})\s*\)?)?")
SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


class Need(NamedTuple):
    """A package, or R itself, perhaps of certain versions only."""

    name: str
    sign: str = ""
    version: str = ""

    def allows(self, version: str) -> bool:
        return not self.sign or SIGNS[self.sign](order(version), order(self.version))

    def __str__(self) -> str:
        return f"{self.name} ({self.sign} {self.version})" if self.sign else self.name


class Package(NamedTuple):
    """What the index of a repository says of a package; `file` is relative to src/contrib."""

    name: str
    version: str
    file: str
    md5: str | None
    needs: tuple[Need, ...]


def order(version: str) -> tuple[int, ...]:
    """R's order of versions: number by number, '-' as good as '.'."""
    return tuple(int(number) for number in re.split("[.-]", version))


def parse_need(text: str) -> Need:
    match = NEED.fullmatch(text.strip())
    if match is None or (text.count("("), text.count(")")) not in ((0, 0), (1, 1)):
        raise ValueError(f"'{text}' is not an R package, such as 'glmnet' or 'glmnet >= 4.1'")
    return Need(match["name"], match["sign"] or "", match["version"] or "")


def is_for(package: Package, r: str) -> bool:
    return all(need.allows(r) for need in package.needs if need.name == "R")


def needed(
    wanted: Iterable[Need], packages: Mapping[str, Sequence[Package]], r: str, given: Mapping[str, str]
) -> list[Package]:
    """The packages that `wanted` stand for, each after those that it needs itself; what R `r` brings is left to it.

    Raises LockError with every fault.
    """
    found: dict[str, Package] = {}
    faults: dict[str, None] = {}

    def visit(need: Need, whose: str) -> None:
        here = given.get(need.name.lower())
        if need.name in R_ITSELF or (whose and here is not None and need.allows(here)):
            return
        offered = packages.get(need.name, ())
        fitting = [one for one in offered if is_for(one, r)]
        best = max(fitting, key=lambda one: order(one.version), default=None)
        by = f", which {whose} needs" if whose else ""
        if not offered:
            faults[f"{need.name}{by}: not in the snapshot"] = None
        elif best is None:
            newer = next(str(other) for other in offered[-1].needs if other.name == "R" and not other.allows(r))
            faults[f"{need.name} {offered[-1].version}{by}: wants {newer}, the base has R {r}"] = None
        elif not need.allows(best.version):
            faults[f"{need}{by}: the snapshot has {best.version}"] = None
        elif best.name not in found and best.name not in begun:
            begun.add(best.name)
            for other in sorted(best.needs):
                if other.name != "R":
                    visit(other, best.name)
            found[best.name] = best

    begun: set[str] = set()
    for need in sorted(wanted):
        visit(need, "")
    if faults:
        raise LockError(
            "R packages cannot be had:\n" + "\n".join(f"    {fault}" for fault in faults),
            hint="Correct a name, or take a snapshot of the time of the base's R (manifests/indexes)",
        )
    return list(found.values())
