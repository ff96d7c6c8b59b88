"""What a version, a name or a label tells of CUDA."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.utils import canonicalize_name

from dsvm.model import Pin

# A CUDA version as far as it is known: (13, 0), or (12,) where only the major version is
Cuda = tuple[int, ...]
# nvidia-nccl-cu12, jax-cuda13-plugin, cupy-cuda12x: the major version stands in the name
MAJOR_IN_NAME = re.compile(r"-cu(?:da)?(\d{2})x?(?:-plugin|-pjrt)?$")
# these are numbered as CUDA itself is, whatever their name ends in
NUMBERED_AS_CUDA = re.compile(r"^(?:nvidia-cuda-(?:runtime|nvrtc|nvcc|cupti)(?:-cu\d+)?|cuda-(?:toolkit|version))$")
LOCAL = re.compile(r"^cu(\d{2})(\d)$")
# NVIDIA's system packages with CUDA's version in their name: cuda-toolkit-13-0, libcublas-12-9, libcudnn9-cuda-13
_SYSTEM_VERSION = re.compile(
    r"^(?:(?!cuda-compat)cuda|lib(?:cu|npp|nv)[a-z]*)(?:-[a-z]+)*-(\d{2})-(\d{1,2})$|^lib[a-z]+\d*(?:-[a-z]+)*-cuda-(\d{2})$"
)
# Debian's own, which is numbered as CUDA is
_DEBIAN_TOOLKIT = "nvidia-cuda-toolkit"


def system_versions(names: Iterable[str]) -> dict[str, Cuda]:
    """System package -> the CUDA version in its name."""
    found: dict[str, Cuda] = {}
    for name in names:
        if match := _SYSTEM_VERSION.match(name):
            found[name] = (int(match[1]), int(match[2])) if match[1] else (int(match[3]),)
    return found


def system_marks(pins: Iterable[Pin]) -> dict[str, Cuda]:
    """System package of a lock -> the CUDA version that its name or number tells."""
    named = {pin.name: pin.version for pin in pins}
    found = system_versions(named)
    if match := re.match(r"(?:\d+:)?(\d+)\.(\d+)", named.get(_DEBIAN_TOOLKIT, "")):
        found[_DEBIAN_TOOLKIT] = (int(match[1]), int(match[2]))
    return found


def cuda_version(text: str) -> Cuda:
    return tuple(map(int, text.split(".")))


def agree(one: Cuda, other: Cuda) -> bool:
    """Whether two versions agree as far as both are known."""
    parts = min(len(one), len(other))
    return one[:parts] == other[:parts]


def marks(pins: Iterable[Pin]) -> dict[str, Cuda]:
    """Package -> the CUDA version that its name, number or local label tells."""
    found: dict[str, Cuda] = {}
    for pin in pins:
        name = canonicalize_name(pin.name)
        exact = LOCAL.match(pin.version.partition("+")[2])
        if exact is None and NUMBERED_AS_CUDA.match(name):
            exact = re.match(r"(\d+)\.(\d+)", pin.version)
        if exact is not None:
            found[name] = (int(exact[1]), int(exact[2]))
        elif match := MAJOR_IN_NAME.search(name):
            found[name] = (int(match[1]),)
    return found


def say_cuda(cuda: Iterable[Cuda]) -> str:
    return " or ".join(f"CUDA {'.'.join(map(str, one))}" for one in sorted(cuda))
