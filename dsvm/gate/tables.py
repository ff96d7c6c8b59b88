"""The rows about frameworks: which speaks for which versions, and what it offers."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from dsvm.gate.cuda import Cuda, cuda_version
from dsvm.model import Compat, FrameworkRow


class Tables:
    """Framework rows by package, each with the range of versions that it speaks for, and the gaps between them."""

    def __init__(self, compat: Compat) -> None:
        self.cuda = compat.cuda
        self.spans: dict[str, list[tuple[SpecifierSet, FrameworkRow | None]]] = {}
        by_package: dict[str, list[FrameworkRow]] = {}
        for row in compat.frameworks:
            by_package.setdefault(canonicalize_name(row.package), []).append(row)
        for package, rows in by_package.items():
            rows.sort(key=lambda row: Version(row.since))
            spans = self.spans[package] = [(SpecifierSet(f"<{rows[0].since}"), None)]
            for row, following in zip(rows, [*rows[1:], None], strict=True):
                following_since = following.since if following else None
                end = _earlier(row.before, following_since)
                spans.append((SpecifierSet(f">={row.since}" + (f",<{end}" if end else "")), row))
                if end != following_since:
                    until = f",<{following_since}" if following_since else ""
                    spans.append((SpecifierSet(f">={end}{until}"), None))

    def find(self, package: str, versions: SpecifierSet) -> tuple[FrameworkRow | None, ...]:
        """What speaks for the versions that `versions` allows, the oldest first; None for those without a row."""
        try:
            return tuple(row for span, row in self.spans[package] if not versions.is_disjoint(span))
        except ValueError:  # `===` compares text, which has no ranges
            return (None,)


def _earlier(one: str | None, other: str | None) -> str | None:
    given = [text for text in (one, other) if text is not None]
    return min(given, key=Version, default=None)


def major_of(number: int) -> SpecifierSet:
    """All versions of one major version."""
    return SpecifierSet(f">={number},<{number + 1}")


def has_python(row: FrameworkRow, python: str) -> bool:
    return not row.python or SpecifierSet(row.python).contains(python)


def offered_by(rows: Iterable[FrameworkRow], extras: Iterable[str] | None) -> frozenset[Cuda]:
    """CUDA builds that rows know of, with those of the named extras; of all extras when that is None."""
    return frozenset(
        cuda_version(text)
        for row in rows
        for text in (*row.cuda, *(cuda for extra, cuda in row.extras.items() if extras is None or extra in extras))
    )
