"""Files of holds, each beside the lock that it is for: locks/VARIANT.holds.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml

from dsvm.catalog import Catalog, load_model
from dsvm.host import write_whole
from dsvm.lock.files import lock_path
from dsvm.model import Holds, InputError

ABOUT = """\
# Packages that are kept back, each with the check that a newer one broke: docs/nightly.md.
# `invoke nightly` tries each of them again and drops what passes; `invoke lock` heeds them until they expire.
"""


def holds_path(catalog: Catalog, variant: str) -> Path:
    """Where the holds of `variant` are written: beside where its lock is."""
    return lock_path(catalog, variant).with_name(f"{variant}.holds.yaml")


def find_holds(catalog: Catalog, variant: str) -> Holds:
    """The holds of `variant`, those of the last folder that has some. Raises InputError for a file of another form."""
    path = find_holds_path(catalog, variant)
    if path is None:
        return Holds()
    faults: list[str] = []
    found = load_model(path, Holds, faults)
    if found is None:
        raise InputError(faults, hint="Mend it, or remove the file: then nothing is held")
    return found


def find_holds_path(catalog: Catalog, variant: str) -> Path | None:
    """Where the holds of `variant` are, or None: a later folder's go before an earlier one's."""
    paths = (folder / "locks" / f"{variant}.holds.yaml" for folder in reversed(catalog.folders))
    return next((path for path in paths if path.exists() or path.is_symlink()), None)


def write_holds(path: Path, holds: Holds) -> None:
    """Write the file whole, or remove it where nothing is held any more."""
    if not holds.holds:
        path.unlink(missing_ok=True)
        return
    data = holds.model_dump(mode="json", exclude_none=True)
    write_whole(path, ABOUT + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120))
