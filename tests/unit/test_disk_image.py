"""Disk images: their names come last, conversions hold what the original does, and a VHD keeps Azure's rule."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dsvm.model import InputError, ProgramError, VerifyError, canonical_json
from dsvm.vm import disk_image

qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
MIB = 1 << 20


@pytest.fixture
def place(tmp_path: Path) -> disk_image.Place:
    """A variant whose unverified machine is a disk of 5 MiB with something on it."""
    found = disk_image.Place(tmp_path, "tiny")
    found.work.mkdir()
    raw = tmp_path / "raw"
    raw.write_bytes(b"\0" * MIB + b"something" * 1000 + b"\0" * (4 * MIB - 9000))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, found.unverified], check=True)
    described = disk_image.MachineImage(
        variant="tiny",
        format="qcow2",
        plan="p",
        lock="l",
        sha256="0" * 64,
        bytes=found.unverified.stat().st_size,
        disk=5 * MIB,
        accelerator="tcg",
        seconds={},
    )
    found.described(found.unverified).write_text(canonical_json(described))
    return found


@qemu_img
def test_an_image_is_known_with_its_description_and_in_its_size_only(place: disk_image.Place) -> None:
    assert place.known(place.unverified) is not None
    assert place.known(place.image("qcow2")) is None
    named = disk_image.name(place)
    assert place.known(named) is not None
    assert not place.unverified.exists()
    with named.open("ab") as file:
        file.write(b"x")
    assert place.known(named) is None


@qemu_img
@pytest.mark.parametrize("format", ["vhd", "vmdk"])
def test_a_conversion_holds_what_the_original_does(place: disk_image.Place, format: str) -> None:
    with pytest.raises(InputError, match="no verified image"):
        disk_image.convert(place, format)  # type: ignore[arg-type]
    disk_image.name(place)
    made = disk_image.convert(place, format)  # type: ignore[arg-type]
    back = made.with_suffix(".raw")
    subprocess.run(["qemu-img", "convert", "-O", "raw", made, back], check=True)
    assert back.read_bytes()[MIB : MIB + 9000] == b"something" * 1000
    before = made.stat().st_mtime_ns
    disk_image.convert(place, format)  # type: ignore[arg-type]
    assert made.stat().st_mtime_ns == before, "made again though it was there"
    if format == "vhd":
        assert made.stat().st_size == 5 * MIB + 512


@qemu_img
def test_a_vhd_that_azure_would_refuse(place: disk_image.Place, tmp_path: Path) -> None:
    source, target = disk_image.name(place), tmp_path / "bad.vhd"
    # what qemu-img does by itself: as many cylinders as old BIOSes count
    argv: list[str | Path] = ["qemu-img", "convert", "-O", "vpc", "-o", "subformat=fixed", source, target]
    subprocess.run(argv, check=True)
    with pytest.raises((VerifyError, ProgramError)):
        disk_image.check_conversion(source, target, "vhd")
    dynamic = tmp_path / "dynamic.vhd"
    argv = ["qemu-img", "convert", "-O", "vpc", "-o", "subformat=dynamic,force_size", source, dynamic]
    subprocess.run(argv, check=True)
    with pytest.raises(VerifyError, match="dynamic VHD"):
        disk_image.check_conversion(source, dynamic, "vhd")


@qemu_img
def test_a_new_image_takes_the_place_of_conversions_of_the_old_one(place: disk_image.Place, tmp_path: Path) -> None:
    shutil.copytree(place.work, tmp_path / "kept")
    disk_image.name(place)
    old = disk_image.convert(place, "vmdk")
    shutil.copytree(tmp_path / "kept", place.work, dirs_exist_ok=True)
    disk_image.name(place)
    assert not old.exists()
    assert place.image("qcow2").is_file()
