"""What work on a computer leaves behind, and no image should have: caches, logs, histories, an identity."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dsvm.ledger.comparing import Difference
from dsvm.ledger.properties.sight import Sight

HOME = r"/(?:root|home/[^/]+)"
HISTORY = r"\.(?:\w+_history|history|Rhistory|lesshst|viminfo|wget-hsts)"
KINDS = tuple(
    (what, re.compile(pattern))
    for what, pattern in (
        ("a history of commands", rf"{HOME}/(?:.*/)?{HISTORY}"),
        ("the name of one machine, the same in every copy", r"/etc/machine-id|/var/lib/dbus/machine-id"),
        ("chance that is the same in every copy", r"/var/lib/systemd/random-seed|/var/lib/urandom/random-seed"),
        ("a key of one machine, the same in every copy", r"/etc/ssh/ssh_host_\w+_key"),
        ("a cache", rf"{HOME}/(?:\.cache|\.npm|\.nv|\.conda/pkgs|\.yarn/cache|\.cargo/registry)/.*"),
        (
            "a cache",
            r"/var/cache/(?:apt|dnf|yum|ldconfig|man|conda|pip)/.*|/var/lib/apt/lists/.*|/opt/.*/pkgs/cache/.*",
        ),
        ("a log", rf"/var/log/.*|{HOME}/(?:.*/)?[^/]+\.log"),
        ("there for a while only", r"/tmp/.*|/var/tmp/.*|/var/crash/.*|/var/backups/.*|/.*/core\.\d+"),  # noqa: S108
    )
)
# https://www.freedesktop.org/software/systemd/man/latest/machine-id.html: what gets its name at the first start
UNNAMED = (b"", b"uninitialized\n")


def leftovers(sight: Sight) -> Iterator[Difference]:
    """Files that nobody installs, but for those that an artefact has."""
    for path in sight.strangers:
        entry, layer = sight.tree[path]
        kind = next((what for what, pattern in KINDS if pattern.fullmatch(path)), None)
        if kind is not None and entry.size and not (path.endswith("/machine-id") and sight.data(path) in UNNAMED):
            yield Difference("leftover", path, f"it is {kind}", "", layer)
