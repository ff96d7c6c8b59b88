"""What differs beside packages: licences, known vulnerabilities, and the layers that an image gets anew."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dsvm import audit, ecosystems
from dsvm.diff.contents import Contents
from dsvm.diff.words import further_words
from dsvm.model import (
    Advice,
    Artefact,
    Difference,
    Finding,
    LayerChange,
    Layers,
    LicenseChange,
    Lock,
    LockError,
    PackageChange,
    Vulnerabilities,
    digest_of,
)
from dsvm.plan import in_images
from dsvm.session import Session


def further(
    found: Difference,
    old: Contents,
    new: Contents,
    session: Session,
    *,
    advisories: tuple[Path, ...] = (),
    today: datetime.date,
) -> Difference:
    """`found` with all that, as far as it can be known here and without a network; the headline says it too.

    Without `advisories` those count that the store keeps of a service.
    """
    layers = _layers(old, new, session)
    if not found.packages:  # the same artefacts: the same terms and faults
        return found.model_copy(update={"layers": layers})
    if not advisories and any((kept := session.store.root / audit.KEPT).glob("*.json")):
        advisories = (kept,)
    shared: dict[str, object] = {}
    before, after = (_known(one, session, advisories, today, shared) for one in (old, new))
    packages = tuple(_licensed(one, before.licenses, after.licenses) for one in found.packages)
    made = found.model_copy(
        update={
            "packages": packages,
            "licenses": tuple(_terms(packages)),
            "vulnerabilities": _vulnerabilities(before, after),
            "layers": layers,
        }
    )
    return made.model_copy(update={"headline": ", ".join([found.headline, *further_words(made)])})


@dataclass(frozen=True)
class _Known:
    """What is known of a side that is a lock; nothing of another one."""

    # SHA-256 -> SPDX expression
    licenses: Mapping[str, str]
    # (advisory, package) -> finding
    vulnerabilities: Mapping[tuple[str, str], Finding] | None = None
    source: str = ""


def _known(
    side: Contents, session: Session, advisories: tuple[Path, ...], today: datetime.date, shared: dict[str, object]
) -> _Known:
    lock = side.lock
    if lock is None or lock.variant not in session.catalog.variants:
        return _Known({})
    # two locks of one variant: only what was read of files is the same for both
    cache = {key: value for key, value in shared.items() if key.startswith("files ")}
    evidence = audit.Evidence(session.catalog, lock, session.store, today, advisories, echo=session.note, cache=cache)
    licenses = audit.licenses_by_digest(evidence)
    found = audit.known_vulnerabilities(evidence, side.inside)
    shared |= cache
    return _Known(licenses, found, audit.asked_of(evidence) if found is not None else "")


# --- licences and vulnerabilities --------------------------------------------------------------------------


def _licensed(change: PackageChange, old: Mapping[str, str], new: Mapping[str, str]) -> PackageChange:
    def with_license(one: Artefact | None, known: Mapping[str, str]) -> Artefact | None:
        license = known.get(one.sha256 or "") if one is not None else None
        return one.model_copy(update={"license": license}) if one is not None and license else one

    return change.model_copy(update={"old": with_license(change.old, old), "new": with_license(change.new, new)})


def _terms(packages: tuple[PackageChange, ...]) -> Iterator[LicenseChange]:
    for one in packages:
        was, now = (side.license if side is not None else None for side in (one.old, one.new))
        if was is not None and now is not None and was != now:
            yield LicenseChange(section=one.section, name=one.name, old=was, new=now)


def _vulnerabilities(old: _Known, new: _Known) -> Vulnerabilities | None:
    before, after = old.vulnerabilities, new.vulnerabilities
    if before is None or after is None:
        return None
    return Vulnerabilities(
        source=new.source,
        fixed=tuple(_advice(before[key]) for key in sorted(before.keys() - after.keys())),
        new=tuple(_advice(after[key]) for key in sorted(after.keys() - before.keys())),
        still=len(before.keys() & after.keys()),
    )


def _advice(one: Finding) -> Advice:
    return Advice(id=one.id, package=one.packages[0], level=one.level, what=one.what)


# --- layers ------------------------------------------------------------------------------------------------


def _layers(old: Contents, new: Contents, session: Session) -> Layers | None:
    if old.layers is not None and new.layers is not None:
        return _of_images(old.layers, new.layers)
    if old.lock is None or new.lock is None or not (old.is_lock and new.is_lock):
        return None
    before, after = (dict(_parts(one.of("docker"))) for one in (old.lock, new.lock))
    changed = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None or now is None or was.digest != now.digest:
            change = "added" if was is None else "removed" if now is None else "changed"
            changed.append(LayerChange(layer=name, change=change, size=sum(now.files.values()) if now else None))
    had = {sha256 for one in before.values() for sha256 in one.files}
    wanted = {sha256: size for one in after.values() for sha256, size in one.files.items() if sha256 not in had}
    here = sum(size for sha256, size in wanted.items() if session.store.size(sha256) == size)
    same = len(before.keys() | after.keys()) - len(changed)
    return Layers(same=same, changed=tuple(changed), fetch=sum(wanted.values()), here=here, unpacked=False)


def _of_images(old: Mapping[str, int | None], new: Mapping[str, int | None]) -> Layers:
    gone = [LayerChange(layer=one, change="removed") for one in old if one not in new]
    come = [LayerChange(layer=one, change="added", size=size) for one, size in new.items() if one not in old]
    sizes = [one.size for one in come]
    fetch = None if None in sizes else sum(size or 0 for size in sizes)
    return Layers(same=len(old.keys() & new.keys()), changed=(*gone, *come), fetch=fetch, unpacked=True)


@dataclass(frozen=True)
class _Part:
    """What is in one layer: SHA-256 -> bytes of its artefacts, and a digest of that."""

    files: Mapping[str, int]
    digest: str


def _parts(lock: Lock) -> Iterator[tuple[str, _Part]]:
    """The layers of a lock's image, by the part of a section that each is."""
    for section in lock.sections:
        if not in_images(section):
            continue
        try:
            parts = ecosystems.get(section.ecosystem).parts(section)
        except (LockError, KeyError, TypeError, ValueError):  # a lock of another time
            parts = (section,)
        for part in parts:
            files = {pin.sha256: pin.size for pin in part.pins}
            yield part.id, _Part(files, digest_of(sorted(files)))
