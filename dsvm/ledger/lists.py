"""Lists of paths that are kept: what is in a layer, what an artefact brings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from dsvm.host import write_whole
from dsvm.model import Entry

FORM = 4  # of kept lists; another one is not read


def keep(path: Path, entries: Iterable[tuple[str, Entry]]) -> None:
    """Write a list, to be read by `kept`."""
    from backports import zstd

    lines = [json.dumps(FORM), *(json.dumps([name, *entry], ensure_ascii=False) for name, entry in entries)]
    write_whole(path, zstd.compress("\n".join(lines).encode("utf-8", "surrogateescape"), level=3))


def kept(path: Path) -> list[tuple[str, Entry]] | None:
    """A list that `keep` wrote; None when there is none, or one of another form."""
    from backports import zstd

    try:
        lines = zstd.decompress(path.read_bytes()).decode("utf-8", "surrogateescape").split("\n")
        if json.loads(lines[0]) != FORM:
            return None
        found = []
        for line in lines[1:]:
            name, *values, xattrs, head, code = json.loads(line)
            found.append((name, Entry._make([*values, tuple(xattrs), head, code])))
        return found
    except (OSError, zstd.ZstdError, ValueError, TypeError):
        return None
