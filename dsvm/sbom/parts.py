"""What artefacts bring of others, each read once and remembered in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import TypeAdapter

from dsvm import ecosystems
from dsvm.ecosystems import BringsOthers
from dsvm.model import LockError, Pin, Section
from dsvm.sbom.bill import Part
from dsvm.store import Store

FILE = "inside"
READER = 1  # of what reads artefacts: with another number all are read again
LONGEST = 500  # characters of one field
KEPT = TypeAdapter(tuple[Part, ...])


def parts_of(sections: Iterable[Section], store: Store) -> Mapping[str, Sequence[Part]]:
    """SHA-256 of each artefact in the store that brings something of others -> that, sorted."""
    remembered = store.readings(FILE, READER)
    found: dict[str, tuple[Part, ...]] = {}
    missing: dict[str, tuple[BringsOthers, Pin]] = {}
    for section in sections:
        ecosystem = ecosystems.get(section.ecosystem)
        if not isinstance(ecosystem, BringsOthers):
            continue
        for pin in section.pins:
            kept = remembered.get(pin.sha256)
            try:
                if kept is None:
                    raise ValueError
                found[pin.sha256] = KEPT.validate_python(kept["parts"])
            except (ValueError, KeyError):
                missing[pin.sha256] = ecosystem, pin

    def read(one: tuple[BringsOthers, Pin]) -> tuple[Part, ...] | None:
        ecosystem, pin = one
        if store.size(pin.sha256) != pin.size:
            return None
        parts: dict[tuple[str, str, str | None], Part] = {}
        try:
            for inner in ecosystem.inside(pin, store.path(pin.sha256)):
                version = _line(inner.version) if inner.version else None
                part = Part(_line(inner.name), version, _line(inner.file), inner.purl, inner.sha256, inner.license)
                parts.setdefault((part.file, part.name, part.version), part)
        except (LockError, OSError, ValueError):
            return ()
        return tuple(parts[key] for key in sorted(parts, key=lambda key: (*key[:2], key[2] or "")))

    with ThreadPoolExecutor(4) as pool:
        for sha256, parts in zip(missing, pool.map(read, missing.values()), strict=True):
            if parts is not None:
                found[sha256] = parts
                remembered.put(sha256, {"parts": KEPT.dump_python(parts, mode="json")})
    remembered.save()
    return found


def _line(text: str) -> str:
    return "".join(one if one.isprintable() else "\ufffd" for one in text[:LONGEST])
