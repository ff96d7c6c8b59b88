"""The disk of a machine, read while nothing runs on it, against what it should have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dsvm import ledger
from dsvm.host import Engine, run, scratch, stream_bytes
from dsvm.ledger import Account, Difference
from dsvm.model import MIB, Plan, Tree
from dsvm.store import Store
from dsvm.vm import added, disk, initramfs
from dsvm.vm.disk_image import VERIFIED

ROOT_START = disk.ESP_START + disk.ESP_SIZE
BOOT_CODE = 440  # bytes before a disk's table of partitions, which firmware that knows no UEFI runs
TABLE = 34 * disk.SECTOR  # where the table ends; a copy of it stands at the end of the disk
ESP = "/boot/efi"  # where the machine has its EFI system partition


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
    """Account for every file of the disk image with the digest `sha256`, made from the container image `below`.

    Raises ProgramError, EngineError, StoreError, and VerifyError for a disk that cannot be read.
    """
    return ledger.account_disk(
        sha256, lambda: _opened(image, plan), plan, added.MAKING, below, store, engine, echo=echo
    )


@contextmanager
def _opened(image: Path, plan: Plan) -> Iterator[ledger.Opened]:
    with scratch("disk", image.parent) as folder:  # where a machine of this size has room
        raw = folder / "disk.raw"
        run(["qemu-img", "convert", "-f", VERIFIED, "-O", "raw", image, raw], timeout=7200)

        root = ledger.FileSystem(raw, ROOT_START)

        def beside(tree: Tree) -> Iterator[Difference]:
            yield from _outside(raw)
            yield from _esp(raw, plan, tree)
            yield from _initramfs(root, tree)

        yield ledger.Opened(root, beside)


def _outside(raw: Path) -> Iterator[Difference]:
    """Partitions that nobody made, and what stands before the first one."""
    said = json.loads(run(["sfdisk", "--json", raw], timeout=60).stdout)["partitiontable"]["partitions"]
    starts = [one["start"] * disk.SECTOR for one in said]
    if starts != [disk.ESP_START, ROOT_START]:
        where = ", ".join(f"{start / MIB:g}" for start in starts)
        yield Difference(
            "unexplained", "/", f"the disk's partitions begin at {where} MiB, and not where they were made"
        )
    with raw.open("rb") as file:
        begins = file.read(disk.ESP_START)
    if any(begins[:BOOT_CODE]) or any(begins[TABLE:]):
        yield Difference("unexplained", "/", "something stands on the disk before its first partition")


def _esp(raw: Path, plan: Plan, tree: Tree) -> Iterator[Difference]:
    """What the EFI system partition has against the files of the root that it was made from."""
    wanted = _wanted(plan, tree)
    volume = f"{raw}@@{disk.ESP_START}"
    listed = run(["mdir", "-/", "-b", "-a", "-i", volume, "::/"], timeout=60).stdout.splitlines()
    found = sorted(one.removeprefix("::/") for one in listed if not one.endswith("/"))
    for path in found:
        if path not in wanted or found.count(path) > 1:
            yield Difference("unexplained", f"{ESP}/{path}", "nothing explains this file")
            continue
        with stream_bytes(["mtype", "-i", volume, f"::/{path}"]) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != wanted[path]:  # type: ignore[arg-type]
                yield Difference("changed", f"{ESP}/{path}", "it is not what was put there when the disk was made")
    for path in sorted(wanted.keys() - {*found}):
        yield Difference("missing", f"{ESP}/{path}", "it was put there when the disk was made, and is not there")


def _initramfs(root: ledger.FileSystem, tree: Tree) -> Iterator[Difference]:
    """What machines start from in memory: files of the disk, and nothing else."""
    for path, data in root.files([path for path in tree if added.INITRAMFS.fullmatch(path)]):
        try:
            for inner, why in initramfs.strange(data, tree):
                yield Difference("changed", path, f"{inner} in it {why}")
        except ValueError as error:
            yield Difference("changed", path, str(error))


def _wanted(plan: Plan, tree: Tree) -> dict[str, str]:
    """Path -> SHA-256 of each file of the EFI system partition."""
    real = ledger.Resolver(tree)
    vendor = f"EFI/{plan.base.os}"
    found = {}
    for target, source in disk.BOOT_FILES.items():
        end = real.end(f"/{source}")
        found[target] = tree[end][0].sha256 if end in tree else ""
    found |= {f"{vendor}/{name}": found[target] for name, target in disk.OWN_BOOT_FILES.items()}
    return {**found, f"{vendor}/grub.cfg": hashlib.sha256(disk.grub_cfg(plan).encode()).hexdigest()}
