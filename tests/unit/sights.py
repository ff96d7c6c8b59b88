"""Images that are made for a test of what no owner excuses: a tree, what packages have of it, and its files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from dsvm.ledger.contents import Contents
from dsvm.ledger.elf import Needs
from dsvm.ledger.properties import Sight
from dsvm.model import Entry

Paths = Mapping[str, Entry | str]


def file(data: bytes | str = b"print('hello')\n", mode: int = 0o644, **more: object) -> Entry:
    data = data.encode() if isinstance(data, str) else data
    sha256 = hashlib.sha256(data).hexdigest()
    return Entry("file", mode, size=len(data), sha256=sha256)._replace(**more)  # type: ignore[arg-type]


def link(target: str) -> Entry:
    return Entry("link", 0o777, target=target)


def sight(
    *, own: Paths | None = None, paths: Paths | None = None, needs: Mapping[str, Needs] | None = None, **more: Any
) -> Sight:
    """What is in an image: `own` has its packages' own paths, and `paths` all others."""
    both = {**(own or {}), **(paths or {})}
    texts = {file(one).sha256: one.encode() for one in both.values() if isinstance(one, str)}
    tree = {path: (file(one) if isinstance(one, str) else one, 0) for path, one in both.items()}
    wanted = {path: [(tree[path][0], "hello 1.0")] for path in own or ()}
    known = frozenset(one.sha256 for entries in wanted.values() for one, _ in entries if one.sha256)
    kept = Contents(texts)
    kept.needs.update(needs or {})
    return Sight(tree, wanted, kept, known, **more)
