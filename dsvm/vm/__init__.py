"""Virtual machines that are made here: from a verified container image, verified by booting, only then named."""

from dsvm.vm.disk_image import VERIFIED, MachineImage, Place, convert
from dsvm.vm.road import build, start, stop, verify

__all__ = ["VERIFIED", "MachineImage", "Place", "build", "convert", "start", "stop", "verify"]
