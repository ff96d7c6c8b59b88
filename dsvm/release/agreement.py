"""Whether what is said of something that was made, provenance and bill of materials, agrees with its lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dsvm.model import Format, Lock
from dsvm.plan import in_images
from dsvm.release.provenance import Provenance

Fault = Callable[[str], None]


@dataclass(frozen=True)
class Thing:
    """What was made: its variant and format, the digest of its lock, and its own digests (`sha256:HEX`)."""

    variant: str
    format: Format
    lock: str
    digests: tuple[str, ...]


def read_lock(data: bytes, thing: Thing, fault: Fault) -> Lock | None:
    """The lock beside a thing, when it is the one that it was made from."""
    try:
        found = Lock.model_validate_json(data).of(thing.format)
    except ValidationError:
        fault("no lock")
        return None
    if found.digest != thing.lock:
        fault(f"another lock than that of the image, {thing.lock[:12] or 'which says none'}")
        return None
    return found


def read_provenance(predicate: dict[str, Any], thing: Thing, lock: Lock | None, fault: Fault) -> Provenance | None:
    """What a provenance says; `fault` is told what of it is not so."""
    try:
        found = Provenance.of(predicate)
    except ValueError as error:
        fault(f"its provenance is none of ours: {error}")
        return None
    definition = found.build_definition
    if definition.internal_parameters.lock != thing.lock:
        fault("its provenance says another lock")
    if definition.external_parameters.variant != thing.variant:
        fault("its provenance says another variant")
    if definition.external_parameters.format != thing.format:
        fault("its provenance says another format")
    if lock is not None and found.artefacts != {pin.sha256 for one in lock.sections for pin in one.pins}:
        fault("its provenance names other artefacts than its lock")
    return found


def components_of(bill: dict[str, Any], thing: Thing, lock: Lock | None, fault: Fault) -> int | None:
    """How many components a bill in CycloneDX's form has; `fault` is told what of it is not so."""
    try:
        properties = {one["name"]: one["value"] for one in bill["metadata"]["component"]["properties"]}
        components = [one for one in bill["components"] if one["type"] != "application"]
        digests = {one["content"] for part in components for one in part.get("hashes", ())}
    except (KeyError, TypeError, AttributeError):
        fault("its bill of materials is none of ours")
        return None
    if properties.get("dsvm:lock") != thing.lock:
        fault("its bill of materials says another lock")
    if properties.get("dsvm:image") not in thing.digests:
        fault("its bill of materials is of another image")
    if lock is not None:
        known = {pin.sha256 for one in lock.sections if in_images(one) for pin in one.pins}
        if strange := digests - known:
            fault(f"its bill of materials names {len(strange)} artefacts that its lock has not")
    return len(components)
