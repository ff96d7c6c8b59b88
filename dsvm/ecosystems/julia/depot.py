"""What a depot holds, where it lies, and how it is told from something else.

https://pkgdocs.julialang.org/v1/toml-files/, https://pkgdocs.julialang.org/v1/artifacts/ and base/loading.jl of Julia.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from dsvm.ecosystems.julia.registry import TREE, Julia, Need, Release
from dsvm.ecosystems.julia.versions import Version
from dsvm.model import LockError

ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}
# Files at the top of a package, each under the name that wins and under its usual one
PROJECT = ("JuliaProject.toml", "Project.toml")
ARTIFACTS = ("JuliaArtifacts.toml", "Artifacts.toml")
BUILD = "deps/build.jl"
# Keys of an artifact that say nothing of the platform it is for
PLAIN = {"git-tree-sha1", "lazy", "download"}
# The first Julia that writes manifests in their second form
SECOND_FORM = Version("1.7.0")
LIBRARY = re.compile(r"(?:^|/)share/julia/stdlib/v\d+\.\d+/[^/]+/Project\.toml")
LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits


# --- digests and places ------------------------------------------------------------------------------------

Node = dict[bytes, Any]


def tree_hashes(archive: Path) -> frozenset[str]:
    """git's hash of the files in a tarball, which is how package servers name it; with and without empty folders.

    git knows no empty folders, but artifacts may have some, and both are in use for them. Raises ValueError for an
    archive that holds anything else than files, folders and links below its top.
    """
    top: Node = {}
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            path = [part for part in member.name.encode(errors="surrogateescape").split(b"/") if part != b"."]
            if member.name.startswith("/") or b".." in path or (not path and not member.isdir()):
                raise ValueError(f"a file outside of it: {member.name!r}")
            folder = top
            for part in path if member.isdir() else path[:-1]:
                folder = folder.setdefault(part, {})
                if not isinstance(folder, dict):
                    raise ValueError(f"a folder in a file: {member.name!r}")
            if not member.isdir():
                folder[path[-1]] = _blob(tar, member)
    return frozenset(_tree(top, empty=empty) for empty in (True, False))


def _blob(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[bytes, bytes]:
    """git's mode and hash of a file or link."""
    if member.issym():
        link = member.linkname.encode(errors="surrogateescape")
        return b"120000", hashlib.sha1(b"blob %d\0" % len(link) + link, usedforsecurity=False).digest()
    stream = tar.extractfile(member) if member.isreg() else None
    if stream is None:
        raise ValueError(f"neither file nor folder nor symbolic link: {member.name!r}")
    digest = hashlib.sha1(b"blob %d\0" % member.size, usedforsecurity=False)
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return b"100755" if member.mode & 0o100 else b"100644", digest.digest()


def _tree(folder: Node, *, empty: bool) -> str:
    """https://git-scm.com/book/en/v2/Git-Internals-Git-Objects: folders sort as if a slash ended their names."""
    entries = []
    for name, node in folder.items():
        if not isinstance(node, dict):
            mode, digest = node
            entries.append((name, b"%s %s\0%s" % (mode, name, digest)))
        elif empty or _has_files(node):
            entries.append((name + b"/", b"40000 %s\0%s" % (name, bytes.fromhex(_tree(node, empty=empty)))))
    body = b"".join(entry for _, entry in sorted(entries))
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def _has_files(folder: Node) -> bool:
    return any(not isinstance(node, dict) or _has_files(node) for node in folder.values())


def slug(uuid: str, tree: str) -> str:
    """The five characters by which Julia tells the versions of a package apart: packages/NAME/SLUG."""
    # Julia takes the UUID as a number in the machine's own order of bytes.
    rest, letters = crc32c(UUID(uuid).bytes[::-1] + bytes.fromhex(tree)), ""
    for _ in range(5):
        rest, place = divmod(rest, len(LETTERS))
        letters += LETTERS[place]
    return letters


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC, of which Python's own modules have none; RFC 3720, B.4 has examples."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# --- what a package says -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contents:
    """What a package's files say that its registry does not.

    `artifacts` are name -> tree, `weak` name -> UUID, `extensions` name -> the packages that it is for.
    """

    artifacts: Mapping[str, str] = field(default_factory=dict)
    weak: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    builds: bool = False


def contents(archive: Path, platform: Mapping[str, str]) -> Contents:
    """What a package's tarball says; `artifacts` are name -> tree of those for `platform` that are not lazy.

    Raises ValueError for files that a package cannot have.
    """
    found: dict[str, bytes] = {}
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if name in (*PROJECT, *ARTIFACTS, BUILD) and (stream := tar.extractfile(member)):
                found[name] = stream.read()
    project, listed = (
        tomllib.loads(next((found[name].decode() for name in names if name in found), ""))
        for names in (PROJECT, ARTIFACTS)
    )
    weak, extensions = project.get("weakdeps", {}), project.get("extensions", {})
    if not isinstance(weak, dict) or not isinstance(extensions, dict):
        raise ValueError("'weakdeps' and 'extensions' are tables")
    return Contents(
        artifacts=dict(sorted(_artifacts(listed, platform))),
        weak=weak,
        extensions=extensions,
        builds=BUILD in found,
    )


