"""Known vulnerabilities of what is locked, and what of them could not be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

from dsvm.audit.advisories import Advisory, Affected, simple
from dsvm.audit.aliases import grouped
from dsvm.audit.asking import Answers, ask, is_asked, packages_of
from dsvm.audit.behind import relocked
from dsvm.audit.documents import plain
from dsvm.audit.evidence import Evidence
from dsvm.audit.locked import Locked, Package, is_in_image, sections_of
from dsvm.audit.matching import Match, Unclear, match
from dsvm.audit.severity import Rating, judge_severity, worst
from dsvm.lock import Way, asked_for, ways
from dsvm.model import Finding, Level, Section

LEVELS: dict[Rating | None, Level] = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
UNRATED: Level = "warning"
OLD = 30  # days: advisories that are older leave out too much
MOST_FAULTS = 50  # files that are named one by one
UNKNOWN = "what nobody was asked about is not clean"


@dataclass(frozen=True)
class Hit:
    advisory: Advisory
    entry: Affected
    match: Match | Unclear


def vulnerability(evidence: Evidence) -> Iterator[Finding]:
    """No package has a known vulnerability"""
    if not is_asked(evidence):
        yield _unasked(evidence)
        return
    found, answers = packages_of(evidence), ask(evidence)
    for package in found.packages:
        if not {*package.osv} <= answers.silent.keys():
            yield from _of_package(evidence, package, answers)
    yield from _unread(answers)
    yield from _silent(evidence, found, answers)
    if evidence.lock.base_kind != "bootstrap":
        yield _unknown(
            "base",
            f"the lock does not name the packages of the base {evidence.lock.base}: it is an image that others made",
            "look at what its makers publish of it, or lock where the base is made of packages",
        )
    yield from _others(found)
    yield from _guessed(evidence, found)


def advisories(evidence: Evidence) -> Iterator[Finding]:
    """Advisories that were given can be read, and are not old"""
    if not evidence.advisories:
        return
    answers = ask(evidence)
    faults = list(dict.fromkeys(answers.collection.faults)) if answers.collection else []
    for fault in faults[:MOST_FAULTS]:
        yield Finding(
            rule="advisories",
            id=fault.place[-300:],
            level="unknown",
            what=f"{fault.place}: {fault.why}",
            why=UNKNOWN,
            action="fetch it again from where it is published",
            source="--advisories",
        )
    if (more := len(faults) - MOST_FAULTS) > 0:
        yield Finding(
            rule="advisories", id="more", level="unknown", what=f"{more} more files like these", source="--advisories"
        )
    if answers.day is None or (evidence.today - answers.day).days > OLD:
        when = f"the newest is of {answers.day}" if answers.day else "no advisory among them has a day"
        yield Finding(
            rule="advisories",
            id="day",
            level="warning",
            what=f"the advisories that were given are old: {when}",
            why="of what was found since then they know nothing",
            action="fetch them again from where they are published",
            source="--advisories",
            date=answers.day,
        )


# --- what is known -----------------------------------------------------------------------------------------


def _of_package(evidence: Evidence, package: Package, answers: Answers) -> Iterator[Finding]:
    about = {
        one.id: one for called in package.called for one in answers.by_name.get(simple(called.name), ())
    }  # fmt: skip
    current = [one for one in about.values() if not one.is_withdrawn(evidence.today)]
    hits = {one.id: hit for one in current if (hit := _hit(one, package)) is not None}
    for group, names in grouped([hit.advisory for hit in hits.values()], about.values()):
        yield _finding(evidence, package, [hits[one.id] for one in group], names, answers)


def _hit(advisory: Advisory, package: Package) -> Hit | None:
    """What an advisory says of a package: the worst of its entries, an unclear one after one that is clear."""
    unclear = None
    name = package.ecosystem.advisory_name
    for called in package.called:
        for entry in advisory.affected:
            theirs = entry.package
            if theirs is None or theirs.ecosystem != called.ecosystem or name(theirs.name) != name(called.name):
                continue
            found = match(entry, called.version, package.ecosystem.advisory_order)
            if isinstance(found, Match):
                return Hit(advisory, entry, found)
            unclear = unclear or (Hit(advisory, entry, found) if found is not None else None)
    return unclear


def _finding(
    evidence: Evidence, package: Package, hits: Sequence[Hit], names: Sequence[str], answers: Answers
) -> Finding:
    clear = [hit for hit in hits if isinstance(hit.match, Match)]
    judged = worst(judge_severity(hit.advisory, hit.entry) for hit in clear or hits)
    section = next(sections_of(package.places))
    pin = next(pin for one, pin in package.places if one.id == section.id)
    way = _ways(evidence, package)
    tools = tuple(dict.fromkeys(tool for one in way.values() for tool in one.tools))
    where = evidence.where(section, pin, *tools)
    summary = next((plain(hit.advisory.summary) for hit in hits if hit.advisory.summary.strip()), "")
    rated = f" ({judged.rating}, {judged.by})" if judged.rating else ""
    level: Level = LEVELS.get(judged.rating, UNRATED)
    if not clear:
        level = "unknown"
    elif not package.in_image:
        level = "note"
    unclear = f"; {plain(hits[0].match.why)}" if not clear and isinstance(hits[0].match, Unclear) else ""
    fixed = _fixed(package, clear)
    return Finding(
        rule="vulnerability",
        id=names[0],
        aliases=tuple(names[1:50]),
        packages=_names(package),
        level=level,
        what=f"{_said(package)} {'may have' if not clear else 'has'} {names[0]}{rated}"
        f"{': ' + summary if summary else ''}{unclear}",
        where=where,
        why=_why(package, way),
        action=_action(evidence, package, fixed)
        if clear
        else "read the advisory, and waive it or lock another version",
        source=plain(f"{', '.join(hit.advisory.id for hit in hits[:10])} in {answers.source}", 3000),
        date=answers.day,
    )


def _names(package: Package) -> tuple[str, ...]:
    """All names that a waiver may call it by."""
    pins = (pin.name for _, pin in package.places)
    return tuple(dict.fromkeys((package.name, *(one.name for one in package.called), *pins)))[:100]


def _said(package: Package) -> str:
    """openssl 3.0.17-1 (libssl3, openssl)"""
    pins = dict.fromkeys(pin.name for _, pin in package.places)
    others = [] if [*pins] == [package.name] else [*pins]
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    return f"{package.name} {package.version}" + (f" ({', '.join(others[:4])}{more})" if others else "")


def _why(package: Package, way: Mapping[str, Way]) -> str:
    if not package.in_image:
        names = ", ".join(section.id for section in sections_of(package.places))
        return plain(f"only building needs it, and it is not in the image: {names}", 3000)
    sections = [section for section in sections_of(package.places) if is_in_image(section)]
    said = []
    for section in sections[:5]:
        one = way.get(section.id)
        by = f" by {', '.join(one.tools)}" if one and one.tools else ""
        said.append(f"in {section.id}{by}" + (f": {' → '.join(one.path)}" if one and len(one.path) > 1 else ""))
    more = f" and in {len(sections) - 5} more" if len(sections) > 5 else ""
    return plain("; ".join(said), 3000) + more


def ways_of(evidence: Evidence, section: Section) -> Mapping[str, Way]:
    """The name of a pin -> how it came into a section, as far as artefacts in the store say so."""
    key = f"ways {evidence.lock.variant} {section.id}"
    return evidence.once(key, lambda: ways(evidence.catalog, evidence.lock, section, evidence.store))


def _ways(evidence: Evidence, package: Package) -> Mapping[str, Way]:
    """Section -> how the package came into it, as far as artefacts say so."""
    found = {}
    for section in sections_of(package.places):
        known = ways_of(evidence, section)
        several = [known[pin.name] for one, pin in package.places if one.id == section.id and pin.name in known]
        if several:
            shortest = min(several, key=lambda way: (not way.path, len(way.path)))
            found[section.id] = Way(tuple(dict.fromkeys(tool for way in several for tool in way.tools)), shortest.path)
        else:
            found[section.id] = Way(section.tools, ())
    return found


def _fixed(package: Package, hits: Sequence[Hit]) -> str | None:
    """The first version without it, by all advisories that name one."""
    order = package.ecosystem.advisory_order
    versions = [hit.match.fixed for hit in hits if isinstance(hit.match, Match) and hit.match.fixed is not None]

    def compared(one: str, other: str) -> int:
        return -1 if order(one) < order(other) else int(order(other) < order(one))

    return max(versions, key=cmp_to_key(compared), default=None)


def _action(evidence: Evidence, package: Package, fixed: str | None) -> str:
    """What to do, and whether locking again does it, as far as that is known."""
    if fixed is None:
        return "no version without it is known: leave out what needs it, or waive it with a reason"
    for section in sections_of(package.places):
        for tool, item in asked_for(evidence.catalog, evidence.lock, section):
            with suppress(ValueError):  # a version that requests cannot be compared with
                if text := package.ecosystem.forbids(item, package.name, fixed):
                    asks = f"the manifest of {tool} asks for {plain(text)}"
                    return f"{plain(fixed)} is without it, and {asks}: change that and lock"
    again = f"invoke lock --variant {evidence.lock.variant} --upgrade"
    section, pin = next((one, pin) for one, pin in package.places if one.id == next(sections_of(package.places)).id)
    brings = relocked(evidence, section, pin)
    if brings is None:
        return f"{plain(fixed)} is without it, and no manifest forbids that: {again}"
    if brings == pin.version:
        return f"{plain(fixed)} is without it, and locking again does not bring it: see what rule behind says of it"
    order = package.ecosystem.advisory_order
    if pin.version == package.version:  # else the fixed version is one of the source, and this one of a binary
        with suppress(ValueError):
            if order(brings) < order(fixed):
                return f"{plain(fixed)} is without it, and locking again brings {plain(brings)} only"
    return f"{plain(fixed)} is without it, and locking again brings {plain(brings)}: {again}"


# --- what is not known -------------------------------------------------------------------------------------


def _unknown(id: str, what: str, action: str, **more: Any) -> Finding:
    return Finding(
        rule="vulnerability", id=id, level="unknown", what=what, why=UNKNOWN, action=action, source="the lock", **more
    )


def _unasked(evidence: Evidence) -> Finding:
    numbers: dict[str, int] = {}
    for section, _ in evidence.pins():
        numbers[section.ecosystem] = numbers.get(section.ecosystem, 0) + 1
    said = ", ".join(f"{number} of {name}" for name, number in sorted(numbers.items()))
    return _unknown(
        "advisories",
        f"no advisories were asked about any package ({said})",
        "leave --offline away, or name advisories: --advisories DIR or FILE.zip",
    )


def _unread(answers: Answers) -> Iterator[Finding]:
    for fault in answers.unread[:MOST_FAULTS]:
        yield _unknown(fault.place, f"{fault.place} could not be read: {fault.why}", "ask again", date=answers.day)
    if (more := len(answers.unread) - MOST_FAULTS) > 0:
        yield _unknown("more", f"{more} more advisories could not be read", "ask again", date=answers.day)


def _silent(evidence: Evidence, found: Locked, answers: Answers) -> Iterator[Finding]:
    done: set[str] = set()
    for package in found.packages:
        missing = [one for one in package.osv if one in answers.silent]
        if missing != [*package.osv] or missing[0] in done:
            continue
        done.update(missing)
        number = sum({*one.osv} == {*missing} for one in found.packages)
        yield _unknown(
            missing[0],
            plain(
                f"{number} packages of {' and '.join(missing)} were not compared: {answers.silent[missing[0]]}", 3000
            ),
            "name advisories for it (--advisories), or a service: sources: {osv: URL} in DSVM's configuration",
            date=answers.day if evidence.advisories else None,
        )


def _others(found: Locked) -> Iterator[Finding]:
    for (ecosystem, registry), places in sorted(found.others.items()):
        whose = f"{ecosystem} from {registry}" if registry else ecosystem
        names = dict.fromkeys(pin.name for _, pin in places)
        some = f" ({', '.join([*names][:3])}{', ...' if len(names) > 3 else ''})"
        yield _unknown(
            f"{ecosystem} {registry}".strip(),
            f"no advisories in OSV form are known for {len(names)} packages of {whose}{some}",
            "read what their makers publish, and waive this with who does so",
        )


def _guessed(evidence: Evidence, found: Locked) -> Iterator[Finding]:
    guessed = [package for package in found.packages if not package.certain]
    if guessed:
        yield _unknown(
            "sources",
            f"{sum(len(one.places) for one in guessed)} packages are not in the store, or do not say what they are "
            "built from: they were compared by the names of their files",
            f"invoke fetch --variant {evidence.lock.variant}",
        )
