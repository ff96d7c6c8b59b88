"""What making a machine adds to the files of its container image and of its own packages.

Packages' own scripts make it, `scripts/image/finish-machine`, and the boot in which Packer finishes the disk. Whatever
can be told to the byte is told so; a pattern (`GENERATED`) is for what is computed from everything on the disk.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from fnmatch import translate

from dsvm.ecosystems import Generated
from dsvm.ledger import Making, Sight
from dsvm.model import Entry

INITRAMFS_PATTERN = "/boot/initrd.img-*"
INITRAMFS = re.compile(translate(INITRAMFS_PATTERN))
# https://man7.org/linux/man-pages/man8/depmod.8.html
MODULE_LISTS = (
    *("alias", "alias.bin", "builtin.alias.bin", "builtin.bin", "dep", "dep.bin", "devname", "softdep"),
    *("symbols", "symbols.bin", "weakdep"),
)
GENERATED = (
    *(Generated(f"/usr/lib/modules/*/modules.{one}", "depmod") for one in MODULE_LISTS),
    Generated(INITRAMFS_PATTERN, "update-initramfs: see initramfs.py"),
    Generated("/boot/grub/unicode.pf2", "grub-common", "copy"),
    Generated("/var/lib/grub/ucf/*", "grub's packages: the templates of its settings", "copy"),
    Generated("/usr/lib/udev/hwdb.bin", "systemd-hwdb: the .hwdb files beside it"),
    Generated("/var/lib/systemd/catalog/database", "journalctl --update-catalog"),
    Generated(
        "/var/lib/systemd/deb-systemd-user-helper-enabled/*", "deb-systemd-helper: what it has enabled for users"
    ),
    Generated("/run/*", "nobody sees it: systemd mounts memory there"),
    # what timers do when the build's boot is at midnight
    Generated("/var/backups/dpkg.*", "dpkg-db-backup"),
    Generated("/var/backups/alternatives.tar.*", "dpkg-db-backup"),
    Generated("/var/backups/apt.extended_states.*", "apt's daily backup"),
    Generated("/var/lib/logrotate/status", "logrotate"),
    Generated("/var/cache/man/*", "mandb"),
    Generated("/etc/resolv.conf", "the engine's own, which making takes away", "gone"),
    Generated("/etc/mtab", "the engine's own", "gone"),
    Generated("/var/lib/cloud/*", "cloud-init: of one machine, which the last step takes away", "gone"),
    Generated("/var/lib/dhcp/*", "of one machine, which the last step takes away", "gone"),
)
MACHINE_ID = "/etc/machine-id"
COMMENT = r"\s*(?:#.*)?"
# path -> what each of its lines is
TEXTS: Mapping[str, str] = {
    "/etc/hosts.allow": COMMENT,  # libwrap0
    "/etc/hosts.deny": COMMENT,
    "/etc/modules": COMMENT,  # kmod
    "/etc/initramfs-tools/modules": COMMENT,  # initramfs-tools
    "/etc/locale.conf": rf"{COMMENT}|[A-Z_]+=[\w.@-]*",  # systemd, of /etc/default/locale
    "/etc/networks": r"(?:(?:default|loopback|link-local)\s+[0-9.]+)?",  # netbase
    "/etc/X11/default-display-manager": "/usr/sbin/lightdm|",  # lightdm
    "/etc/python3/debian_config": rf"{COMMENT}|\[DEFAULT\]|byte-compile = standard",  # python3
    "/boot/grub/grubenv": COMMENT,  # grub-common
    # cloud-init; ours sorts after it
    "/etc/cloud/cloud.cfg.d/90_dpkg.cfg": rf"{COMMENT}|datasource_list: \[[\w, ]*\]",
    "/etc/.updated": rf"{COMMENT}|TIMESTAMP_NSEC=\d+",  # systemd-update-done
    "/var/.updated": rf"{COMMENT}|TIMESTAMP_NSEC=\d+",
    MACHINE_ID: "uninitialized|",  # systemd: what gets its name at the first start
}
# path -> the template that its package makes it of, and what lines may be else
TEMPLATES: Mapping[str, tuple[str, str]] = {
    "/etc/default/grub": ("/usr/share/grub/default/grub", r"#?GRUB_DISABLE_OS_PROBER=(?:true|false)"),
}
SYSTEM_UNITS = "/lib/systemd/system"
# path -> where the link there may lead
LINKS: Mapping[str, tuple[str, ...]] = {
    "/etc/mtab": ("../proc/self/mounts",),  # systemd-tmpfiles
    "/etc/vconsole.conf": ("default/keyboard",),
    "/etc/resolv.conf": ("../run/systemd/resolve/stub-resolv.conf",),
    "/etc/runit/runsvdir/default/ssh": ("/etc/sv/ssh",),  # openssh-server
    "/etc/systemd/system/display-manager.service": ("/lib/systemd/system/lightdm.service",),  # lightdm
    "/etc/systemd/system/default.target": tuple(
        f"{usr}{SYSTEM_UNITS}/multi-user.target" for usr in ("", "/usr")
    ),  # finish-machine
    "/var/lib/dbus/machine-id": ("/etc/machine-id",),  # dbus
    "/var/lib/wtmpdb/wtmp.db": ("../../log/wtmp.db",),  # libpam-wtmpdb
}
ROOT = "root"
# path -> its mode, user and group, which a package's script sets, or systemd-tmpfiles
RIGHTS: Mapping[str, tuple[int, str, str]] = {
    "/usr/bin/ssh-agent": (0o2755, ROOT, "_ssh"),
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper": (0o4754, ROOT, "messagebus"),
    "/etc/credstore": (0o700, ROOT, ROOT),
    "/etc/credstore.encrypted": (0o700, ROOT, ROOT),
    "/etc/polkit-1/rules.d": (0o700, "polkitd", ROOT),
    "/usr/share/polkit-1/rules.d": (0o700, "polkitd", ROOT),
}
NEWEST = re.compile(r"(?:/boot)?/(vmlinuz|initrd\.img)(?:\.old)?")  # the links to kernels: linux-update-symlinks
INSTALLED = re.compile(r"^(Alias|RequiredBy)=(.*)$", re.MULTILINE)  # of units: systemctl enable
UNIT_KINDS = (".service", ".socket", ".timer", ".target", ".path")


def entries(disk: Sight) -> Iterator[tuple[str, Entry]]:
    """What may be where it is on the disk, exactly so."""
    yield from _texts(disk)
    for path, targets in LINKS.items():
        if path in disk.tree:
            yield from ((path, Entry("link", target=target)) for target in targets)
    yield from _kernels(disk)
    yield from _units(disk)
    yield from _rights(disk)


def _texts(disk: Sight) -> Iterator[tuple[str, Entry]]:
    """Files that have nothing but lines which are known."""
    known = {path: (line, "") for path, line in TEXTS.items()}
    known |= {path: (line, disk.text(template)) for path, (template, line) in TEMPLATES.items()}
    for path, (line, template) in known.items():
        entry = disk.tree[path][0] if path in disk.tree else None
        if entry is None or entry.kind != "file":
            continue
        data = disk.data(path)
        lines = {*data.decode("utf-8", "replace").split("\n")} - {*template.split("\n")}
        whole = hashlib.sha256(data).hexdigest() == entry.sha256  # nothing is read of large files
        if whole and all(re.fullmatch(line, one) for one in lines):
            yield path, entry._replace(mode=0o444 if path == MACHINE_ID else 0o644, uid=0, gid=0)


def _kernels(disk: Sight) -> Iterator[tuple[str, Entry]]:
    """Links to a kernel, or to what it starts with, that is in /boot."""
    for path, (entry, _) in disk.tree.items():
        found = NEWEST.fullmatch(path)
        end = disk.real.end(path) if found is not None and entry.kind == "link" else ""
        if found is not None and end.startswith(f"/boot/{found[1]}-") and end in disk.tree:
            yield path, entry


def _units(disk: Sight) -> Iterator[tuple[str, Entry]]:
    """Names that units have beside their own, and what they are required by, as their files say."""
    folder = disk.real.end(SYSTEM_UNITS)
    units = [one for one in disk.below(f"{folder}/") if one.endswith(UNIT_KINDS) and one.count("/") == 5]
    for path, data in disk.read(units):
        name = path.rpartition("/")[2]
        for kind, words in INSTALLED.findall(data.decode("utf-8", "replace")):
            for word in words.split():
                place = word if kind == "Alias" else f"{word}.requires/{name}"
                if f"/etc/systemd/system/{place}" in disk.tree:
                    for usr in ("", "/usr"):
                        link = Entry("link", target=f"{usr}{SYSTEM_UNITS}/{name}")
                        yield f"/etc/systemd/system/{place}", link


def _rights(disk: Sight) -> Iterator[tuple[str, Entry]]:
    users, groups = (_numbers(disk.text(path)) for path in ("/etc/passwd", "/etc/group"))
    for path, (mode, user, group) in RIGHTS.items():
        uid, gid = users.get(user, 0), groups.get(group, 0)
        # nobody else has root's number, whatever its files say
        if path in disk.tree and (uid == 0) == (user == ROOT) and (gid == 0) == (group == ROOT):
            yield path, disk.tree[path][0]._replace(mode=mode, uid=uid, gid=gid)


def _numbers(text: str) -> dict[str, int]:
    """Name -> number, of the lines of passwd or group."""
    rows = ([*line.split(":"), "", ""] for line in text.splitlines())
    return {name: int(number) for name, _, number, *_ in rows if number.isdecimal()}


MAKING = Making(
    entries,
    GENERATED,
    trusted=frozenset({("ds", "sudo")}),
    lacks=("libatm.so.1",),  # of iproute2, for networks of ATM
)
