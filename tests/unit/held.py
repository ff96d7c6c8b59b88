"""What artefacts promise of an image, beside what really stands in a folder: for tests of all ecosystems."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tiny import project

from dsvm import ecosystems
from dsvm.ecosystems import HoldsFiles
from dsvm.host import members
from dsvm.ledger.comparing import compare
from dsvm.ledger.promises import Promises
from dsvm.model import Entry, Pin, Section

Tree = dict[str, tuple[Entry, int]]


def holder(name: str) -> HoldsFiles:
    found = ecosystems.get(name)
    assert isinstance(found, HoldsFiles)
    return found


def section_of(ecosystem: str, pins: Iterable[Pin], extra: dict[str, object]) -> Section:
    return Section(
        id=f"tool-{ecosystem}",
        ecosystem=ecosystem,
        tools=("tool",),
        request=[],
        input="0" * 64,
        epoch=0,
        pins=tuple(pins),
        extra=extra,
    )


def pin_of(path: Path, name: str, registry: str, **more: str) -> Pin:
    data = path.read_bytes()
    said = {"version": "1.0", "file": path.name, **more}
    return Pin(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest(), registry=registry, **said)


def promised(section: Section, artefacts: Mapping[str, Path]) -> Promises:
    """What a section's artefacts, by name of their pins, promise of an image."""
    ecosystem, base = holder(section.ecosystem), project().bases["debian-12"]
    place = ecosystem.rewritten_for(section)
    found = Promises(generated=[*ecosystem.generated(section, base)])
    for pin in section.pins:
        for path, entry in ecosystem.placed(section, pin, ecosystem.contents(pin, artefacts[pin.name], place), base):
            found.add(path, entry, f"{pin.name} {pin.version}")
    for pool in ecosystem.pools(section):
        found.pools[pool.prefix] = {
            (path.rpartition("/")[2], entry.sha256)
            for pin in section.pins
            if pin.name in (pool.pins or (pin.name,))
            for path, entry in ecosystem.contents(pin, artefacts[pin.name], place)
        }
    return found


def image_of(folder: Path) -> Tree:
    """What is in a folder, as in an image's."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(folder, "/")
    out.seek(0)
    return {path: (entry._replace(uid=0, gid=0), 0) for path, entry in members(out)}


def differences(image: Mapping[str, tuple[Entry, int]], promises: Promises) -> list[tuple[str, str]]:
    return [(one.verdict, one.path) for one in compare(image, promises)]
