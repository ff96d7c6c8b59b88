"""What a lock holds, as far as rules look at it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from dsvm import ecosystems
from dsvm.gate.cuda import Cuda, marks
from dsvm.model import Lock, Pin, Section

# distribution packages that are CUDA or the driver
_SYSTEM_CUDA = re.compile(r"^(?:cuda-(?:toolkit|libraries|drivers)|libcudart|libcublas|libcudnn|libnccl|nvidia-)")


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


def system_cuda(lock: Lock) -> tuple[str, ...]:
    section = lock.section("system")
    return tuple(pin.name for pin in section.pins if _SYSTEM_CUDA.match(pin.name)) if section is not None else ()
