"""Words of manifests: which known one is near, and on which line of a file one stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path


def near(word: str, known: Iterable[str]) -> str:
    """ " (did you mean 'x'?)", or nothing when no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def line_of(path: Path, *words: str) -> int:
    """First line of `path` that holds the first of `words` that stands there, for faults found between files."""
    text = path.read_text(encoding="utf-8")
    tried = (re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in words)
    found = next((one for one in tried if one is not None), None)
    return text.count("\n", 0, found.start()) + 1 if found is not None else 1
