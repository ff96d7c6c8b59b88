"""Lock files: where they are, reading and writing them, and the form of their text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dsvm.catalog import Catalog
from dsvm.host import read_bounded, write_whole
from dsvm.model import Lock, LockError

FORMAT = Lock.model_fields["version"].default
HINT = "Restore it from version control, or remove it and run: invoke lock"


def lock_path(catalog: Catalog, variant: str) -> Path:
    """Where the lock of `variant` is written: in the latest catalog folder."""
    return catalog.folders[-1] / "locks" / f"{variant}.json"


def find(catalog: Catalog, variant: str) -> Lock | None:
    """The lock of `variant`, or None; LockError when its file is broken."""
    path = find_path(catalog, variant)
    return read(path) if path is not None else None


def find_path(catalog: Catalog, variant: str) -> Path | None:
    """Where the lock of `variant` is, or None: a later folder's goes before an earlier one's."""
    catalog.variant(variant)
    paths = (folder / "locks" / f"{variant}.json" for folder in reversed(catalog.folders))
    return next((path for path in paths if path.exists() or path.is_symlink()), None)


def read(path: Path) -> Lock:
    """The lock in a file; LockError for whatever is none."""
    try:
        return parse(read_bounded(path), str(path))
    except OSError as error:
        raise LockError(f"{path}: cannot be read: {error.strerror or error}", hint=HINT) from error


def parse(data: str | bytes, whose: str) -> Lock:
    """The lock in a text, which messages call `whose`; LockError for whatever is none."""
    try:
        return Lock.model_validate_json(data)
    except ValidationError as error:
        first, *_ = errors = error.errors(include_url=False, include_input=False)
        if any(one["loc"] == ("version",) and one["type"] == "literal_error" for one in errors):
            raise LockError(
                f"{whose}: not a lock of format {FORMAT}, the one that this DSVM reads",
                hint="Take the DSVM that wrote it, or a later one; or remove it and run: invoke lock",
            ) from error
        where = "".join(f"{'.'.join(map(str, loc))}: " for loc in [first["loc"]] if loc)
        raise LockError(f"{whose}: not a lock: {where}{first['msg']}", hint=HINT) from error
    except (ValueError, RecursionError) as error:
        raise LockError(f"{whose}: not a lock: {str(error)[:200] or 'too deep'}", hint=HINT) from error


def write(path: Path, lock: Lock) -> None:
    """Write a lock in one go: a reader sees the old or the new one."""
    write_whole(path, to_text(lock))


def to_text(lock: Lock) -> str:
    """JSON with one pin on a line, so that a change of one pin is a change of one line."""
    data = lock.model_dump(mode="json", exclude_none=True)
    sections = []
    for section in data.pop("sections"):
        pins = section.pop("pins")
        lines = [json.dumps(pin, sort_keys=True, ensure_ascii=False) for pin in pins]
        sections.append(_with_last(_indented(section), "pins", lines))
    return _with_last(_indented(data), "sections", sections) + "\n"


def _indented(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _with_last(text: str, key: str, items: Sequence[str]) -> str:
    """A JSON object as text with one more entry at its end: a list of JSON texts."""
    listed = ",\n".join(items)
    return text.removesuffix("\n}") + f',\n "{key}": [\n{listed}\n ]\n}}'
