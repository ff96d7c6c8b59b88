"""The disk images of a variant's machine: where they lie, what stands beside them, their names, other formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dsvm.host import run, sha256_of, write_whole
from dsvm.model import Format, InputError, Model, VerifyError, canonical_json
from dsvm.vm.disk_formats import vhd_fault

# What a machine is verified as; the others are conversions of it.
VERIFIED: Format = "qcow2"
# qemu-img's name and options. Without force_size a fixed VHD has a size that no MiB divides, which Azure refuses:
# https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic
CONVERSIONS: Mapping[Format, tuple[str, ...]] = {
    "vhd": ("-O", "vpc", "-o", "subformat=fixed,force_size"),
    "vmdk": ("-O", "vmdk", "-o", "subformat=streamOptimized"),
}


class MachineImage(Model):
    """What stands beside a disk image: what it is, and how it was made."""

    variant: str
    format: Format
    plan: str
    lock: str
    sha256: str
    bytes: int
    disk: int
    accelerator: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class Place:
    """Where everything of a variant's machine lies."""

    folder: Path
    variant: str

    @property
    def work(self) -> Path:
        return self.folder / "machine"

    @property
    def unverified(self) -> Path:
        return self.work / "unverified.qcow2"

    @property
    def running(self) -> Path:
        """What a machine that its user has started keeps."""
        return self.folder / "running"

    def image(self, format: Format) -> Path:
        return self.folder / f"{self.variant}.{format}"

    def described(self, image: Path) -> Path:
        return image.with_name(f"{image.name}.json")

    def known(self, image: Path) -> MachineImage | None:
        """What stands beside `image`; None when one of them is missing or something else."""
        try:
            found = MachineImage.model_validate_json(self.described(image).read_bytes())
        except (OSError, ValueError):
            return None
        return found if image.is_file() and image.stat().st_size == found.bytes else None


def name(place: Place) -> Path:
    """Give the verified image its name; its description goes first, and counts only beside the image."""
    image = place.image(VERIFIED)
    image.unlink(missing_ok=True)
    place.described(place.unverified).replace(place.described(image))
    place.unverified.replace(image)
    for format in CONVERSIONS:  # of an earlier image
        place.image(format).unlink(missing_ok=True)
        place.described(place.image(format)).unlink(missing_ok=True)
    return image


def convert(place: Place, format: Format) -> Path:
    """The verified image in another format, made when it is not there. Raises VerifyError when it came out wrong."""
    source, target = place.image(VERIFIED), place.image(format)
    known = place.known(source)
    if known is None:
        raise InputError(f"there is no verified image {source}", hint=f"Run: invoke build --format {VERIFIED}")
    before = place.known(target)
    if before is not None and before.plan == known.plan:
        return target
    part = target.with_name(f".{target.name}.part")
    try:
        run(["qemu-img", "convert", *CONVERSIONS[format], source, part], timeout=7200)
        check_conversion(source, part, format)
        described = known.model_copy(update={"format": format, "sha256": sha256_of(part), "bytes": part.stat().st_size})
        write_whole(place.described(target), canonical_json(described))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def check_conversion(source: Path, target: Path, format: Format) -> None:
    """Compare a conversion with what it was made from, and hold a VHD to Azure's rule. Raises VerifyError."""
    kind = CONVERSIONS[format][1]
    run(["qemu-img", "compare", "-q", "-f", VERIFIED, "-F", kind, source, target], timeout=7200)
    if format == "vhd" and (fault := vhd_fault(target)):
        raise VerifyError(f"{target}: {fault}")
