"""Which libraries a program or a library needs, as its own file says."""

from __future__ import annotations

from typing import IO, NamedTuple

MAGIC = b"\x7fELF"
LOADED = (2, 3)  # e_type of programs and shared libraries
TYPE = slice(16, 18)  # bytes of e_type


class Needs(NamedTuple):
    """`machine` as in EM_X86_64 with the file's class: x64; folders as written, $ORIGIN and all."""

    machine: str
    libraries: tuple[str, ...] = ()
    # of DT_RUNPATH, or DT_RPATH where there is none
    folders: tuple[str, ...] = ()


def is_loaded(beginning: bytes) -> bool:
    """Whether a file that begins so is one that a loader takes, and no object file or dump."""
    if not beginning.startswith(MAGIC) or len(beginning) < TYPE.stop:
        return False
    order = "big" if beginning[5] == 2 else "little"
    return int.from_bytes(beginning[TYPE], order) in LOADED  # type: ignore[arg-type]


def needs_of(file: IO[bytes]) -> Needs | None:
    """What an ELF file needs; None where it needs nothing, or cannot be read."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(file)
        found: dict[str, list[str]] = {}
        segments = (one for one in elf.iter_segments("PT_DYNAMIC") if isinstance(one, DynamicSegment))
        for segment in segments:
            for tag in segment.iter_tags():
                for kind in ("needed", "rpath", "runpath"):
                    if (value := getattr(tag, kind, None)) is not None:
                        found.setdefault(kind, []).append(str(value))
        folders = found.get("runpath") or found.get("rpath") or []
        return Needs(
            str(elf.get_machine_arch()),
            tuple(found.get("needed", ())),
            tuple(one for text in folders for one in text.split(":") if one),
        )
    # whatever a broken file makes a reader of binary structures stumble on
    except (ELFError, ValueError, TypeError, AttributeError, LookupError, OSError, AssertionError, OverflowError):
        return None
