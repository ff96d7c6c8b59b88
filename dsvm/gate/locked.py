"""What a lock holds, as far as rules look at it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from dsvm import ecosystems
from dsvm.gate.cuda import Cuda, marks
from dsvm.lock import WORTH
from dsvm.model import Lock, Pin, Section

# distribution packages that are CUDA or the driver
_SYSTEM_CUDA = re.compile(r"^(?:cuda-(?:toolkit|libraries|drivers)|libcudart|libcublas|libcudnn|libnccl|nvidia-)")

# NVIDIA's wheels of CUDA's libraries and compiler
_LIBRARY = re.compile(r"^nvidia-")


def env_sections(lock: Lock) -> Iterator[Section]:
    return (
        section
        for section in lock.sections
        if section.id.startswith("env-") and ecosystems.get(section.ecosystem).placement == "env"
    )


def _outside_system(lock: Lock) -> Iterator[Section]:
    """Environments and prefixes of tools: what is in the image and not of its distribution."""
    for section in lock.sections:
        prefix = bool(section.tools) and section.id == f"{section.tools[0]}-{section.ecosystem}"
        if prefix or section.id.startswith("env-"):
            yield section


def place_of(section: Section) -> str:
    env = section.id.startswith("env-") and section.extra.get("env")
    return f"env-{env}" if env else section.id


def exactly(pin: Pin) -> SpecifierSet:
    """The one version of a pin, without its local label; a version of another form allows all."""
    try:
        return SpecifierSet(f"=={Version(pin.version).public}")
    except InvalidVersion:
        return SpecifierSet()


def all_marks(lock: Lock) -> dict[str, dict[str, Cuda]]:
    found: dict[str, dict[str, Cuda]] = {}
    for section in _outside_system(lock):
        if told := marks(section.pins):
            found.setdefault(place_of(section), {}).update(told)
    return found


def libraries(lock: Lock) -> dict[str, dict[str, tuple[int, list[str]]]]:
    """NVIDIA's packages that environments have in several versions -> version -> bytes, and who has it.

    Those that are too small for environments to share are left out.
    """
    found: dict[str, dict[str, tuple[int, list[str]]]] = {}
    for section in env_sections(lock):
        for pin in section.pins:
            if pin.size >= WORTH and _LIBRARY.match(pin.name):
                found.setdefault(pin.name, {}).setdefault(pin.version, (pin.size, []))[1].append(place_of(section))
    return {name: versions for name, versions in found.items() if len(versions) > 1}


def system_cuda(lock: Lock) -> tuple[str, ...]:
    section = lock.section("system")
    return tuple(pin.name for pin in section.pins if _SYSTEM_CUDA.match(pin.name)) if section is not None else ()
