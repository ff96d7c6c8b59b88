"""Libraries that programs need, and that nothing in the image provides."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from posixpath import normpath

from dsvm.ledger.comparing import Difference
from dsvm.ledger.elf import Needs
from dsvm.ledger.properties.sight import Sight

CACHE = "/etc/ld.so.cache"
CACHE_MAGIC = b"glibc-ld.so.cache1.1"
# where a loader looks by itself: ld.so(8), with the folders that Debian builds it with
TRUSTED = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/lib/{triplet}", "/usr/lib/{triplet}")
TRIPLETS = {"x64": "x86_64-linux-gnu", "AArch64": "aarch64-linux-gnu"}
# of other C libraries: programs bring such files beside those for ours, and take what fits
OTHER_SYSTEMS = re.compile(r"libc\.musl-.*|ld-musl-.*|libc\.so|libandroid\.so|liblog\.so")
# what NVIDIA's driver brings into a container when it starts
OF_DRIVER = re.compile(r"libcuda\.so\.1|libnvidia-.*|libnvcuvid\.so\.1|libnvoptix\.so\.1|libcudadebugger\.so\.1")
# what has libraries of its own, which its programs load by path before others need them
PLACES = re.compile(r"(/opt/envs/[^/]+|/opt/[^/]+|/usr/local)/")


def libraries(sight: Sight) -> Iterator[Difference]:
    """Libraries that an ELF file needs, and no loader would find, nor any program beside it bring along.

    https://man7.org/linux/man-pages/man8/ld.so.8.html
    """
    found = {
        path: needs
        for path, (entry, _) in sight.tree.items()
        if entry.kind == "file" and (needs := sight.contents.needs.get(entry.sha256)) is not None
    }
    machine = max(TRIPLETS, key=lambda one: sum(needs.machine == one for needs in found.values()))
    found = {path: needs for path, needs in found.items() if needs.machine == machine}
    search = _Search(sight, found, machine)
    for path, needs in found.items():
        if any(OTHER_SYSTEMS.fullmatch(one) for one in needs.libraries):
            continue
        lacking = [one for one in needs.libraries if not search.provides(one, path, needs)]
        if lacking := [one for one in lacking if not _is_excused(one, path, sight)]:
            what = f"it needs {', '.join(lacking)}, which nothing in the image provides"
            yield Difference("library", path, what, "", sight.tree[path][1])


def _is_excused(library: str, path: str, sight: Sight) -> bool:
    if sight.has_driver and OF_DRIVER.fullmatch(library):
        return True
    return any(fnmatchcase(library, one) or fnmatchcase(path, one) for one in sight.lacks)


class _Search:
    def __init__(self, sight: Sight, found: Mapping[str, Needs], machine: str) -> None:
        self.sight = sight
        self.found = found
        self.triplet = TRIPLETS[machine]
        self.preset = [one for one in sight.environment.get("LD_LIBRARY_PATH", "").split(":") if one]
        cached = ld_cache(sight.data(CACHE))
        self.usual = {name for name, path in cached if self._is_there(path)}
        # name -> places where a library of that name is
        self.places: dict[str, set[str]] = {}
        for path in found:
            self.places.setdefault(PurePosixPath(path).name, set()).add(_place(path))
        for path, (entry, _) in sight.tree.items():
            if entry.kind == "link" and ".so" in path and self._is_there(path):
                self.places.setdefault(PurePosixPath(path).name, set()).add(_place(path))

    def provides(self, library: str, path: str, needs: Needs) -> bool:
        if "/" in library:
            return self._is_there(library)
        if library in self.usual:
            return True
        origin = str(PurePosixPath(path).parent)
        own = (one.replace("${", "$").replace("}", "").replace("$ORIGIN", origin) for one in needs.folders)
        trusted = (one.format(triplet=self.triplet) for one in TRUSTED)
        for folder in (*own, *self.preset, *trusted):
            for whole in (folder.replace("$LIB", f"lib/{self.triplet}"), folder.replace("$LIB", "lib64")):
                if self._is_there(f"{whole}/{library}"):
                    return True
        return bool(self.places.get(library, set()) & {_place(path), ""})

    def _is_there(self, path: str) -> bool:
        return self.sight.real.end(normpath(path)) in self.found


def _place(path: str) -> str:
    """The environment or program that a file belongs to; "" for the system."""
    found = PLACES.match(path)
    return found[1] if found is not None else ""


def ld_cache(data: bytes) -> list[tuple[str, str]]:
    """Name and path of the libraries in ld.so.cache; nothing where it is none of the present form.

    A header of 48 bytes, entries of 24, and texts, at places counted from the header:
    https://sourceware.org/git/?p=glibc.git;a=blob;f=sysdeps/generic/dl-cache.h
    """
    start = data.find(CACHE_MAGIC)
    if start < 0:
        return []
    here = data[start:]
    try:
        (count,) = struct.unpack_from("<I", here, len(CACHE_MAGIC))
        count = min(count, len(here) // 24)
        places = [struct.unpack_from("<II", here, 48 + 24 * number + 4) for number in range(count)]
    except struct.error:
        return []
    return [(_text(here, name), _text(here, path)) for name, path in places]


def _text(data: bytes, place: int) -> str:
    return data[place : data.find(b"\0", place)].decode("utf-8", "replace")
