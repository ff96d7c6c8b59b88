"""Words of manifests: which known one is near, and on which line of a file one stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

LONGER = re.compile(r"[\w-]")


def near(word: str, known: Iterable[str]) -> str:
    """ " (did you mean 'x'?)", or nothing when no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def line_of(path: Path, *words: str) -> int:
    """First line of `path` that holds the first of `words` that stands there, for faults found between files."""
    text = path.read_text(encoding="utf-8")
    found = next((place for word in words if (place := _place(text, word)) is not None), 0)
    return text.count("\n", 0, found) + 1


def _place(text: str, word: str) -> int | None:
    """Where `word` stands first that is no part of a longer one; a lock is long, and `str.find` is quick."""
    place = text.find(word)
    while place >= 0:
        if not LONGER.match(text[place - 1 : place]) and not LONGER.match(text, place + len(word)):
            return place
        place = text.find(word, place + 1)
    return None
