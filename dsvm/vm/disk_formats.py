"""Disks as the clouds want them: what is wrong with a file, in words, or None."""

from __future__ import annotations

import gzip
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from dsvm.model import GIB, MIB, Format

VHD_FOOTER = 512  # bytes after a fixed VHD's data
VHD_FIXED = 2  # the kind of disk that the footer names; 3 is dynamic


def vhd_fault(path: Path) -> str | None:
    """Azure takes a fixed VHD of whole mebibytes and nothing else. Raises OSError.

    https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic; the footer's form:
    https://github.com/libyal/libvhdi/blob/main/documentation
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - VHD_FOOTER))
        footer = stream.read(VHD_FOOTER)
    if len(footer) < VHD_FOOTER or footer[:8] != b"conectix":
        return "it is no VHD"
    (virtual, kind) = struct.unpack(">48xQ4xI", footer[:64])
    if kind != VHD_FIXED:
        return "it is a dynamic VHD, and Azure takes fixed ones"
    if virtual % MIB or virtual + VHD_FOOTER != size:
        return f"its disk of {virtual} bytes is no whole number of MiB, or is cut off"
    return None


def vmdk_fault(path: Path) -> str | None:
    """AWS imports a stream-optimised VMDK, or a fixed VHD. Raises OSError.

    https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-image-import.html
    """
    if path.suffix == ".vhd":
        return vhd_fault(path)
    with path.open("rb") as stream:
        header = stream.read(512)
        descriptor = stream.read(20 * 512)
    if header[:4] != b"KDMV":
        return "it is no VMDK"
    if b'createType="streamOptimized"' not in descriptor:
        return "it is a VMDK of another kind than streamOptimized"
    return None


def tar_fault(path: Path) -> str | None:
    """Google Cloud takes a gzipped tar of one disk.raw of whole gibibytes. Raises OSError.

    https://cloud.google.com/compute/docs/import/import-existing-image
    """
    with path.open("rb") as file:
        try:
            with gzip.open(file) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                first = tar.next()
        except (OSError, EOFError, tarfile.TarError) as error:
            return f"it is no gzipped tar: {error}"
    if first is None or first.name != "disk.raw":
        return "its first file is not disk.raw"
    if first.size == 0 or first.size % GIB:
        return f"its disk of {first.size} bytes is no whole number of GiB"
    return None


FAULTS: Mapping[Format, Callable[[Path], str | None]] = {"azure": vhd_fault, "ami": vmdk_fault, "gcp": tar_fault}
