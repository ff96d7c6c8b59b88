"""What advisories call RPM packages, and the order of their versions.

https://ossf.github.io/osv-schema/#defined-ecosystems
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsvm.ecosystems.protocol import Advised
from dsvm.model import Base, Pin
from dsvm.store import Store

# https://rpm-software-management.github.io/rpm/manual/format_v4.html
LEAD, MAGIC, TAG_SOURCE = 96, b"\x8e\xad\xe8", 1044
MOST = 64 << 20  # bytes of a header
SOURCE = re.compile(r"(?P<name>[^/\s]+)-[^-/\s]+-[^-/\s]+\.(?:no)?src\.rpm")


def advised(pin: Pin, base: Base, store: Store) -> Sequence[Advised]:
    """What advisories may call it; nothing when the distribution is not where it comes from."""
    own = {suite.partition("/")[0] for suite in (base.bootstrap.suites if base.bootstrap else ())}
    ecosystems = _ecosystems(base)
    if pin.registry not in own or not ecosystems:
        return ()
    remembered = store.readings("rpm-sources", 1)
    source = remembered.word(pin.sha256)
    if source is None and store.size(pin.sha256) is not None:
        try:
            source = source_of(store.path(pin.sha256))
        except (OSError, ValueError, struct.error):
            source = None
        else:
            remembered.put(pin.sha256, source)
    names = dict.fromkeys((pin.name, *([source] if source else ())))
    certain = source is not None
    return [Advised(one, name, pin.version, certain=certain) for one in ecosystems for name in names]


def source_of(package: Path) -> str:
    """The name of the source package. Raises ValueError for what is no RPM package, or says none."""
    with package.open("rb") as file:
        file.seek(LEAD)
        for number in range(2):  # the signatures, then the header
            start = file.read(16)
            magic, _, entries, size = struct.unpack(">3sB4xII", start)
            if magic != MAGIC or entries * 16 + size > MOST:
                raise ValueError(f"{package.name}: no RPM package")
            index, data = file.read(entries * 16), file.read(size)
            if number == 0:
                file.seek(-size % 8, 1)
    for place in range(0, len(index), 16):
        tag, _, offset, _ = struct.unpack_from(">IIII", index, place)
        if tag == TAG_SOURCE:
            match = SOURCE.fullmatch(data[offset : data.index(b"\0", offset)].decode("ascii", "replace"))
            if match:
                return match["name"]
    raise ValueError(f"{package.name}: it names no source package")


def order(version: str) -> Any:
    """[EPOCH:]VERSION-RELEASE in rpm's order. Raises ValueError."""
    from univers.rpm import RpmVersion

    if not re.fullmatch(r"([0-9]{1,9}:)?[A-Za-z0-9._+~^%{}-]+", version):
        raise ValueError(f"'{version}' is no version of an RPM package")
    epoch, _, rest = version.rpartition(":")
    upstream, _, release = rest.partition("-")
    return RpmVersion(int(epoch or "0"), upstream, release)


def _ecosystems(base: Base) -> Sequence[str]:
    """Those of the base's release, as OSV has them."""
    major = base.release.partition(".")[0]
    if base.os == "rhel":
        return [f"Red Hat:enterprise_linux:{major}::{part}" for part in ("baseos", "appstream", "crb")]
    return {"rocky": [f"Rocky Linux:{major}"], "almalinux": [f"AlmaLinux:{major}"]}.get(base.os, [])
