"""What fits a base: the platform that uv solves for, tags of wheels, values of environment markers."""

from __future__ import annotations

from collections.abc import Iterator

from packaging import tags
from packaging.markers import Environment

from dsvm.model import Base

ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}
# The tags of wheels for Windows, and what Python's platform.machine() says there
WINDOWS_TAGS = {"amd64": "win_amd64", "arm64": "win_arm64"}
WINDOWS_MACHINES = {"amd64": "AMD64", "arm64": "ARM64"}
# The newest glibc 2 that uv solves for. On a base with a newer one, a wheel for that alone is not found by uv.
UV_GLIBC = 40
# PEP 600: manylinux2014, 2010 and 1 are names for these glibc versions
LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


def _glibc(base: Base) -> int:
    """Minor version of the base's glibc 2."""
    return int(base.glibc.split(".")[1])


def uv_platform(base: Base) -> str:
    """What uv calls the base's platform: https://docs.astral.sh/uv/reference/cli/#uv-pip-compile--python-platform"""
    if base.platform == "windows":
        return f"{ARCHES[base.arch]}-pc-windows-msvc"
    return f"{ARCHES[base.arch]}-manylinux_2_{min(_glibc(base), UV_GLIBC)}"


def wheel_tags(base: Base) -> Iterator[tags.Tag]:
    """Wheel tags that fit a base, the best first."""
    platforms = [WINDOWS_TAGS[base.arch]] if base.platform == "windows" else list(_linux_tags(base))
    major, micro = map(int, base.python.split("."))
    yield from tags.cpython_tags((major, micro), platforms=platforms)
    yield from tags.compatible_tags((major, micro), interpreter=f"cp{major}{micro}", platforms=platforms)


def _linux_tags(base: Base) -> Iterator[str]:
    arch = ARCHES[base.arch]
    for step in range(_glibc(base), 4, -1):
        yield f"manylinux_2_{step}_{arch}"
        if step in LEGACY_MANYLINUX:
            yield f"{LEGACY_MANYLINUX[step]}_{arch}"
    yield f"linux_{arch}"


def markers(base: Base) -> Environment:
    """The values of environment markers on a base.

    https://packaging.python.org/en/latest/specifications/dependency-specifiers/#environment-markers
    """
    windows = base.platform == "windows"
    return Environment(
        implementation_name="cpython",
        implementation_version=f"{base.python}.0",
        os_name="nt" if windows else "posix",
        platform_machine=WINDOWS_MACHINES[base.arch] if windows else ARCHES[base.arch],
        platform_release="",
        platform_system="Windows" if windows else "Linux",
        platform_version="",
        python_full_version=f"{base.python}.0",
        platform_python_implementation="CPython",
        python_version=base.python,
        sys_platform="win32" if windows else "linux",
    )
