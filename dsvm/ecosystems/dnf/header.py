"""Tags of an RPM package, read without rpm: https://rpm-software-management.github.io/rpm/manual/format_v4.html"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO

from dsvm.ecosystems.licenses.names import fedora
from dsvm.ecosystems.licenses.reading import shown, stated
from dsvm.model import Stated

LEAD, MAGIC = b"\xed\xab\xee\xdb", b"\x8e\xad\xe8\x01"
LEAD_SIZE = 96
LICENSE = 1014  # tag, a string
# types of tags: unsigned numbers by struct's letters, and strings
NUMBERS = {2: "B", 3: "H", 4: "I", 5: "Q"}
STRINGS = (6, 8, 9)
MOST_TAGS, MOST_DATA = 1 << 16, 256 << 20  # as rpm itself takes


def licenses(artefact: Path) -> Stated:
    """What the header of a package says of its licence."""
    place = "its header"
    try:
        with artefact.open("rb") as file:
            words = _text(file, LICENSE)
    except (struct.error, ValueError) as error:
        return Stated(file=place, why=shown(str(error)))
    return stated(fedora(words), words, place, "" if words else "its header has no License")


def _text(file: IO[bytes], tag: int) -> str:
    """A string of the header, "" when it is not there. Raises ValueError or struct.error for what is no package."""
    entries, size = _main(file)
    for found, kind, offset, _ in struct.iter_unpack(">4I", entries):
        if found == tag and kind in (6, 9) and offset < size:
            file.seek(offset, 1)
            return file.read(min(size - offset, 4096)).partition(b"\0")[0].decode("utf-8", "replace")
    return ""


def read_tags(file: IO[bytes], tags: Collection[int]) -> dict[int, tuple[int, ...] | tuple[str, ...]]:
    """Tag -> its numbers or strings, of those in `tags` that are there. Raises ValueError or struct.error."""
    entries, size = _main(file)
    data = file.read(size)
    found: dict[int, tuple[int, ...] | tuple[str, ...]] = {}
    for tag, kind, offset, count in struct.iter_unpack(">4I", entries):
        if tag not in tags:
            continue
        if kind in NUMBERS:
            found[tag] = struct.unpack_from(f">{min(count, size)}{NUMBERS[kind]}", data, offset)
        elif kind in STRINGS:
            parts = data[offset:].split(b"\0", count)[:count]
            if len(parts) != count:
                raise ValueError("it is no RPM package: its header is broken")
            found[tag] = tuple(one.decode("utf-8", "surrogateescape") for one in parts)
    return found


def numbers(tags: Mapping[int, tuple[int, ...] | tuple[str, ...]], tag: int) -> tuple[int, ...]:
    return tuple(one for one in tags.get(tag, ()) if isinstance(one, int))


def texts(tags: Mapping[int, tuple[int, ...] | tuple[str, ...]], tag: int) -> tuple[str, ...]:
    return tuple(one for one in tags.get(tag, ()) if isinstance(one, str))


def _main(file: IO[bytes]) -> tuple[bytes, int]:
    """The entries of a package's header, and the size of its data, before which the file is left."""
    if not file.read(LEAD_SIZE).startswith(LEAD):
        raise ValueError("it is no RPM package")
    _, size = _index(file)  # the signature, padded to eight bytes
    file.seek(size + -size % 8, 1)
    return _index(file)


def _index(file: IO[bytes]) -> tuple[bytes, int]:
    """The entries of a header, and the size of its data, in bytes, before which the file is left."""
    magic, _, tags, size = struct.unpack(">4s4s2I", file.read(16))
    if magic != MAGIC or tags > MOST_TAGS or size > MOST_DATA:
        raise ValueError("it is no RPM package: its header is broken")
    return file.read(tags * 16)[: tags * 16], size
