"""What is in a database of RPM's, without rpm: a table of headers.

https://github.com/rpm-software-management/rpm/blob/rpm-4.18.x/lib/backend/sqlite.c
"""

from __future__ import annotations

import re
import sqlite3
import struct
from collections.abc import Iterator, Mapping

from dsvm.ecosystems.dnf.header import LICENSE, MOST_DATA, MOST_TAGS
from dsvm.ecosystems.dnf.rpm import DATABASES
from dsvm.ecosystems.protocol import Recorded

RECORDS = re.compile(rf"/(?:{'|'.join(DATABASES)})/rpmdb\.sqlite")
# https://rpm-software-management.github.io/rpm/manual/tags.html
NAME, VERSION, RELEASE, EPOCH, ARCH = 1000, 1001, 1002, 1003, 1022
NUMBER, TEXTS = 4, (6, 8, 9)  # kinds of values
WAL = slice(18, 20)  # https://www.sqlite.org/fileformat.html#the_database_header


def recorded(data: bytes) -> Iterator[Recorded]:
    """Every package of a database; keys, which rpm lists as packages, are none. Raises ValueError."""
    database = bytearray(data)
    database[WAL] = b"\1\1"  # a write-ahead log would have to lie beside it
    try:
        connection = sqlite3.connect(":memory:")
        connection.deserialize(bytes(database))
        headers = [blob for (blob,) in connection.execute("SELECT blob FROM Packages ORDER BY hnum")]
    except sqlite3.Error as error:
        raise ValueError(f"it is no database of RPM's: {error}") from error
    for header in headers:
        try:
            said = _tags(header)
            name, version, release = (str(said[tag]) for tag in (NAME, VERSION, RELEASE))
        except (struct.error, KeyError, TypeError) as error:
            raise ValueError(f"a header in it is broken: {error}") from error
        if name == "gpg-pubkey":
            continue
        whole = f"{version}-{release}"
        epoch = f"{said[EPOCH]}:" if said.get(EPOCH) else ""
        file = f"{name}-{whole}.{said.get(ARCH, 'noarch')}.rpm"
        yield Recorded(name, epoch + whole, file, str(said.get(LICENSE, "")))


def _tags(header: bytes) -> Mapping[int, str | int]:
    """The tags that are one text or number: https://rpm-software-management.github.io/rpm/manual/format_header.html"""
    tags, size = struct.unpack_from(">2I", header)
    if tags > MOST_TAGS or size > MOST_DATA:
        raise ValueError("a header in it is broken")
    data = header[8 + 16 * tags :]
    found: dict[int, str | int] = {}
    for tag, kind, offset, _ in struct.iter_unpack(">4I", header[8 : 8 + 16 * tags]):
        if kind in TEXTS:
            found[tag] = data[offset : offset + 4096].partition(b"\0")[0].decode("utf-8", "replace")
        elif kind == NUMBER:
            found[tag] = struct.unpack_from(">I", data, offset)[0]
    return found