def _artifacts(listed: Mapping[str, Any], platform: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, entry in listed.items():
        entries = entry if isinstance(entry, list) else [entry]
        fitting = [one for one in entries if _fits(one, platform)]
        # like Julia, the most particular one
        best = max(fitting, key=lambda one: (len(_tags(one)), sorted(_tags(one).items())), default=None)
        if best is not None and not best.get("lazy", False):
            tree = best["git-tree-sha1"]
            if not re.fullmatch(TREE, tree) or not re.fullmatch(r"[\w.+-]+", name):
                raise ValueError(f"artifact {name!r} with the tree {tree!r}")
            yield name, tree


def _tags(entry: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in entry.items() if key not in PLAIN}


def _fits(entry: Mapping[str, Any], platform: Mapping[str, str]) -> bool:
    """Whether all that an artifact says of the platform it is for holds; what we know nothing of may be anything."""
    return all(
        _digits(value) == _digits(platform[key]) if key.endswith("_version") else value == platform[key]
        for key, value in _tags(entry).items()
        if key in platform
    )


def _digits(version: str) -> tuple[str, ...]:
    return (*version.split("."), "0")[:2]


def platform_of(arch: str, julia: Version) -> Mapping[str, str]:
    """What Julia calls the image's platform; its own builds and Debian's are made with gfortran 8 or newer."""
    return {
        "os": "linux",
        "arch": ARCHES[arch],
        "libc": "glibc",
        "libgfortran_version": "5.0.0",
        "cxxstring_abi": "cxx11",
        "julia_version": str(julia),
    }


# --- what Julia brings -------------------------------------------------------------------------------------


def standard_library(archives: Iterable[Path], julia: Version) -> Mapping[str, tuple[Release, Contents]]:
    """UUID -> what Julia brings, out of its own archives (tarballs or .debs). A part without a version has Julia's."""
    found: dict[str, tuple[Release, Contents]] = {}
    for archive in archives:
        with _opened(archive) as tar:
            for member in tar:
                if LIBRARY.search(member.name) and (stream := tar.extractfile(member)):
                    one = tomllib.loads(stream.read().decode())
                    needs = tuple(Need(uuid, name) for name, uuid in sorted(one.get("deps", {}).items()))
                    version = Version(one["version"]) if "version" in one else julia
                    said = Contents(weak=one.get("weakdeps", {}), extensions=one.get("extensions", {}))
                    found[one["uuid"]] = Release(one["uuid"], one["name"], version, needs=needs), said
    if not found:
        raise LockError("nothing of what was locked for Julia holds its standard library")
    return found


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    with archive.open("rb") as file:
        packed = file.read(8) == b"!<arch>\n"
    if not packed:
        with tarfile.open(archive, "r|*") as tar:
            yield tar
        return
    from debian.debfile import DebFile

    with DebFile(str(archive)) as deb:
        yield deb.data.tgz()


# --- the environment ---------------------------------------------------------------------------------------


def project_text(wanted: Iterable[Release]) -> str:
    """A Project.toml that has `wanted` as its dependencies."""
    return "[deps]\n" + "".join(f"{one.name} = {_quoted(one.uuid)}\n" for one in sorted(wanted, key=_by_name))


def manifest_text(releases: Iterable[Release], said: Mapping[str, Contents], julia: Julia) -> str:
    """The Manifest.toml of an environment that has all of `releases`; `said` by UUID."""
    table = "deps." if julia.version >= SECOND_FORM else ""
    head = f'julia_version = {_quoted(str(julia.version))}\nmanifest_format = "2.0"\n' if table else ""
    blocks = [head] if head else []
    for one in sorted(releases, key=_by_name):
        lines = [f"[[{table}{one.name}]]"]
        if one.needs:
            lines.append(f"deps = [{', '.join(_quoted(need.name) for need in one.needs)}]")
        if one.tree:
            lines.append(f"git-tree-sha1 = {_quoted(one.tree)}")
        lines.append(f"uuid = {_quoted(one.uuid)}")
        if one.tree or one.version != julia.version:
            lines.append(f"version = {_quoted(str(one.version))}")
        if (more := said.get(one.uuid)) and more.extensions:
            for key, entries in (("extensions", more.extensions), ("weakdeps", more.weak)):
                lines += ["", f"    [{table}{one.name}.{key}]"]
                lines += [f"    {_quoted(name)} = {json.dumps(value)}" for name, value in sorted(entries.items())]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _by_name(release: Release) -> str:
    return release.name


def _quoted(text: str) -> str:
    """JSON strings are TOML strings."""
    return json.dumps(text)
