"""What artefacts say of themselves, compared with the pins that they are of.

Nothing is installed that is another package, or another version, than its pin says, and nothing that nobody asked for:
a pin that somebody wrote into a lock by hand is found here, before anything of it runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from dsvm import ecosystems
from dsvm.catalog import Catalog
from dsvm.ecosystems import Asked, Described, ReadsArtefacts, Request
from dsvm.lock import trust
from dsvm.model import Base, Format, Lock, LockError, Pin, Section, digest_of
from dsvm.store import Store

Offer = tuple[str, Sequence[str]]  # the name of a pin, and what it needs for what it offers
DESCRIBED = TypeAdapter(Described)
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


@dataclass(frozen=True)
class Way:
    """How a pin came into its section: the tools that need it, and the shortest way to it from what they ask for."""

    tools: tuple[str, ...]
    path: tuple[str, ...]


def asked_for(catalog: Catalog, lock: Lock, section: Section) -> Iterator[tuple[str, Any]]:
    """The tools whose manifests ask for what a section has, and what each asks for: its ecosystem's request."""
    for choice in lock.choices:
        tool = catalog.tools.get(choice.tool)
        if choice.tool in section.tools and tool is not None and choice.source < len(tool.sources):
            item = tool.sources[choice.source].requests().get(section.ecosystem)
            if item is not None:
                yield choice.tool, item


def ways(catalog: Catalog, lock: Lock, section: Section, store: Store) -> dict[str, Way]:
    """The name of a pin -> how it came into a section, as far as artefacts in the store say so; they are read once."""
    ecosystem = ecosystems.get(section.ecosystem)
    base = catalog.bases.get(lock.base)
    if base is None or not isinstance(ecosystem, ReadsArtefacts):
        return {}
    offers = _offers(described(section, base, store))
    found: dict[str, Way] = {}
    for tool, item in asked_for(catalog, lock, section):
        asked = Asked(Request(section.id, section.id, (item,)), base, catalog.indexes, catalog.repositories)
        for name, path in _paths(offers, [*ecosystem.roots(asked)]).items():
            known = found.get(name, Way((), path))
            found[name] = Way((*known.tools, tool), min(known.path, path, key=len))
    return found


def _paths(offers: Mapping[str, Sequence[Offer]], roots: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The name of each pin that `roots` lead to -> the pins on the shortest way there, itself the last."""
    found: dict[str, tuple[str, ...]] = {}
    waiting: deque[tuple[str, tuple[str, ...]]] = deque((root, ()) for root in roots)
    seen: set[str] = set()
    while waiting:
        wanted, before = waiting.popleft()
        if wanted in seen:
            continue
        seen.add(wanted)
        for name, needs in offers.get(wanted, ()):
            here = before if before[-1:] == (name,) else (*before, name)
            found.setdefault(name, here)
            waiting.extend((need, here) for need in needs)
    return found


def described(section: Section, base: Base, store: Store) -> dict[str, Described]:
    """The name of a pin -> what its artefact says of itself, as far as it is in the store; each is read once.

    What cannot be read says nothing, and what an ecosystem that reads none has.
    """
    ecosystem = ecosystems.get(section.ecosystem)
    if not isinstance(ecosystem, ReadsArtefacts):
        return {}
    # what an artefact needs depends on the base
    kind = f"{section.ecosystem} {digest_of(base.model_dump(mode='json'))[:12]}"
    remembered = store.readings("described", FORM)

    def read(pin: Pin) -> Described | None:
        if store.size(pin.sha256) != pin.size:
            return None
        with suppress(LockError, OSError, ValueError):
            found = ecosystem.described(pin, store.path(pin.sha256), base)
            remembered.put(f"{kind} {pin.sha256}", DESCRIBED.dump_python(found, mode="json"))
            return found
        return None

    found = {pin.name: _known(remembered.get(f"{kind} {pin.sha256}")) for pin in section.pins}
    waiting = [pin for pin in section.pins if found[pin.name] is None]
    with ThreadPoolExecutor(4) as pool:
        found |= zip((pin.name for pin in waiting), pool.map(read, waiting), strict=True)
    remembered.save()
    return {name: one for name, one in found.items() if one is not None}


def _known(said: object) -> Described | None:
    """What the store remembers, when it has the form of that."""
    with suppress(ValueError):
        return DESCRIBED.validate_python(said)
    return None


def _offers(described: Mapping[str, Described]) -> dict[str, list[Offer]]:
    """What is offered -> the pins that offer it, with what they need then."""
    offers: dict[str, list[Offer]] = {}
    for name, one in described.items():
        for offered, needs in one.offers.items():
            offers.setdefault(offered, []).append((name, needs))
    return offers


def _mislabelled(section: Section, described: Mapping[str, Described]) -> Iterator[str]:
    """Pins whose artefact is another package or version."""
    ecosystem = ecosystems.get(section.ecosystem)
    for pin in section.pins:
        said = described[pin.name]
        if (pin.plain_name, pin.version) != (said.name, said.version):
            yield f"{pin.name} {pin.version}: {ecosystem.file_name(pin)} is {said.name} {said.version}"


def _unneeded(section: Section, described: Mapping[str, Described], roots: Sequence[str]) -> Iterator[str]:
    """Pins that nothing leads to from what was asked for."""
    offers = _offers(described)
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
