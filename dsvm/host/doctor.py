"""What this host has and lacks for building images."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.version import Version

from dsvm.host.engine import MIN_BUILDX, find_engine
from dsvm.host.programs import INSTALL_HINTS
from dsvm.model import EngineError


@dataclass(frozen=True)
class Diagnosis:
    """One line of `invoke doctor`."""

    # optional: nothing that was asked about needs it
    level: Literal["ok", "optional", "slow", "missing"]
    subject: str
    what: str
    remedy: str = ""


def diagnose(
    needed: int | None = None,
    keyrings: Mapping[str, str] | None = None,
    programs: Mapping[str, str] | None = None,
    *,
    optional: bool = False,
    others: Mapping[str, int] | None = None,
) -> list[Diagnosis]:
    """What this host has and lacks for building; what is to be built needs `needed` bytes of disk space.

    Where there are fewer, those of `others`, name -> bytes, are named for which there is room.

    `keyrings` is the path of a keyring -> the bases whose packages it makes trusted, `programs` a program -> what it
    is for. Those that are not here are `missing`, or `optional` when nobody asked about a variant that needs them.
    """
    return [
        Diagnosis("ok", "Python", platform.python_version()),
        *_about_engine(needed, others or {}),
        *(_about_program(program, purpose, optional=optional) for program, purpose in (programs or {}).items()),
        *(_about_keyring(Path(path), bases, optional=optional) for path, bases in (keyrings or {}).items()),
    ]


def _about_engine(needed: int | None, others: Mapping[str, int]) -> Iterator[Diagnosis]:
    if shutil.which("docker") is None:
        yield Diagnosis("missing", "docker client", "not installed, or not on PATH", "scripts/engine install")
        return
    try:
        engine = find_engine()
    except EngineError as error:
        yield Diagnosis("missing", "engine", error.message, error.hint.removeprefix("Try: "))
        return
    kind = "private, " if engine.is_private else ""
    yield Diagnosis("ok", "engine", f"{kind}Docker {engine.version} at {engine.host}, {engine.ncpu} CPUs")
    yield _about_buildx(engine.buildx)
    if engine.containerd_store:
        yield Diagnosis("ok", "image store", f"containerd ({engine.storage_driver})")
    else:
        yield Diagnosis(
            "slow",
            "image store",
            f"graph driver {engine.storage_driver}: COPY --link copies, layers after a changed one are made anew",
            'put {"features": {"containerd-snapshotter": true}} into /etc/docker/daemon.json and restart '
            "docker (images in the old store are hidden meanwhile)",
        )
    if engine.free is None:
        yield Diagnosis("ok", "disk", "the engine is on another machine: its free space is not known here")
    elif needed is not None and engine.free < needed:
        yield Diagnosis(
            "missing",
            "disk",
            f"{_size(engine.free)} free in {engine.data_root}, about {_size(needed)} needed"
            f"{_that_fit(engine.free, others)}",
            "free some: docker buildx prune, docker image prune, invoke clean",
        )
    else:
        yield Diagnosis("ok", "disk", f"{_size(engine.free)} free in {engine.data_root}")


def _that_fit(free: int, others: Mapping[str, int]) -> str:
    found = [f"{name} ({_size(size)})" for name, size in sorted(others.items()) if size <= free]
    return f"\nthere is room for {', '.join(found) or 'no other variant either'}" if others else ""


def _about_buildx(version: str | None) -> Diagnosis:
    if version is None:
        return Diagnosis("missing", "buildx", "not installed", "scripts/engine install")
    if (found := _version(version)) is None or found < MIN_BUILDX:
        what = f"{version} is too old: {MIN_BUILDX} is needed"
        return Diagnosis("missing", "buildx", what, "scripts/engine install, or Docker's own docker-buildx-plugin")
    return Diagnosis("ok", "buildx", version)


def _about_program(program: str, purpose: str, *, optional: bool) -> Diagnosis:
    if found := shutil.which(program):
        return Diagnosis("ok", program, found)
    what = f"not installed; it {purpose}"
    return Diagnosis("optional" if optional else "missing", program, what, INSTALL_HINTS.get(program, ""))


def _about_keyring(path: Path, bases: str, *, optional: bool) -> Diagnosis:
    if path.is_file():
        return Diagnosis("ok", "keyring", str(path))
    what = f"no {path}, by which packages of {bases} are trusted when they are locked"
    return Diagnosis("optional" if optional else "missing", "keyring", what, "scripts/base-tools")


def _version(text: str) -> Version | None:
    """'v0.12.1-desktop.4' and '0.13.1+ds1' -> 0.12.1, 0.13.1."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return Version(found.group()) if found else None


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
