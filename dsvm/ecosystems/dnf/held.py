"""The files of RPM packages: what their headers say of them, and what their scriptlets make beside that.

https://rpm-software-management.github.io/rpm/manual/tags.html
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsvm.ecosystems.dnf.header import numbers, read_tags, texts
from dsvm.ecosystems.protocol import Generated
from dsvm.model import ANY, Entry, EntryKind, LockError

SIZES, LONG_SIZES, MODES, DIGESTS, TARGETS, FLAGS = 1028, 5008, 1030, 1035, 1036, 1037
USERS, GROUPS, VERIFIED, INDEXES, NAMES, FOLDERS, ALGORITHM = 1039, 1040, 1045, 1116, 1117, 1118, 5011
TAGS = (
    *(SIZES, LONG_SIZES, MODES, DIGESTS, TARGETS, FLAGS),
    *(USERS, GROUPS, VERIFIED, INDEXES, NAMES, FOLDERS, ALGORITHM),
)
MISSING_OK, GHOST = 1 << 3, 1 << 6  # of a file's flags
# what of a file its packager says stays as it is: https://rpm-software-management.github.io/rpm/man/rpm-spec.5
CONTENT, SIZE, TARGET, OWNER, GROUP, MODE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 6
SHA256 = 8
KINDS: dict[int, EntryKind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
}


def contents(artefact: Path) -> Iterator[tuple[str, Entry]]:
    """Paths of a package, by its header; what it owns though it does not bring it is a `ghost`. Raises LockError."""
    try:
        with artefact.open("rb") as file:
            tags = read_tags(file, TAGS)
        yield from _entries(tags)
    except (OSError, ValueError, IndexError, KeyError, struct.error) as error:
        raise LockError(f"{artefact.name}: no RPM package: {type(error).__name__}: {error}") from error


def _entries(tags: dict[int, Any]) -> Iterator[tuple[str, Entry]]:
    names, folders = texts(tags, NAMES), texts(tags, FOLDERS)
    if not names:
        return
    if numbers(tags, ALGORITHM) not in ((SHA256,), ()):
        raise ValueError("its files have other digests than SHA-256")
    exact = numbers(tags, ALGORITHM) == (SHA256,)
    sizes = numbers(tags, LONG_SIZES) or numbers(tags, SIZES)
    columns = (numbers(tags, INDEXES), numbers(tags, MODES), sizes, texts(tags, DIGESTS), texts(tags, TARGETS))
    more = (numbers(tags, FLAGS), numbers(tags, VERIFIED), texts(tags, USERS), texts(tags, GROUPS))
    for name, folder, mode, size, digest, target, flags, kept, user, group in zip(names, *columns, *more, strict=True):
        kind = KINDS[stat.S_IFMT(mode)]
        if flags & (GHOST | MISSING_OK):
            yield f"{folders[folder]}{name}", Entry("ghost", ANY, ANY, ANY)
            continue
        entry = Entry(
            kind,
            stat.S_IMODE(mode) if kept & MODE and kind != "link" else ANY,
            # only root's number is the same everywhere
            0 if user == "root" and kept & OWNER else ANY,
            0 if group == "root" and kept & GROUP else ANY,
            size if kind == "file" and kept & SIZE else ANY,
            target if kind == "link" else "",
            digest if kind == "file" and kept & CONTENT and exact else "",
        )
        yield f"{folders[folder]}{name}", entry


# What rpm and scriptlets write, and our own scripts. No image of RPM packages has been built yet: what their scriptlets
# leave below /etc and /var nobody has seen, and so whatever stands there beside files of packages is explained.
GENERATED = (
    Generated("/etc/*", "scriptlets of packages"),
    Generated("/var/*", "rpm's database, and scriptlets of packages"),
    Generated("/usr/lib/sysimage/*", "rpm's database"),
    Generated("/var/cache/*", "emptied by install-dnf", "gone"),
    Generated("/var/log/*", "emptied by install-dnf", "gone"),
    Generated("/dev/*", "the base's own devices", "device"),
    Generated("/root/.*", "a template of a package", "copy"),
    Generated("/home/*/.*", "a template of a package", "copy"),
    Generated("/usr/bin/*", "alternatives", "link"),
    Generated("/usr/sbin/*", "alternatives", "link"),
    Generated("/usr/lib/*", "alternatives", "link"),
    Generated("/usr/lib64/*", "alternatives", "link"),
    Generated("/usr/share/*", "alternatives", "link"),
    Generated("/usr/share/info/dir", "install-info"),
    Generated("/usr/share/mime/*", "update-mime-database"),
    Generated("/usr/share/icons/*/icon-theme.cache", "gtk-update-icon-cache"),
    Generated("/usr/share/applications/mimeinfo.cache", "update-desktop-database"),
    Generated("/usr/share/glib-2.0/schemas/gschemas.compiled", "glib-compile-schemas"),
    Generated("/usr/lib*/gdk-pixbuf-2.0/*/loaders.cache", "gdk-pixbuf-query-loaders"),
    Generated("/usr/lib*/gio/modules/giomodule.cache", "gio-querymodules"),
    Generated("/usr/lib/fontconfig/cache/*", "fc-cache"),
    Generated("/usr/lib/locale/*", "localedef"),
    Generated("/usr/lib/udev/hwdb.bin", "systemd-hwdb"),
)
