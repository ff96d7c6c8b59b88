"""Private keys, tokens and passwords in an image, which everybody has who has the image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dsvm.ledger.comparing import Difference
from dsvm.ledger.contents import SETTINGS
from dsvm.ledger.properties.sight import Sight

# What steps make of lists of packages: full of digests
LISTS = re.compile(
    r"/etc/dsvm/manifest\.json|/var/lib/dpkg/.*|/var/lib/rpm/.*|/usr/lib/sysimage/rpm/.*|.*\.dist-info/RECORD|/etc/ld\.so\.cache"
)
# Records of packages, full of digests too, which a step makes of them
RECORDS = re.compile(r".*/conda-meta/[^/]+\.json")
ACCOUNTS = re.compile(r"/etc/g?shadow")  # which rule `account` reads
MOST_FILES = 3000  # that are asked of the engine
MOST_SAID = 3


def secrets(sight: Sight) -> Iterator[Difference]:
    """Keys, tokens and passwords: in files that no package explains, in configuration, and in the environment."""
    # which takes as long to load as to read a small image's settings
    from dsvm.ledger.properties.forms import CONFIGURATION, found_in

    strangers = [path for path in sight.strangers if not LISTS.fullmatch(path) and not ACCOUNTS.fullmatch(path)]
    settings = [
        path
        for path in sight.below("/")
        if (path in sight.planned or SETTINGS.fullmatch(path)) and sight.is_vouched(path)
    ]
    for path, data in sight.read([path for path in settings if not LISTS.fullmatch(path)]):
        yield from _found(sight, path, found_in(path, _text(data), guess=path in sight.planned))
    for path, data in sight.read(strangers[:MOST_FILES]):
        yield from _found(sight, path, found_in(path, _text(data), guess=not RECORDS.fullmatch(path)))
    for name, value in sight.environment.items():
        if kinds := set(found_in(CONFIGURATION, f"{name}={value}", guess=True).values()):
            yield Difference("secret", "/", f"the environment variable {name}: {', '.join(sorted(kinds))}")
    if (more := len(strangers) - MOST_FILES) > 0:
        yield Difference("unread", "/", f"{more} files that nothing explains were not searched for secrets")


def _text(data: bytes) -> str:
    return "" if b"\0" in data[:8192] else data.decode("utf-8", "replace")


def _found(sight: Sight, path: str, kinds: Mapping[int, str]) -> Iterator[Difference]:
    if kinds:
        said = "; ".join(f"line {number}: {kind}" for number, kind in list(kinds.items())[:MOST_SAID])
        more = f"; and {len(kinds) - MOST_SAID} more" if len(kinds) > MOST_SAID else ""
        yield Difference("secret", path, f"it looks like a secret: {said}{more}", "", sight.tree[path][1])
