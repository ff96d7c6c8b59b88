"""A machine's files -> a disk that UEFI firmware starts: GPT, FAT and ext4, made in a file without a loop device.

Partitions are those of https://uapi-group.org/specifications/specs/discoverable_partitions_specification/: an EFI
system partition, and the root, last, so that it can grow with the disk.
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from dsvm.host import leads_to, run
from dsvm.model import GIB, MIB, BuildError, Lock, Plan

SECTOR = 512
ESP_START = 1 * MIB
ESP_SIZE = 64 * MIB
# The copy of the partition table at the end of the disk takes 33 sectors.
TAIL = 1 * MIB
# Free space that a machine begins with; it costs nothing in a sparse image.
SPARE = 2 * GIB
# An unpacked artefact, over its size as fetched, at most (see needed_bytes of pipeline.py)
UNPACKED = 4
# Programs of the disk's files that start it, from the distribution's packages, and where firmware and shim look.
BOOT_FILES = {
    "EFI/BOOT/BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed",
    "EFI/BOOT/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
}
OWN_BOOT_FILES = {"shimx64.efi": "EFI/BOOT/BOOTX64.EFI", "grubx64.efi": "EFI/BOOT/grubx64.efi"}


@dataclass(frozen=True)
class Geometry:
    """Where things lie on a disk, in bytes; every partition begins and ends on a MiB."""

    size: int
    root_start: int
    root_size: int


def geometry(used: int, *, size: int | None = None) -> Geometry:
    """The disk for files of `used` bytes: whole GiB with room to work in, or `size` bytes.

    Raises BuildError when the files do not fit into `size`.
    """
    start = ESP_START + ESP_SIZE
    # ext4 takes about a twentieth for inodes, its journal and what is kept back for root
    least = start + used * 21 // 20 + 128 * MIB + TAIL
    if size is None:
        size = -(-(least + used // 10 + SPARE) // GIB) * GIB
    size -= size % MIB
    if size < least:
        raise BuildError(
            f"a disk of {size / GIB:.1f} GiB is too small: the files take {used / GIB:.1f} GiB",
            hint=f"Give it {-(-least // GIB)} GiB or more, or leave out what size to take",
        )
    return Geometry(size=size, root_start=start, root_size=(size - start - TAIL) // MIB * MIB)


def estimate(lock: Lock) -> int:
    """Bytes that the files of a machine take at most, by its lock."""
    inside = [section for section in lock.sections if "build" not in section.id.split("-")]
    return UNPACKED * sum({pin.sha256: pin.size for section in inside for pin in section.pins}.values())


def require_room(lock: Lock, folder: Path) -> None:
    """Refuse to begin where the disk that holds `folder` is too small for a machine's files and its images.

    The files lie there once by themselves, and as a disk at most twice at a time.
    """
    needed, free = 3 * estimate(lock), shutil.disk_usage(folder).free
    if free < needed:
        raise BuildError(
            f"the disk is too small for this machine: it takes up to {needed / GIB:.0f} GiB in {folder}, "
            f"where {free / GIB:.1f} GiB are free",
            hint="Make room (invoke clean), or leave tools out of the variant",
        )


def used_bytes(root: Path) -> int:
    """Bytes that the files below `root` take in blocks of 4 KiB, as ext4 has them."""
    shown = run(["du", "--summarize", "--one-file-system", "--block-size=4096", root], timeout=600).stdout
    return int(shown.split()[0]) * 4096


def lay_out(plan: Plan, root: Path, disk: Path, place: Geometry) -> None:
    """Write the raw disk image `disk`, sparse, from the files below `root`."""
    assert plan.machine is not None  # noqa: S101 - for the type checker
    machine = uuid.UUID(plan.machine.root_uuid)
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(place.size)
    _partition(disk, place, machine)
    _write_esp(plan, root, disk)
    _write_root(plan, root, disk, place)


def _partition(disk: Path, place: Geometry, machine: uuid.UUID) -> None:
    def part(name: str) -> str:
        return str(uuid.uuid5(machine, name)).upper()

    table = [
        "label: gpt",
        f"label-id: {part('disk')}",
        f"start={ESP_START // SECTOR}, size={ESP_SIZE // SECTOR}, type=uefi, uuid={part('esp')}, name=ESP",
        f"start={place.root_start // SECTOR}, size={place.root_size // SECTOR}, "
        f"type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid={part('root')}, name=root",
    ]
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk], stdin="\n".join(table) + "\n", timeout=60)


def _write_esp(plan: Plan, root: Path, disk: Path) -> None:
    assert plan.machine is not None  # noqa: S101 - for the type checker
    tree = disk.with_name("esp")
    shutil.rmtree(tree, ignore_errors=True)
    vendor = tree / "EFI" / plan.base.os  # where the distribution's GRUB looks for its configuration
    vendor.mkdir(parents=True)
    for target, source in BOOT_FILES.items():
        # Ubuntu's shim is a link that its alternatives choose
        if not (found := leads_to(root, source)).is_file():
            raise BuildError(f"/{source} is not in the machine's files", hint="Is its package in the base's 'machine'?")
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, tree / target)
    for name, target in OWN_BOOT_FILES.items():
        shutil.copyfile(tree / target, vendor / name)
    (vendor / "grub.cfg").write_text(grub_cfg(plan))
    volume = plan.machine.esp_uuid.replace("-", "")
    run(
        # without -s 1 mtools cannot read it: FAT32 has that many clusters at least
        [
            *("mkfs.vfat", "-F", "32", "-s", "1", "-n", "ESP", "-i", volume),
            *("--offset", str(ESP_START // SECTOR), disk, str(ESP_SIZE // 1024)),
        ],
        timeout=60,
    )
    run(["mcopy", "-s", "-i", f"{disk}@@{ESP_START}", tree / "EFI", "::/"], timeout=60)
    shutil.rmtree(tree)


def grub_cfg(plan: Plan) -> str:
    """What GRUB reads from the EFI system partition: where the root is that has its configuration."""
    assert plan.machine is not None  # noqa: S101 - for the type checker
    return f"search.fs_uuid {plan.machine.root_uuid} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"


def _write_root(plan: Plan, root: Path, disk: Path, place: Geometry) -> None:
    assert plan.machine is not None  # noqa: S101 - for the type checker
    machine = plan.machine.root_uuid
    run(
        [
            *("mke2fs", "-q", "-F", "-t", "ext4", "-L", "dsvm-root", "-U", machine, "-d", root),
            # nothing is left for the running machine to zero
            *("-E", f"offset={place.root_start},hash_seed={machine},lazy_itable_init=0,lazy_journal_init=0"),
            *(disk, f"{place.root_size // 1024}k"),
        ],
        env={"E2FSPROGS_FAKE_TIME": str(plan.epoch)},
        timeout=3600,
    )


def to_qcow2(disk: Path, image: Path, *, compressed: bool = False) -> None:
    """Convert any disk image into a qcow2 without its holes; the compressed form needs QEMU 5.1 or newer to read."""
    options = ["-c", "-o", "compression_type=zstd"] if compressed else []
    run(["qemu-img", "convert", "-O", "qcow2", *options, disk, image], timeout=7200)
