"""The content-addressed store: every fetched artefact once, under its SHA-256, visible only when it is right.

blobs/ab/SHA256   the artefacts, read-only        partial/     downloads under way, kept for resuming
quarantine/       files that were not what was    locks/       one run at a time works on one artefact
                  asked for                       keys/        other digests of artefacts
hashed.json       what was hashed, and has not    claims/      which runs work on what
                  changed since
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm.store import care, fetching, trees
from dsvm.store.blobs import Blobs
from dsvm.store.fetching import WRONG_SIZE_HINT, FetchSummary, Progress, Want, megabytes, wrong_size
from dsvm.store.trees import check_names

if TYPE_CHECKING:
    from dsvm.machine import Machine

__all__ = [
    "WRONG_SIZE_HINT",
    "FetchSummary",
    "Progress",
    "Store",
    "Want",
    "check_names",
    "default_root",
    "megabytes",
    "wrong_size",
]


def default_root() -> Path:
    """DSVM_STORE, or the user's cache folder."""
    if chosen := os.environ.get("DSVM_STORE"):
        return Path(chosen).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("dsvm") / "store"


class Store(Blobs):
    """What the modules of this package do, as one thing."""

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(default_root() if root is None else root.absolute())

    def fetch(
        self, wants: Sequence[Want], *, machine: Machine, progress: Progress | None = None, jobs: int = 8
    ) -> FetchSummary:
        """Bring in all that is missing; see `fetching.fetch`."""
        return fetching.fetch(self, wants, machine=machine, progress=progress, jobs=jobs)

    def download(
        self,
        urls: Iterable[str],
        *,
        name: str,
        machine: Machine,
        sha256: str | None = None,
        verify: Callable[[Path], str | None] | None = None,
        key: str | None = None,
    ) -> tuple[str, int]:
        """Bring in one file whose SHA-256 or size is not known yet; see `fetching.fetch_one`."""
        return fetching.fetch_one(self, urls, name=name, machine=machine, sha256=sha256, verify=verify, key=key)

    def tree(self, dest: Path, files: Mapping[str, str]) -> None:
        """Make folder `dest` hold exactly `files`, relative name -> SHA-256; see `trees.lay_out`."""
        trees.lay_out(self, dest, files)

    def verify(self) -> list[str]:
        """Hash every artefact; see `care.verify`."""
        return care.verify(self)

    def sweep(self) -> None:
        """Remove what killed runs left half-made; see `care.sweep`."""
        care.sweep(self)

    def prune(self, keep: set[str]) -> tuple[int, int]:
        """Remove all artefacts but `keep`; see `care.prune`."""
        return care.prune(self, keep)
