"""The disk of a machine, read while nothing runs on it, against what it should have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dsvm import ledger
from dsvm.host import Engine, run, scratch
from dsvm.ledger import Account, Making
from dsvm.model import Plan
from dsvm.store import Store
from dsvm.vm import disk

MAKING = Making({}, (), frozenset({("ds", "sudo")}))

def account(
    image: Path,
    sha256: str,
    plan: Plan,
    below: str,
    store: Store,
    engine: Engine,
    *,
    echo: Callable[[str], None] = lambda line: None,
) -> Account:
    """Account for every file of the disk `image`, made from the container image `below`."""
    return ledger.account_disk(
        sha256, lambda: _opened(image, plan), plan, MAKING, below, store, engine, echo=echo
    )


@contextmanager
def _opened(image: Path, plan: Plan) -> Iterator[ledger.Opened]:
    with scratch("disk") as folder:
        raw = folder / "disk.raw"
        run(["qemu-img", "convert", "-O", "raw", image, raw], timeout=7200)
        yield ledger.Opened(ledger.FileSystem(raw, disk.ESP_START + disk.ESP_SIZE), lambda tree: [])
