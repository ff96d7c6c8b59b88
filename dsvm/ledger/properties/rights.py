"""Files that run with other rights than their user's, or that everybody may write."""

from __future__ import annotations

from collections.abc import Iterator

from dsvm.ledger.comparing import Difference, Verdict
from dsvm.ledger.properties.sight import Sight
from dsvm.model import Entry

SETUID, SETGID, STICKY = 0o4000, 0o2000, 0o1000
CAPABILITY = "security.capability="
ACCESS_LIST = "system.posix_acl_"
# https://github.com/torvalds/linux/blob/v6.6/include/uapi/linux/capability.h
CAPABILITIES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner"),
    *("sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"),
    *("sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"),
    *("mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"),
    "checkpoint_restore",
)


def rights(sight: Sight) -> Iterator[Difference]:
    """Setuid, setgid, capabilities, and what everybody may write, beyond what packages say themselves."""
    for path, (entry, layer) in sight.tree.items():
        if entry.kind == "link":
            continue
        own = [one for one, _ in sight.wanted.get(path, ())]
        for verdict, what in (*_others(entry, own), *_open(entry, own)):
            yield Difference(verdict, path, what, "", layer)


def _others(entry: Entry, own: list[Entry]) -> Iterator[tuple[Verdict, str]]:
    if entry.kind == "file":
        kinds: tuple[tuple[int, Verdict], ...] = ((SETUID, "setuid"), (SETGID, "setgid"))
        for bit, verdict in kinds:
            if entry.mode & bit and not any(one.mode >= 0 and one.mode & bit for one in own):
                whose = f"user {entry.uid}" if bit == SETUID else f"group {entry.gid}"
                yield verdict, f"whoever runs it is {whose}: {entry.mode:04o}"
    for one in entry.xattrs:
        if one.startswith(CAPABILITY) and not any(one in other.xattrs for other in own):
            yield "capability", f"whoever runs it may do what root may: {capabilities(one.removeprefix(CAPABILITY))}"


def _open(entry: Entry, own: list[Entry]) -> Iterator[tuple[Verdict, str]]:
    shared = entry.mode & 0o002 and not (entry.kind == "folder" and entry.mode & STICKY)
    if shared and entry.kind in ("file", "folder") and not any(one.mode == entry.mode for one in own):
        yield "writable", f"everybody may write it: {entry.mode:04o}"
    for one in entry.xattrs:
        if one.startswith(ACCESS_LIST) and not any(one in other.xattrs for other in own):
            yield "writable", "it has an access control list, which lets in others than its mode says"


def capabilities(value: str) -> str:
    """The names in a value of security.capability, in hex: net_raw, sys_admin.

    Four bytes of version and flags, then twice the permitted and the inheritable ones, all little-endian:
    https://github.com/torvalds/linux/blob/v6.6/include/uapi/linux/capability.h
    """
    data = bytes.fromhex(value)
    numbers = [int.from_bytes(data[start : start + 4], "little") for start in range(4, len(data), 4)]
    permitted = sum(number << 32 * half for half, number in enumerate(numbers[:4:2]))
    names = [name for bit, name in enumerate(CAPABILITIES) if permitted >> bit & 1]
    return ", ".join(names) or "none by name"
