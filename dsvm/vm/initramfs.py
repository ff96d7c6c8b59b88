"""What a machine starts from in memory, against the files of its disk: nothing else may be in there."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from posixpath import dirname, join, normpath

from dsvm.ledger import Resolver
from dsvm.model import Tree
from dsvm.vm import cpio

OWN = ("/usr/share/initramfs-tools", "/etc/initramfs-tools")  # folders that have what is in it, at the same place
# programs that are put there under other names
TOOLS = ("/usr/lib/klibc/bin/", "/usr/lib/initramfs-tools/", "/usr/share/initramfs-tools/")
TOOLS_IN = re.compile(r"usr/(?:s?bin|lib)/.+")
MADE = re.compile(r"etc/ld\.so\.cache|usr/lib/modules/[^/]+/modules\.\w+(?:\.\w+)?")  # by ldconfig and depmod
COMMENT = r"\s*(?:#.*)?"
# what mkinitramfs and its hooks write, line by line: https://manpages.debian.org/initramfs-tools-core
LINES: Mapping[re.Pattern[str], re.Pattern[str]] = {
    re.compile(path): re.compile(line)
    for path, line in (
        (r"conf/arch\.conf", r"DPKG_ARCH=\w+|"),
        (r"conf/initramfs\.conf", rf"[A-Z]+=[\w.%]*|{COMMENT}"),
        (r"conf/modules", rf"[\w-]+(?: [\w.=,-]+)*|{COMMENT}"),
        (
            r"scripts/[a-z-]+/ORDER",
            r'/scripts/[a-z-]+/[\w.-]+ "\$@"|\[ -e /conf/param\.conf \] && \. /conf/param\.conf|',
        ),
        (r"etc/fstab", COMMENT),
        (r"etc/nsswitch\.conf", r"\w+:[ \w]*|"),
        (r"etc/passwd", r"[\w-]+:[x*]:\d+:\d+:[^:]*:[^:]*:/(?:usr/)?s?bin/(?:false|nologin)|"),
        (r"etc/dhcpcd\.conf", rf"[a-z_ ,]+(?:=no)?|{COMMENT}"),
    )
}
LINKS = {
    "etc/mtab": "/proc/mounts",
    **{f"{one}.usr-is-merged": f"usr/{one}.usr-is-merged" for one in ("bin", "lib", "sbin")},
}


def strange(data: bytes, tree: Tree) -> Iterator[tuple[str, str]]:
    """Path in an initramfs, and why it is strange. Raises ValueError for one that cannot be read."""
    real = Resolver(tree)
    tools = {entry.sha256 for path, (entry, _) in tree.items() if entry.kind == "file" and path.startswith(TOOLS)}
    for one in cpio.members(data):
        if not stat.S_ISDIR(one.mode) and (why := _fault(one, tree, real, tools)):
            yield one.path, why


def _fault(one: cpio.Member, tree: Tree, real: Resolver, tools: Collection[str]) -> str:
    if one.path != normpath(one.path):
        return "is a path that leads elsewhere"
    if stat.S_ISLNK(one.mode):
        target = one.data.decode("utf-8", "surrogateescape")
        leads = real.end(normpath(join("/", dirname(one.path), target)))
        same = LINKS.get(one.path) == target or leads == real.end(f"/{one.path}")
        return "" if same else f"leads to {target}, and not so on the disk"
    if not stat.S_ISREG(one.mode):
        return "is a device or a pipe"
    digest = hashlib.sha256(one.data).hexdigest()
    ends = map(real.end, (f"/{one.path}", *(f"{folder}/{one.path}" for folder in OWN)))
    if (
        MADE.fullmatch(one.path)
        or any(tree[end][0].sha256 == digest for end in ends if end in tree)
        or (digest in tools and TOOLS_IN.fullmatch(one.path))
    ):
        return ""
    text = one.data.decode("utf-8", "replace").split("\n")
    line = next((line for path, line in LINES.items() if path.fullmatch(one.path)), None)
    return "" if line is not None and all(map(line.fullmatch, text)) else "is no file of the disk"
