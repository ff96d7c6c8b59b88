"""The files of Python packages: what a wheel's RECORD names, where an environment has them, and what uv adds.

https://packaging.python.org/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from dsvm.ecosystems.protocol import Generated
from dsvm.host import unpacked
from dsvm.model import Entry, LockError

MOST_TEXT = 64 << 20  # bytes of a RECORD, or of a script whose first line is rewritten: the largest has a tenth
PYTHON = b"#!python"
SCRIPT = re.compile(rb"#!.*python[0-9.]*(?=[ \t\r\n])")  # what setuptools calls a Python script
ENTRY_POINTS = "entry-points/"  # where `contents` puts programs that an installer makes
# What archives that are none raise
BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError),
    configparser.Error,
)
# What `uv pip install` writes for an entry point
PROGRAM = """\
#!{python}
# -*- coding: utf-8 -*-
import sys
from {module} import {first}
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit({function}())
"""


def contents(artefact: Path, prefix: str) -> Iterator[tuple[str, Entry]]:
    """Paths of a wheel, as its RECORD has them; programs of entry points as entry-points/NAME, with `module:function`
    as their target. Scripts are as they are in the environment at `prefix`. Raises LockError.
    """
    try:
        with zipfile.ZipFile(artefact) as wheel:
            infos = {info.filename: info for info in wheel.infolist()}
            record = next(name for name in infos if name.endswith(".dist-info/RECORD") and name.count("/") == 1)
            folder = record.rpartition("/")[0]
            for name, said, _ in csv.reader(io.StringIO(_text(wheel, record))):
                info = infos.get(name)
                if info is None:
                    continue
                mode = 0o755 if (info.external_attr >> 16) & 0o111 else 0o644
                digest = "" if not said.startswith("sha256=") else _hex(said.removeprefix("sha256="))
                size = info.file_size
                if ".data/scripts/" in name:
                    mode = 0o755
                    data = wheel.read(info) if size <= MOST_TEXT else b""
                    if data.startswith(PYTHON):
                        data = _script(data, prefix)
                        digest, size = hashlib.sha256(data).hexdigest(), len(data)
                yield name, Entry("file", mode, size=size, sha256=digest)
            if f"{folder}/entry_points.txt" in infos:
                yield from _programs(_text(wheel, f"{folder}/entry_points.txt"))
    except (zipfile.BadZipFile, StopIteration, OSError, ValueError, csv.Error, configparser.Error) as error:
        raise LockError(f"{artefact.name}: no wheel: {error}") from error


def sources(artefact: Path, prefix: str) -> Iterator[tuple[str, Entry]]:
    """Files of a source distribution, without its own folder; a wheel that is built of it has some of them.

    Python scripts are there as they are at `prefix`, too, and so are programs of entry points. Raises LockError.
    """
    texts: dict[str, bytes] = {}

    def look(path: str, file: IO[bytes]) -> IO[bytes]:
        if not (path.endswith(".egg-info/entry_points.txt") or file.peek(2)[:2] == b"#!"):  # type: ignore[attr-defined]
            return file
        data = texts[path] = file.read(MOST_TEXT)
        return io.BytesIO(data)

    try:
        found = dict(unpacked(artefact, look))
        yield from ((path.lstrip("/").partition("/")[2], entry) for path, entry in found.items())
        for path, data in texts.items():
            if path.endswith("/entry_points.txt"):
                for name, entry in _programs(data.decode()):
                    yield name.removeprefix(ENTRY_POINTS), _program(entry, f"{prefix}/bin/python")
            elif SCRIPT.match(data):
                data = _script(data, prefix)
                yield path.rpartition("/")[2], Entry("file", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    except BROKEN as error:
        raise LockError(f"{artefact.name}: no source distribution: {type(error).__name__}: {error}") from error


def _script(data: bytes, prefix: str) -> bytes:
    """A Python script as uv puts it into the environment at `prefix`: with another first line."""
    return f"#!{prefix}/bin/python\n".encode() + data.partition(b"\n")[2]


def _text(wheel: zipfile.ZipFile, name: str) -> str:
    info = wheel.getinfo(name)
    if info.file_size > MOST_TEXT:
        raise ValueError(f"{name} is larger than {MOST_TEXT >> 20} MiB")
    return wheel.read(info).decode("utf-8")


def _hex(text: str) -> str:
    """A digest of RECORD, base64 for URLs without its padding, in hex."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()


def _programs(text: str) -> Iterator[tuple[str, Entry]]:
    parsed = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(text)
    for group in ("console_scripts", "gui_scripts"):
        for name, value in parsed.items(group) if parsed.has_section(group) else ():
            yield ENTRY_POINTS + name, Entry("file", 0o755, target=value.partition("[")[0].replace(" ", ""))


def placed(prefix: str, python: str, found: Iterable[tuple[str, Entry]]) -> Iterator[tuple[str, Entry]]:
    """The same in an environment at `prefix` with Python `python`, such as 3.11."""
    site = f"{prefix}/lib/python{python}/site-packages"
    for name, entry in found:
        if name.startswith(ENTRY_POINTS):
            program = name.removeprefix(ENTRY_POINTS)
            # pip's own, which uv calls by Python's version too
            for called in (program, *([f"pip{python}"] if program == "pip3" else [])):
                yield f"{prefix}/bin/{called}", _program(entry, f"{prefix}/bin/python")
            continue
        top, _, rest = name.partition("/")
        if top.endswith(".data"):
            kind, _, rest = rest.partition("/")
            places = {"purelib": site, "platlib": site, "scripts": f"{prefix}/bin", "data": prefix}
            package = top.partition("-")[0]
            places["headers"] = f"{prefix}/include/site/python{python}/{package}"
            if kind not in places or not rest:
                continue
            yield f"{places[kind]}/{rest}", entry
        elif PurePosixPath(name).name == "RECORD" and top.endswith(".dist-info"):
            continue  # an installer writes its own
        else:
            yield f"{site}/{name}", entry


def _program(entry: Entry, python: str) -> Entry:
    module, _, function = entry.target.partition(":")
    text = PROGRAM.format(python=python, module=module, first=function.partition(".")[0], function=function)
    return Entry("file", 0o755, size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())


def generated(prefix: str, python: str, built: Iterable[str] = ()) -> tuple[Generated, ...]:
    """What installing adds; `built` are the packages, NAME-VERSION, whose wheels are built from their sources."""
    site = f"{prefix}/lib/python{python}/site-packages"
    return (
        *(Generated(f"{site}/{one}.dist-info/*", "install-pypi: the wheel that is built of it") for one in built),
        Generated(f"{site}/*.dist-info/INSTALLER", "uv"),
        Generated(f"{site}/*.dist-info/RECORD", "uv, from the wheel's own and what it adds"),
        Generated(f"{site}/*.dist-info/REQUESTED", "uv"),
        Generated(f"{site}/_virtualenv.p*", "uv venv"),
        Generated(f"{prefix}/pyvenv.cfg", "uv venv"),
        Generated(f"{prefix}/CACHEDIR.TAG", "uv venv"),
        Generated(f"{prefix}/lib64", "uv venv"),
        Generated(f"{prefix}/bin/python*", "uv venv: links to the base's Python"),
        Generated(f"{prefix}/bin/*activate*", "uv venv"),
        Generated(f"{prefix}/bin/pydoc.bat", "uv venv"),
    )
