"""Who may come in, and who may do everything."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from dsvm.ledger.comparing import Difference
from dsvm.ledger.properties.sight import Sight

USERS = {"ds": 1000}  # whom an image has by our own script
USER_IDS = range(1000, 60000)  # of people: https://www.debian.org/doc/debian-policy/ch-opersys.html#uid-and-gid-classes
PASSWD, SHADOW, GROUP, GSHADOW = "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"
SUDOERS = "/etc/sudoers"
ELSEWHERE = "x"  # in the place of a password: it is in shadow
# groups whose members can be root whenever they like
MIGHTY = ("root", "sudo", "wheel", "admin", "docker", "disk", "shadow", "lxd", "libvirt", "incus-admin")
OF_ROOT = ("root", "sync", "shutdown", "halt", "operator")  # whose group is root's on Red Hat's systems
AUTHORIZED = re.compile(r"/(?:root|home/[^/]+)/\.ssh/authorized_keys2?|/etc/ssh/authorized_keys.*")
# where the default is to deny before it is asked, 'required' lets in nobody
OPEN_DOOR = re.compile(r"^\s*auth\s+sufficient\s+(?:\S*/)?pam_permit\.so", re.MULTILINE)
GRANT = re.compile(r"^(?!Defaults|[A-Za-z]+_Alias\b)\S.*?=", re.ASCII)


def accounts(sight: Sight) -> Iterator[Difference]:
    """Accounts that nobody expects, passwords, members of groups that can do everything, and doors that are open."""
    yield from _users(sight.text(PASSWD), USERS)
    for path in (SHADOW, GSHADOW):
        yield from _passwords(path, sight.text(path))
    yield from _members(sight.text(GROUP), sight.text(PASSWD), sight.trusted)
    for path in sight.strangers:
        if AUTHORIZED.fullmatch(path) and sight.tree[path][0].size:
            yield Difference("account", path, "whoever has the key of one of its lines comes in over SSH")
        elif path.startswith("/etc/pam.d/") and OPEN_DOOR.search(sight.text(path)):
            yield Difference("account", path, "it lets in everybody, whatever their password is (pam_permit)")


def _users(passwd: str, users: Mapping[str, int]) -> Iterator[Difference]:
    """By the text of passwd; `users`, name -> uid, are those of people.

    https://man7.org/linux/man-pages/man5/passwd.5.html
    """
    for line in passwd.splitlines():
        name, password, uid, *_ = [*line.split(":"), "", "", ""]
        if not uid.isdigit():
            yield Difference("account", PASSWD, f"a line that is no account: {line[:60]!r}")
        elif int(uid) == 0 and name != "root":
            yield Difference("account", PASSWD, f"{name} has the uid 0, as root has")
        elif int(uid) in USER_IDS and users.get(name) != int(uid):
            yield Difference("account", PASSWD, f"{name} ({uid}) is an account that nobody asked for")
        if uid.isdigit() and password != ELSEWHERE:
            yield from _passwords(PASSWD, line)


def _passwords(path: str, text: str) -> Iterator[Difference]:
    """https://man7.org/linux/man-pages/man5/shadow.5.html, gshadow.5.html"""
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        password = rest.partition(":")[0]
        if not password and path != GSHADOW:
            yield Difference("account", path, f"{name} has an empty password: whoever likes is {name}")
        elif password and password[0] not in "!*":
            yield Difference("account", path, f"{name} has a password, which is the same in every copy of the image")


def _members(group: str, passwd: str, trusted: Collection[tuple[str, str]] = ()) -> Iterator[Difference]:
    ids = {}
    for line in group.splitlines():
        name, _, number, members, *_ = [*line.split(":"), "", "", ""]
        ids[number] = name
        for member in members.split(",") if name in MIGHTY else ():
            if member and member != name and (member, name) not in trusted:
                yield Difference("account", GROUP, f"{member} is in the group {name}, whose members can become root")
    for line in passwd.splitlines():
        user, _, _, number, *_ = [*line.split(":"), "", "", ""]
        if ids.get(number) in MIGHTY and ids[number] != user and user not in OF_ROOT:
            yield Difference("account", PASSWD, f"{user}'s own group is {ids[number]}, whose members can become root")


def sudoers(sight: Sight) -> Iterator[Difference]:
    """What sudo lets others do, beyond what packages and tools have set: https://www.sudo.ws/docs/man/sudoers.man/."""
    for path in (SUDOERS, *sight.below(f"{SUDOERS}.d/")):
        entry = sight.tree.get(path)
        if entry is None or sight.is_vouched(path):
            continue
        text = sight.text(path).replace("\\\n", " ")
        for line in (one.strip() for one in text.splitlines()):
            if GRANT.match(line):
                yield Difference("sudo", path, f"it lets others be root, or somebody else: {line[:100]}", "", entry[1])
