"""What artefacts say of their licences: read once for each, and remembered in the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import ValidationError

from dsvm import ecosystems
from dsvm.audit.evidence import Evidence
from dsvm.ecosystems import StatesLicenses
from dsvm.model import LockError, Pin, Section, Stated, StoreError

FILE = "licenses"
READER = 1  # of what reads artefacts: with another number all are read again
MOST_LINKS = 8  # from a package to the one whose terms are its own
MANY = 50  # artefacts that take so long that people want to know


@dataclass(frozen=True)
class Answers:
    """Every pin of a lock once, with what its artefact says; None for one that is not in the store."""

    found: dict[str, Stated | None] = field(default_factory=dict)
    # pins whose ecosystem's artefacts say nothing of licences
    silent: set[str] = field(default_factory=set)

    def of(self, pin: Pin) -> Stated | None:
        return self.found.get(pin.sha256)


def answers(evidence: Evidence) -> Answers:
    """What all artefacts of a lock say; what is not remembered is read now."""
    return evidence.once(f"licenses {evidence.lock.variant}", lambda: _answers(evidence))


def _answers(evidence: Evidence) -> Answers:
    made, store = Answers(), evidence.store
    remembered = store.readings(FILE, READER)
    waiting: dict[str, tuple[StatesLicenses, Pin]] = {}
    readers = {name: _reader(name) for name in {section.ecosystem for section in evidence.lock.sections}}
    for section, pin in evidence.pins():
        ecosystem = readers[section.ecosystem]
        if ecosystem is None:
            made.silent.add(pin.sha256)
        elif (kept := _valid(remembered.get(pin.sha256), pin)) is not None:
            made.found[pin.sha256] = kept
        else:
            made.found[pin.sha256] = None
            waiting[pin.sha256] = (ecosystem, pin)
    here = {sha256: one for sha256, one in waiting.items() if store.size(sha256) is not None}
    if len(here) >= MANY:
        evidence.echo(f"audit: reading the licences of {len(here)} artefacts, once")
    with ThreadPoolExecutor(4) as pool:
        read = pool.map(lambda one: _read(evidence, *one), here.values())
        for (_, pin), said in zip(here.values(), read, strict=True):
            if said is not None:
                made.found[pin.sha256] = said
                remembered.put(pin.sha256, {"registry": pin.registry, **said.model_dump(mode="json")})
    remembered.save()
    store.hashed.save()
    return made


def licenses_by_digest(evidence: Evidence) -> dict[str, str]:
    """SHA-256 of each artefact whose licence is known -> that, as an SPDX expression; of the work itself where told."""
    found = {}
    for section, pin in once(evidence):
        said = resolved(evidence, section, pin)
        if said is not None and (expression := said.main or said.expression):
            found[pin.sha256] = str(expression)
    return found


def resolved(evidence: Evidence, section: Section, pin: Pin) -> Stated | None:
    """What an artefact says, or the one that it refers to; None when one of them is not in the store."""
    known = answers(evidence)
    said = known.of(pin)
    names = _by_name(evidence)
    for _ in range(MOST_LINKS):
        if said is None or said.same_as is None:
            return said
        other = names.get((section.ecosystem, said.same_as))
        if other is None:
            return Stated(file=said.file, why=f"its terms are those of {said.same_as}, which this lock has not")
        said = known.of(other)
    return Stated(file=said.file if said else "", why="packages refer to each other for their terms")


def _by_name(evidence: Evidence) -> Mapping[tuple[str, str], Pin]:
    """(ecosystem, name) -> pin."""
    return evidence.once(
        f"names {evidence.lock.variant}",
        lambda: {(section.ecosystem, pin.name): pin for section, pin in evidence.pins()},
    )


def once(evidence: Evidence) -> Iterator[tuple[Section, Pin]]:
    """Every artefact once, where it stands first."""
    seen: set[str] = set()
    for section, pin in evidence.pins():
        if pin.sha256 not in seen:
            seen.add(pin.sha256)
            yield section, pin


def _reader(name: str) -> StatesLicenses | None:
    try:
        ecosystem = ecosystems.get(name)
    except LockError:
        return None
    return ecosystem if isinstance(ecosystem, StatesLicenses) else None


def _valid(kept: object, pin: Pin) -> Stated | None:
    """What the store remembers, when it has the form of that and was read for the same registry."""
    if not isinstance(kept, dict) or kept.get("registry") != pin.registry:
        return None
    said = kept.copy()
    del said["registry"]
    try:
        return Stated.model_validate(said)
    except ValidationError:
        return None


def _read(evidence: Evidence, ecosystem: StatesLicenses, pin: Pin) -> Stated | None:
    """What the artefact says; None when it is not there, or damaged."""
    try:
        if not evidence.store.has(pin.sha256, pin.size):
            return None
        return ecosystem.licenses(pin, evidence.store.path(pin.sha256))
    except ValidationError as error:
        return Stated(why=f"what it says has no form that can be kept: {error.error_count()} faults")
    except (OSError, StoreError):
        return None
