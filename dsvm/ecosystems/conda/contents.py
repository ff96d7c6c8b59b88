"""The files of conda packages: what their archives hold, and what linking makes of it, by info/paths.json.

https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html; what rattler makes of a prefix, see
`copy_and_replace_placeholders` in its crate `rattler`, install/link.rs.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from dsvm.ecosystems.protocol import Generated
from dsvm.host import members
from dsvm.model import Entry, LockError, Section

INFO = ("info/paths.json", "info/index.json", "info/link.json")
MOST_TEXT = 256 << 20  # bytes of one of these
LONGEST_SHEBANG = 127  # characters that Linux reads of a first line
ENTRY_POINTS = "entry-points/"  # where `contents` puts programs that linking makes
PURE = "pure/"  # and the files of packages for any Python
# What rattler writes for an entry point
PROGRAM = """\
#!{python}
# -*- coding: utf-8 -*-
import re
import sys

from {module} import {first}

if __name__ == '__main__':
\tsys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])
\tsys.exit({function}())
"""


def contents(artefact: Path, prefix: str) -> Iterator[tuple[str, Entry]]:
    """Paths of a package, as its archive has them, with what stands there once it is rewritten for `prefix`.

    Of a package for any Python they begin with pure/; programs of entry points are entry-points/NAME, with
    `module:function` as their target. Raises LockError.
    """
    from backports import zstd

    try:
        info = _info(artefact)
        pure = info.get("info/index.json", {}).get("noarch") == "python"
        rewrite = {
            f"/{one['_path']}": partial(_rewritten, one, prefix.encode())
            for one in info["info/paths.json"]["paths"]
            if one.get("prefix_placeholder")
        }
        with _opened(artefact, "pkg") as stream:
            for path, entry in members(stream, "r|*", lambda at, file: rewrite[at](file) if at in rewrite else file):
                if not path.startswith("/info/"):
                    yield (PURE if pure else "") + path.lstrip("/"), entry
        for line in info.get("info/link.json", {}).get("noarch", {}).get("entry_points") or ():
            name, _, function = line.partition("=")
            yield ENTRY_POINTS + name.strip(), Entry("file", 0o755, target=function.strip())
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, *BROKEN, zstd.ZstdError) as error:
        raise LockError(f"{artefact.name}: no conda package: {type(error).__name__}: {error}") from error


BROKEN = (zipfile.BadZipFile, tarfile.TarError)


def _info(artefact: Path) -> Mapping[str, Any]:
    """Name -> content of those files of `INFO` that a package has."""
    found = {}
    with _opened(artefact, "info") as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
        for member in tar:
            if member.name in INFO and member.size <= MOST_TEXT and (file := tar.extractfile(member)) is not None:
                found[member.name] = json.load(file)
                if found.keys() == {*INFO}:
                    break
    return found


@contextmanager
def _opened(artefact: Path, part: str) -> Iterator[IO[bytes]]:
    """The archive in a package that has its `part`: .conda has two, the older form one."""
    from backports import zstd

    if not zipfile.is_zipfile(artefact):
        with artefact.open("rb") as whole:
            yield whole
        return
    with zipfile.ZipFile(artefact) as archive:
        name = next(one for one in archive.namelist() if re.fullmatch(rf"{part}-.+\.tar\.zst", one))
        with archive.open(name) as packed, zstd.open(packed) as stream:
            yield stream  # type: ignore[misc]


def _rewritten(said: Mapping[str, Any], prefix: bytes, file: IO[bytes]) -> IO[bytes]:
    """A file with the prefix in the place of the one that it was built for."""
    data = file.read()
    old = str(said["prefix_placeholder"]).encode()
    if said.get("file_mode") == "binary":
        # each string keeps its length
        pattern = re.escape(old) + rb"[^\0]*"
        new = re.sub(pattern, lambda it: it[0].replace(old, prefix).ljust(len(it[0]), b"\0")[: len(it[0])], data)
        return io.BytesIO(new)
    new = data.replace(old, prefix)
    first, end, rest = new.partition(b"\n")
    if first.startswith(b"#!") and len(first) > LONGEST_SHEBANG:
        program, _, options = first[2:].strip().partition(b" ")
        first = b" ".join((b"#!/usr/bin/env", program.rpartition(b"/")[2], *([options] if options else [])))
    return io.BytesIO(first + end + rest)


def placed(section: Section, found: Iterable[tuple[str, Entry]]) -> Iterator[tuple[str, Entry]]:
    """The same below the section's prefix; install-conda gives everything to root, and one of two modes."""
    prefix = section.extra["prefix"]
    python = section.pin("python")
    minor = ".".join(python.version.split(".")[:2]) if python is not None else ""
    site = f"lib/python{minor}/site-packages"
    places: Mapping[str, Callable[[str], str]] = {
        "site-packages": lambda rest: f"{site}/{rest}",
        "python-scripts": lambda rest: f"bin/{rest}",
    }
    for path, entry in found:
        if path.startswith(ENTRY_POINTS):
            yield f"{prefix}/bin/{path.removeprefix(ENTRY_POINTS)}", _program(entry, f"{prefix}/bin/python{minor}")
            continue
        inner = path.removeprefix(PURE)
        top, _, rest = inner.partition("/")
        if path.startswith(PURE) and top in places:
            inner = places[top](rest)
        mode = 0o755 if entry.kind == "folder" or entry.mode & 0o100 else 0o644
        yield f"{prefix}/{inner}", entry._replace(mode=mode, uid=0, gid=0)
    for name in section.extra["commands"]:
        yield f"/usr/local/bin/{name}", Entry("link", target=f"{prefix}/bin/{name}")


def _program(entry: Entry, python: str) -> Entry:
    module, _, function = entry.target.partition(":")
    first = function.partition(".")[0]
    text = PROGRAM.format(python=python, module=module, first=first, function=function).encode()
    return Entry("file", 0o755, size=len(text), sha256=sha256(text).hexdigest())


def generated(section: Section) -> Iterator[Generated]:
    prefix = section.extra["prefix"]
    yield Generated(f"{prefix}/conda-meta/*.json", "install-conda: rattler's records of packages")
    yield Generated(f"{prefix}/conda-meta/history", "install-conda: what was asked for, as conda writes it")
    yield Generated(f"{prefix}/*__clobber-from-*", "rattler: files of two packages with one path", "copy")
