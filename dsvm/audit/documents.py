"""Folders, zip files and single files of JSON documents that others publish.

What comes from elsewhere is data: it is bounded, never unpacked onto a disk, and what cannot be read is one fault.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dsvm.host import read_bounded

MOST_DOCUMENT = 16 << 20  # bytes of one document: the largest published advisory has a tenth
MOST_UNPACKED = 8 << 30  # bytes of all documents of one folder or zip file
MOST_DOCUMENTS = 2_000_000
BROKEN = (OSError, ValueError, RuntimeError, NotImplementedError, EOFError, zlib.error, zipfile.BadZipFile)

Location = tuple[str, str]  # a file or folder, and in a zip file the name of a member, else ""


@dataclass(frozen=True)
class Fault:
    """A file, folder, or place in a zip file that is not what it should be, and why."""

    place: str
    why: str


def plain(text: str, most: int = 200) -> str:
    """Foreign text as one line that can do nothing to a terminal."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text[: 4 * most]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def shown_place(place: Location) -> str:
    file, member = place
    return plain(f"{file}: {member}" if member else file)


def documents(place: Path) -> Iterator[tuple[Location, bytes | str]]:
    """What is in a folder, however deep, a zip file or a file: its content, or why it cannot be read."""
    left = MOST_UNPACKED
    for number, (location, data) in enumerate(_all_documents(place)):
        left -= len(data) if isinstance(data, bytes) else 0
        if left < 0 or number >= MOST_DOCUMENTS:
            yield location, f"more than {MOST_UNPACKED >> 30} GiB or {MOST_DOCUMENTS} files: the rest is not read"
            return
        yield location, data


def read_again(places: Iterable[Location]) -> Iterator[tuple[Location, bytes]]:
    """The content of places that were read before; a zip file is opened once."""
    by_file: dict[str, list[str]] = {}
    for file, member in places:
        by_file.setdefault(file, []).append(member)
    for file, members in by_file.items():
        try:
            if members == [""]:
                yield (file, ""), read_bounded(Path(file), MOST_DOCUMENT)
                continue
            with zipfile.ZipFile(file) as archive:
                for member in members:
                    yield (file, member), archive.open(member).read(MOST_DOCUMENT)
        except BROKEN as error:
            yield (file, ""), plain(f"cannot be read any more: {error}").encode()


def _all_documents(place: Path) -> Iterator[tuple[Location, bytes | str]]:
    files = _files(place) if place.is_dir() else [(place, None)]
    for path, fault in files:
        where = (str(path), "")
        if fault is not None:
            yield where, fault
        elif path.suffix.lower() == ".zip":
            yield from _members(path)
        elif path.suffix.lower() == ".json":
            try:
                yield where, read_bounded(path, MOST_DOCUMENT)
            except OSError as error:
                yield where, f"cannot be read: {error.strerror or error}"
        elif path == place:
            yield where, "neither a folder nor a .zip or .json file"


def _files(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """All files below a folder in a stable order, and what below it is passed over, with why."""
    top = os.path.realpath(folder)
    closed: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=closed.append):
        folders.sort()
        for name in (*folders, *sorted(names)):
            path = Path(here, name)
            is_link = os.path.islink(path)  # noqa: PTH114 - that of a Path raises where a path is too long
            if is_link and not Path(os.path.realpath(path)).is_relative_to(top):
                yield path, "a link that leads out of the folder"
            elif name not in folders:
                yield path, None
            elif is_link:
                yield path, "a link to a folder is not followed"
    for error in closed:
        yield Path(error.filename), f"the folder cannot be read: {error.strerror or error}"


def _members(path: Path) -> Iterator[tuple[Location, bytes | str]]:
    where = str(path)
    if not path.is_file():
        yield (where, ""), "no regular file"
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.lower().endswith(".json") and not info.is_dir():
                    yield (where, info.filename), _member(archive, info)
    except BROKEN as error:
        yield (where, ""), plain(f"no zip file: {error}")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | str:
    """What a member holds, or why it cannot be read; what it says of its own size counts for nothing."""
    try:
        with archive.open(info) as file:
            data = file.read(MOST_DOCUMENT + 1)
    except BROKEN as error:
        return plain(f"cannot be read: {error}")
    return data if len(data) <= MOST_DOCUMENT else f"larger than {MOST_DOCUMENT >> 20} MiB"
