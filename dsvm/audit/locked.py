"""What of a lock advisories can be about: packages as advisories call them, and what has no advisories at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dsvm import ecosystems
from dsvm.audit.evidence import Evidence
from dsvm.ecosystems import Advised, HasAdvisories
from dsvm.model import Pin, Section


@dataclass
class Package:
    """A package in one version, with everything in the lock that is built from it."""

    # what advisories of the ecosystem that it is named by call it: of a distribution the source package
    name: str
    version: str
    ecosystem: HasAdvisories
    # all that advisories may call it
    called: dict[Advised, None] = field(default_factory=dict)
    places: list[tuple[Section, Pin]] = field(default_factory=list)

    @property
    def osv(self) -> tuple[str, ...]:
        """OSV's names of the ecosystems whose advisories may be about it."""
        return tuple(dict.fromkeys(one.ecosystem for one in self.called))

    @property
    def certain(self) -> bool:
        return all(one.certain for one in self.called)

    @property
    def in_image(self) -> bool:
        return any(is_in_image(section) for section, _ in self.places)


@dataclass
class Locked:
    packages: list[Package] = field(default_factory=list)
    # (ecosystem, registry or "") -> artefacts that no advisories are published for
    others: dict[tuple[str, str], list[tuple[Section, Pin]]] = field(default_factory=dict)


def is_in_image(section: Section) -> bool:
    """Whether what a section pins gets into an image; what only building needs does not.

    A tool's own section is TOOL-ECOSYSTEM and what builds it TOOL-build-ECOSYSTEM; sections of runtimes and builders
    are of no tool.
    """
    if section.tools:
        return section.id != f"{section.tools[0]}-build-{section.ecosystem}"
    return not section.id.startswith(("builder-", "runtime-"))


def locked(evidence: Evidence) -> Locked:
    """Reads artefacts that say themselves what they are built from, each once and for ever."""
    found = Locked()
    packages: dict[tuple[str, str, str], Package] = {}
    base = evidence.base
    for section, pin in evidence.pins():
        if section.id == "base" and evidence.lock.base_kind != "bootstrap":
            continue  # layers of an image: what is in them the lock does not say
        ecosystem = ecosystems.get(section.ecosystem)
        if not isinstance(ecosystem, HasAdvisories):
            found.others.setdefault((section.ecosystem, ""), []).append((section, pin))
            continue
        try:
            called = ecosystem.advised(pin, base, evidence.store, evidence.catalog.repositories)
        except ValueError:  # a version that is none
            called = ()
        if not called:
            found.others.setdefault((section.ecosystem, pin.registry), []).append((section, pin))
            continue
        last = called[-1]
        package = packages.setdefault(
            (section.ecosystem, last.name, last.version), Package(last.name, last.version, ecosystem)
        )
        package.called.update(dict.fromkeys(called))
        package.places.append((section, pin))
    evidence.store.save_readings()
    found.packages = list(packages.values())
    return found


def sections_of(places: list[tuple[Section, Pin]]) -> Iterator[Section]:
    """The sections of these places, each once, those in images first."""
    sections = {section.id: section for section, _ in places}
    yield from sorted(sections.values(), key=lambda section: not is_in_image(section))
