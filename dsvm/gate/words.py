"""Names in messages."""

from __future__ import annotations

from collections.abc import Iterable


def listed(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def some_of(names: Iterable[str]) -> str:
    every = sorted(names)
    return ", ".join(every[:4]) + (f" and {len(every) - 4} more" if every[4:] else "")
