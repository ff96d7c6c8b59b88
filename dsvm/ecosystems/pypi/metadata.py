"""What wheels and source distributions say of themselves: name, version, and what they need."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from dsvm.ecosystems.pypi.platforms import markers
from dsvm.model import Base, LockError

if TYPE_CHECKING:
    from packaging.metadata import RawMetadata

MOST = 16 << 20  # bytes of what a package says of itself


def file_of(file: str, sources: Sequence[str]) -> tuple[str, Version] | None:
    """Name and version that a file's name says; None for a name of another form, and for a source that may not be."""
    try:
        if file.endswith(".whl"):
            name, version, *_ = parse_wheel_filename(file)
            return name, version
        name, version = parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return (name, version) if name in sources else None


def source_metadata(path: Path, file: str) -> RawMetadata:
    """What a source distribution says of itself, in its PKG-INFO.

    https://packaging.python.org/en/latest/specifications/source-distribution-format/: from version 2.2 of the
    metadata on, a file without needs is a package without needs.
    """
    from packaging.metadata import parse_email  # slow to load, and most commands read no package

    try:
        with tarfile.open(path) as archive:
            infos = (one for one in archive if one.isfile() and one.name.split("/")[1:] == ["PKG-INFO"])
            member = next(infos, None)
            stream = archive.extractfile(member) if member is not None and member.size <= MOST else None
            found, _ = parse_email(stream.read() if stream is not None else b"")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise LockError(f"{file}: no source distribution: {error}") from error
    if stream is None:
        raise LockError(f"{file}: no source distribution: it has no PKG-INFO")
    if Version(found.get("metadata_version", "0")) < Version("2.2"):
        raise LockError(
            f"{file}: its metadata is of version {found.get('metadata_version', 'none')}, and only 2.2 and "
            "newer tell what a source distribution needs",
            hint="Ask for a newer version of it",
        )
    return found


def wheel_metadata(path: Path, file: str) -> RawMetadata:
    """https://packaging.python.org/en/latest/specifications/binary-distribution-format/"""
    from packaging.metadata import parse_email  # slow to load, and most commands read no package

    try:
        with zipfile.ZipFile(path) as archive:
            infos = (one for one in archive.infolist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one.filename))
            member = next(infos, None)
            if member is None or member.file_size > MOST:
                raise LockError(f"{file}: no wheel: it has no METADATA")
            found, _ = parse_email(archive.read(member))
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise LockError(f"{file}: no wheel: {error}") from error
    return found


def needs(said: RawMetadata, extra: str, base: Base) -> list[str]:
    """What a package needs on `base`, or with an extra of it."""
    found: list[str] = []
    for text in said.get("requires_dist", []):
        try:
            need = Requirement(text)
        except InvalidRequirement:
            continue  # old packages have such, and installers pass over them
        if need.marker is None or holds(need.marker, base, extra):
            found += called(need)
    return found


def holds(marker: Marker, base: Base, extra: str = "") -> bool:
    return marker.evaluate({**cast("dict[str, str]", markers(base)), "extra": extra})


def called(need: Requirement) -> list[str]:
    """What a requirement asks for, as `Pypi.described` offers it."""
    name = canonicalize_name(need.name)
    return [name, *(f"{name}[{canonicalize_name(extra)}]" for extra in sorted(need.extras))]


def name_of(requirement: str) -> str:
    """The package that a requirement is about. Raises InvalidRequirement for other text."""
    return canonicalize_name(Requirement(requirement).name)
