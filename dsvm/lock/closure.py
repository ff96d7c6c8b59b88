"""What artefacts say of themselves, compared with the pins that they are of.

Nothing is installed that is another package, or another version, than its pin says, and nothing that nobody asked for:
a pin that somebody wrote into a lock by hand is found here, before anything of it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dsvm import ecosystems
from dsvm.catalog import Catalog
from dsvm.ecosystems import Asked, Described, ReadsArtefacts
from dsvm.errors import LockError
from dsvm.lock import trust
from dsvm.model import Base, Format, Lock, Pin, Section, digest_of
from dsvm.store import Store

FORM = 1  # of what is compared: with another number all is compared again


def compare(catalog: Catalog, lock: Lock, store: Store, format: Format | None = None) -> None:
    """Compare the sections of a lock, all or those of `format`, with their artefacts in the store; each once.

    Raises LockError with everything that an artefact says otherwise.
    """
    found = []
    known = trust.asked(catalog, lock)
    for section in (lock.of(format) if format is not None else lock).sections:
        ecosystem = ecosystems.get(section.ecosystem)
        if not isinstance(ecosystem, ReadsArtefacts) or section.id not in known:
            continue
        key = digest_of([FORM, section.ecosystem, section.request, [pin.model_dump() for pin in section.pins]])
        if store.compared.has(key):
            continue
        faults = section_faults(section, known[section.id], store)
        found += [f"{section.id}: {fault}" for fault in faults]
        if not faults:
            store.compared.add(key)
    store.compared.save()
    if found:
        more = [f"and {len(found) - trust.MOST_SHOWN} more"] if len(found) > trust.MOST_SHOWN else []
        raise LockError(
            f"the lock of {lock.variant} says what its artefacts do not:\n"
            + "\n".join(f"    {line}" for line in (*found[: trust.MOST_SHOWN], *more)),
            hint="Somebody edited it: restore it from version control, or remove it and run: "
            f"invoke lock --variant {lock.variant}",
        )


def section_faults(section: Section, asked: Asked, store: Store) -> list[str]:
    """What the artefacts of a section say otherwise, a line each; [] for an ecosystem whose artefacts say nothing."""
    ecosystem = ecosystems.get(section.ecosystem)
    if not isinstance(ecosystem, ReadsArtefacts):
        return []
    try:
        described = _described(ecosystem, section, asked.base, store)
    except LockError as error:
        return [error.message]
    return [*_mislabelled(section, described), *_unneeded(section, described, [*ecosystem.roots(asked)])]


def _described(ecosystem: ReadsArtefacts, section: Section, base: Base, store: Store) -> dict[str, Described]:
    """What each artefact of a section says, by the name of its pin."""

    def read(pin: Pin) -> Described:
        try:
            return ecosystem.described(pin, store.path(pin.sha256), base)
        except (OSError, ValueError) as error:
            raise LockError(f"{pin.filename}: cannot be read: {error}") from error

    with ThreadPoolExecutor(4) as pool:
        return dict(zip((pin.name for pin in section.pins), pool.map(read, section.pins), strict=True))


def _mislabelled(section: Section, described: Mapping[str, Described]) -> Iterator[str]:
    """Pins whose artefact is another package or version."""
    ecosystem = ecosystems.get(section.ecosystem)
    for pin in section.pins:
        said = described[pin.name]
        if (_plain(pin), pin.version) != (said.name, said.version):
            yield f"{pin.name} {pin.version}: {ecosystem.file_name(pin)} is {said.name} {said.version}"


def _plain(pin: Pin) -> str:
    """The name of a pin without the version that tells it from others of its name."""
    return pin.name.removesuffix(f"@{pin.version}")


def _unneeded(section: Section, described: Mapping[str, Described], roots: Sequence[str]) -> Iterator[str]:
    """Pins that nothing leads to from what was asked for."""
    offers: dict[str, list[tuple[str, Sequence[str]]]] = {}
    for name, one in described.items():
        for offered, needs in one.offers.items():
            offers.setdefault(offered, []).append((name, needs))
    waiting = [*roots, *(one.name for one in described.values() if one.essential)]
    seen: set[str] = set()
    reached: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        for name, needs in offers.get(wanted, ()):
            reached.add(name)
            waiting += needs
    yield from (f"{pin.name}: nothing that was asked for needs it" for pin in section.pins if pin.name not in reached)
