"""A disk is laid out in a file: what firmware, GRUB and the kernel look for is where they look for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from dsvm import ROOT
from dsvm.model import GIB, MIB, BuildError, Plan
from dsvm.plan import make_plan
from dsvm.vm import disk

MACHINE = ROOT / "scripts" / "machine"
NEEDED = ("sfdisk", "mkfs.vfat", "mdir", "mke2fs", "debugfs", "qemu-img")
real_programs = pytest.mark.skipif(
    any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"
)


def machine_plan() -> Plan:
    catalog = tiny.machine_catalog()
    return make_plan(catalog, tiny.lock(catalog, "tiny-machine"), "qcow2")


@given(used=st.integers(0, 1 << 42), size=st.none() | st.integers(0, 1 << 43))
def test_partitions_lie_on_whole_mebibytes_and_hold_the_files(used: int, size: int | None) -> None:
    try:
        place = disk.geometry(used, size=size)
    except BuildError as error:
        assert size is not None and "is too small" in str(error)
        return
    assert place.root_start % MIB == place.root_size % MIB == place.size % MIB == 0
    assert place.root_start >= disk.ESP_START + disk.ESP_SIZE
    assert place.root_start + place.root_size <= place.size - 34 * disk.SECTOR
    assert place.root_size > used
    assert size is None or place.size <= size
    if size is None:
        assert place.size % GIB == 0
        assert place.root_size - used >= disk.SPARE


def test_a_host_that_is_too_small_is_said_before_anything_is_made(tmp_path: Path) -> None:
    lock = tiny.lock(tiny.machine_catalog(), "tiny-machine")
    disk.require_room(lock, tmp_path)
    huge = [
        section.model_copy(update={"pins": tuple(pin.model_copy(update={"size": 1 << 50}) for pin in section.pins)})
        for section in lock.sections
    ]
    with pytest.raises(BuildError, match=r"the disk is too small for this machine: it takes up to \d+ GiB in"):
        disk.require_room(lock.model_copy(update={"sections": tuple(huge)}), tmp_path)


def test_the_first_kernel_and_later_ones_get_the_same_options() -> None:
    """The first menu is ours; update-grub writes the next one from its settings."""
    menu = (MACHINE / "disk/boot/grub/grub.cfg").read_text()
    line = next(one for one in menu.splitlines() if one.strip().startswith("linux "))
    _, _, options = line.partition(" ro ")
    assert f'GRUB_CMDLINE_LINUX="{options}"\n' in (MACHINE / "root/etc/default/grub.d/dsvm.cfg").read_text()
    assert options


def test_what_only_building_needs_takes_no_room_in_a_machine() -> None:
    lock = tiny.lock()
    without = [section for section in lock.sections if section.id != "editor-build-apt"]
    assert disk.estimate(lock) == disk.estimate(lock.model_copy(update={"sections": tuple(without)}))
    assert disk.estimate(lock) > 0


@real_programs
def test_a_disk_as_programs_read_it(tmp_path: Path) -> None:
    root, raw = tmp_path / "root", tmp_path / "disk.raw"
    for number, source in enumerate(disk.BOOT_FILES.values()):
        (root / source).parent.mkdir(parents=True, exist_ok=True)
        (root / source).with_suffix(".latest").write_bytes(bytes([number]) * 100_000)
        # a link that means the machine's own root, as alternatives are
        (root / source).symlink_to(f"/{Path(source).with_suffix('.latest')}")
    (root / "etc").mkdir()
    (root / "etc" / "shadow").write_text("secret\n")
    (root / "etc" / "shadow").chmod(0o640)
    (root / "vmlinuz").symlink_to("boot/vmlinuz-1")
    plan = machine_plan()
    assert plan.machine is not None
    place = disk.geometry(disk.used_bytes(root))
    disk.lay_out(plan, root, raw, place)
    assert raw.stat().st_size == place.size
    assert raw.stat().st_blocks * 512 < place.size // 10, "the disk is not sparse"

    table = json.loads(subprocess.run(["sfdisk", "--json", raw], capture_output=True, check=True).stdout)
    esp, main = table["partitiontable"]["partitions"]
    assert table["partitiontable"]["label"] == "gpt"
    assert (esp["start"] * 512, esp["size"] * 512) == (disk.ESP_START, disk.ESP_SIZE)
    assert esp["type"] == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    assert (main["start"] * 512, main["size"] * 512) == (place.root_start, place.root_size)

    def fat(*words: str) -> str:
        argv = [words[0], "-i", f"{raw}@@{disk.ESP_START}", *words[1:]]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert "BOOTX64  EFI" in fat("mdir", "::/EFI/BOOT")
    assert plan.machine.esp_uuid in fat("mdir", "::/")
    configuration = fat("mtype", "::/EFI/debian/grub.cfg")
    assert f"search.fs_uuid {plan.machine.root_uuid} root" in configuration
    # the files that the plan brings name the same file system
    assert f"UUID={plan.machine.root_uuid} / ext4" in (plan.files["/etc/fstab"].text or "")
    assert f"root=UUID={plan.machine.root_uuid} " in (plan.files["/boot/grub/grub.cfg"].text or "")
    assert f"UUID={plan.machine.esp_uuid} /boot/efi" in (plan.files["/etc/fstab"].text or "")

    def ext4(request: str) -> str:
        argv = ["debugfs", "-R", request, f"{raw}?offset={place.root_start}"]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert plan.machine.root_uuid in ext4("stats")
    assert ext4("cat /etc/shadow") == "secret\n"
    assert "Mode:  0640" in ext4("stat /etc/shadow")
    assert 'Fast link dest: "boot/vmlinuz-1"' in ext4("stat /vmlinuz")

    again = tmp_path / "again.raw"
    disk.lay_out(plan, root, again, place)
    partitions = [path.open("rb") for path in (raw, again)]
    for file in partitions:
        file.seek(0)
    assert partitions[0].read(disk.ESP_START) == partitions[1].read(disk.ESP_START)
    for file in partitions:
        file.close()


@real_programs
def test_a_machine_without_a_boot_loader_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(BuildError, match=r"shimx64\.efi\.signed is not in the machine's files"):
        disk.lay_out(machine_plan(), tmp_path / "root", tmp_path / "disk.raw", disk.geometry(0))
