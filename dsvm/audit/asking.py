"""What advisories are asked: those of folders and zip files that somebody names, or a service."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field

from dsvm.audit.advisories import Advisory, Collection, collect, simple
from dsvm.audit.documents import Fault, plain
from dsvm.audit.evidence import Evidence, shown
from dsvm.audit.locked import Locked, locked
from dsvm.audit.osv_service import Service
from dsvm.ecosystems import Advised
from dsvm.host import Host
from dsvm.model import DsvmError


@dataclass
class Answers:
    """What was asked, and what came of it."""

    # the day up to which the advisories know everything
    day: datetime.date | None = None
    source: str = ""
    # names, as `simple` writes them -> advisories that name them
    by_name: dict[str, list[Advisory]] = field(default_factory=dict)
    # OSV's ecosystem -> why nothing is known of it
    silent: dict[str, str] = field(default_factory=dict)
    # advisories that a service named and did not give
    unread: list[Fault] = field(default_factory=list)
    collection: Collection | None = None


def is_asked(evidence: Evidence) -> bool:
    """Whether there is anything to ask."""
    return bool(evidence.advisories) or (evidence.online and evidence.host is not None)


def packages_of(evidence: Evidence) -> Locked:
    return evidence.once(f"packages {evidence.lock.variant}", lambda: locked(evidence))


def ask(evidence: Evidence) -> Answers:
    """All advisories that may be about what is locked: those of files, or where none are named of the service."""

    def make() -> Answers:
        found = packages_of(evidence)
        if evidence.advisories:
            return _ask_files(evidence, found)
        return _ask_service(evidence, found, evidence.host) if evidence.host is not None else Answers()

    return evidence.once(f"advisories {evidence.lock.variant}", make)


def _ask_files(evidence: Evidence, found: Locked) -> Answers:
    places = ", ".join(plain(shown(place)) for place in evidence.advisories)
    collection = evidence.once(f"files {places}", lambda: collect(evidence.advisories, evidence.today))
    asked = dict.fromkeys(one for package in found.packages for one in package.osv)
    answers = Answers(collection.newest, places, collection=collection)
    answers.silent = {
        one: f"{places}: no advisory there is about {one}" for one in asked if one not in collection.ecosystems
    }
    names = {one.name for package in found.packages for one in package.called}
    _index(answers, collection.naming(sorted(names)))
    return answers


def _ask_service(evidence: Evidence, found: Locked, host: Host) -> Answers:
    service = Service.of(host, evidence.store)
    answers = Answers(evidence.today, "OSV's service")
    asked: dict[str, list[Advised]] = {}
    for package in found.packages:
        for one in package.called:
            asked.setdefault(one.ecosystem, []).append(one)
    known: dict[str, Advisory] = {}
    for ecosystem, packages in asked.items():
        try:
            found_here, unread = service.ask(packages)
            known |= {one.id: one for one in found_here}
            answers.unread += unread
        except DsvmError as error:
            answers.silent[ecosystem] = plain(error.message, 500)
    _index(answers, known.values())
    return answers


def _index(answers: Answers, known: Iterable[Advisory]) -> None:
    for advisory in known:
        for name in {simple(one.package.name) for one in advisory.affected if one.package is not None}:
            answers.by_name.setdefault(name, []).append(advisory)
