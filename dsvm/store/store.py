"""The content-addressed store: every fetched artefact once, under its SHA-256, visible only when it is right.

blobs/ab/SHA256   the artefacts, read-only        partial/     downloads under way, kept for resuming
quarantine/       files that were not what was    locks/       one run at a time works on one artefact
                  asked for                       keys/        other digests of artefacts
hashed.json       what was hashed, and has not    claims/      which runs work on what
                  changed since                   advisories/  what a service said of vulnerabilities
compared.json     what was compared with locks    readings/    what artefacts say of themselves
ledger/           what layers and artefacts hold
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm.store import fetching, maintenance, trees
from dsvm.store.blobs import Blobs
from dsvm.store.fetching import FetchSummary, FetchView, Want
from dsvm.store.readings import Readings

if TYPE_CHECKING:
    from dsvm.host import Host


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
        self._readings: dict[str, Readings] = {}

    def fetch(
        self, wants: Sequence[Want], *, host: Host, progress: FetchView | None = None, jobs: int = 8
    ) -> FetchSummary:
        """Bring in all that is missing; see `fetching.fetch`."""
        return fetching.fetch(self, wants, host=host, progress=progress, jobs=jobs)

    def download(
        self,
        urls: Iterable[str],
        *,
        name: str,
        host: Host,
        sha256: str | None = None,
        verify: Callable[[Path], str | None] | None = None,
        key: str | None = None,
        dead: dict[str, str] | None = None,
    ) -> tuple[str, int]:
        """Bring in one file whose SHA-256 or size is not known yet; see `fetching.fetch_one`."""
        return fetching.fetch_one(self, urls, name=name, host=host, sha256=sha256, verify=verify, key=key, dead=dead)

    def tree(self, dest: Path, files: Mapping[str, str]) -> None:
        """Make folder `dest` hold exactly `files`, relative name -> SHA-256; see `trees.lay_out`."""
        trees.lay_out(self, dest, files)

    def readings(self, name: str, reader: int) -> Readings:
        """What version `reader` of something has read out of artefacts; the same object for each who asks."""
        return self._readings.setdefault(name, Readings(self.root / "readings" / f"{name}.json", reader))

    def save_readings(self) -> None:
        """Keep all that was read for the next run."""
        for one in self._readings.values():
            one.save()

    def verify(self) -> list[str]:
        """Hash every artefact; see `maintenance.verify`."""
        return maintenance.verify(self)

    def sweep(self) -> None:
        """Remove what killed runs left half-made; see `maintenance.sweep`."""
        maintenance.sweep(self)

    def prune(self, keep: set[str]) -> tuple[int, int]:
        """Remove all artefacts but `keep`; see `maintenance.prune`."""
        return maintenance.prune(self, keep)
