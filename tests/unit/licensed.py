"""Small artefacts that say which licences they are under, and texts of licences."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from debian.arfile import ArFile

from dsvm.model import Pin

MIT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated\n"
    "documentation files, to deal in the Software without restriction, subject to the following conditions:\n"
    "The above copyright notice and this permission notice shall be included in all copies.\n"
)
BSD_2 = (
    "Redistribution and use in source and binary forms, with or without modification, are permitted:\n"
    "1. Redistributions of source code must retain the above copyright notice.\n"
    "2. Redistributions in binary form must reproduce the above copyright notice.\n"
)
BSD_3 = BSD_2 + "3. Neither the name of the copyright holder nor the names of its contributors may be used.\n"
GPL_2 = (
    "This program is free software; you can redistribute it and/or modify\n"
    "it under the terms of the GNU General Public License as published by\n"
    "the Free Software Foundation; either version 2 of the License, or\n"
    "(at your option) any later version.\n"
)
AGPL_3 = "GNU AFFERO GENERAL PUBLIC LICENSE\n                       Version 3, 19 November 2007\n"


def pin(
    name: str = "demo", version: str = "1.0", file: str = "", registry: str = "debian", sha256: str = "0" * 64
) -> Pin:
    where = file or f"pool/main/d/{name}_{version}_amd64.deb"
    return Pin(name=name, version=version, file=where, size=1, sha256=sha256, registry=registry)


def written(folder: Path, data: bytes, name: str = "artefact") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def wheel(metadata: str | bytes, files: Mapping[str, str] | None = None) -> bytes:
    """A wheel with this METADATA, and files in its dist-info."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("demo/__init__.py", "")
        for name, text in (files or {}).items():
            archive.writestr(f"demo-1.0.dist-info/{name}", text)
        archive.writestr("demo-1.0.dist-info/METADATA", metadata)
    return data.getvalue()


def metadata(*lines: str) -> str:
    return "\n".join(("Metadata-Version: 2.1", "Name: demo", "Version: 1.0", *lines)) + "\n"


def tarball(files: Mapping[str, str | bytes], links: Mapping[str, str] | None = None, how: str = "w:gz") -> bytes:
    """A tar of files and symbolic links."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=how) as archive:  # type: ignore[call-overload]
        for name, text in files.items():
            member, content = tarfile.TarInfo(name), text.encode() if isinstance(text, str) else text
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return data.getvalue()


def deb(
    files: Mapping[str, str | bytes],
    links: Mapping[str, str] | None = None,
    how: str = "w:xz",
    name: str = "data.tar.xz",
) -> bytes:
    """A Debian package that holds only these: https://manpages.debian.org/bookworm/dpkg-dev/deb.5.en.html"""
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": tarball({"./control": "Package: demo\n"}, how="w:xz")}
    parts[name] = tarball(files, links, how)
    out = b"!<arch>\n"
    for part, data in parts.items():
        out += f"{part:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    ArFile(fileobj=io.BytesIO(out))
    return out


def npm(package: Mapping[str, object], files: Mapping[str, str] | None = None) -> bytes:
    inside = {f"package/{name}": text for name, text in (files or {}).items()}
    return tarball({"package/package.json": json.dumps({"name": "demo", "version": "1.0", **package}), **inside})
