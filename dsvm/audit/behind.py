"""Newer versions than the locked ones, and what keeps each of them out of the lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from dsvm import ecosystems, gate
from dsvm import lock as locks
from dsvm.audit.documents import plain
from dsvm.audit.evidence import Evidence, shown
from dsvm.catalog import line_of
from dsvm.ecosystems import Asked, Offered, OffersVersions
from dsvm.model import DsvmError, Finding, Hold, Holds, Lock, Pin, Section, Where, digest_of

WHOSE = "the registries, as this host's clients find them"
SHOWN = 5  # names in one line


@dataclass
class Answers:
    """What registries offer of a lock's pins."""

    # (section, pin) -> an offer of a newer version
    newer: list[tuple[Section, Pin, Offered]] = field(default_factory=list)
    # (section, pin) whose version is the newest
    newest: set[tuple[str, str]] = field(default_factory=set)
    # (section, pin) -> the section that stays at that version too, and shares it
    shared: dict[tuple[str, str], Section] = field(default_factory=dict)
    # registry -> why -> names of the pins of which nobody says what is newest
    silent: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def unknown(self, section: Section, pins: tuple[Pin, ...], why: str) -> None:
        for pin in pins:
            self.silent.setdefault(pin.registry, {}).setdefault(why, []).append(pin.plain_name)


def behind(evidence: Evidence) -> Iterator[Finding]:
    """Every package is the newest that its registry offers"""
    answers = _answers(evidence)
    for section, pin, offer in answers.newer:
        yield _finding(evidence, section, pin, offer)
    for registry, reasons in sorted(answers.silent.items()):
        names = list(dict.fromkeys(name for several in reasons.values() for name in several))
        number = len(names)
        yield Finding(
            rule="behind",
            id=registry,
            level="unknown",
            what=f"of {number} package{'s' if number != 1 else ''} of {registry} ({_some(names)}) nobody says which "
            f"version is the newest: {plain('; '.join(reasons), 1000)}",
            why="what could not be asked is not the newest",
            action="ask again where the registry can be reached, without --offline",
            source=WHOSE,
            date=evidence.today if evidence.online else None,
        )


def relock(evidence: Evidence) -> Iterator[Finding]:
    """Locking again within the manifests' ranges brings nothing newer"""
    found: dict[str, tuple[Section, list[str]]] = {}
    for section, pin, offer in _answers(evidence).newer:
        held = _hold(evidence, section, pin) is not None
        if offer.again not in (None, pin.version) and not held:
            _, moves = found.setdefault(section.id, (section, []))
            moves.append(f"{pin.plain_name} {pin.version} → {offer.again}")
    for section, moves in found.values():
        yield Finding(
            rule="relock",
            id=section.id,
            level="note",
            what=f"{section.id}: locking again within the manifests' ranges would bring {len(moves)} newer "
            f"version{'s' if len(moves) != 1 else ''}: {plain(', '.join(moves), 3000)}",
            where=evidence.where(section),
            why="nothing holds them but the lock",
            action=f"invoke lock --variant {evidence.lock.variant} --upgrade",
            source=WHOSE,
            date=evidence.today,
        )


def relocked(evidence: Evidence, section: Section, pin: Pin) -> str | None:
    """The version that locking again brings, of what registries were asked about; None when that is not known."""
    if not evidence.online or evidence.work is None:
        return None
    answers = _answers(evidence)
    if (section.id, pin.name) in answers.newest:
        return pin.version
    return next((offer.again for one, other, offer in answers.newer if one is section and other is pin), None)


# --- what holds a version ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Holder:
    """What keeps a version out of the lock."""

    what: str
    why: str
    action: str
    where: Where | None = None


def _finding(evidence: Evidence, section: Section, pin: Pin, offer: Offered) -> Finding:
    holder = (
        _held_back(evidence, section, pin)
        or _snapshot(evidence, section, offer)
        or _range(evidence, section, pin, str(offer.newest))
        or _shared(evidence, section, pin)
        or _solver(evidence, section, pin, offer)
    )
    here = evidence.where(section, pin)
    said = f"{pin.plain_name} {pin.version} in {section.id}: {pin.registry} has {offer.newest}; {holder.what}"
    partly = f"; locking again brings {offer.again}" if offer.again not in (None, pin.version, offer.newest) else ""
    return Finding(
        rule="behind",
        id=pin.plain_name,
        level="note",
        what=said + partly,
        where=holder.where.model_copy(update={"section": here.section, "pin": here.pin}) if holder.where else here,
        why=plain(holder.why, 3000),
        action=holder.action,
        source=WHOSE,
        date=evidence.today,
    )


def _held_back(evidence: Evidence, section: Section, pin: Pin) -> Holder | None:
    """A hold on a package, or on its whole section."""
    hold = _hold(evidence, section, pin)
    if hold is None:
        return None
    file = locks.find_holds_path(evidence.catalog, evidence.lock.variant)
    return Holder(
        f"a hold keeps it back until {hold.expires}",
        f"{hold.owner} gave it for: {hold.reason}",
        "mend what it breaks, then take the hold out",
        _line(file, hold.package) if file else None,
    )


def _snapshot(evidence: Evidence, section: Section, offer: Offered) -> Holder | None:
    """An index that is the state of one day."""
    index = evidence.catalog.indexes.get(offer.snapshot)
    file = evidence.catalog.origin.get(("indexes", offer.snapshot))
    if index is None:
        return None
    key = "date" if index.date else "tree"
    return Holder(
        f"index {index.index} is the state of {index.date or index.tree}",
        "a state of one day has nothing newer",
        f"give the index a later {key}, and lock",
        _line(file, key) if file else None,
    )


def _range(evidence: Evidence, section: Section, pin: Pin, version: str) -> Holder | None:
    """What somebody asks for: the manifest of a tool, or DSVM itself."""
    ecosystem = ecosystems.get(section.ecosystem)
    asked = _asked(evidence).get(section.id)
    if asked is None or not isinstance(ecosystem, OffersVersions):
        return None
    items = asked.request.items
    ours = len(items) - len(section.tools)  # the items of tools are the last ones, in their order
    for number, item in enumerate(items):
        with suppress(ValueError):  # a version that requests cannot be compared with
            if text := ecosystem.forbids(item, pin.plain_name, version):
                tool = section.tools[number - ours] if number >= ours else None
                who = f"the manifest of {tool}" if tool else "DSVM itself"
                where = evidence.where(section, pin, tool) if tool else None
                return Holder(f"{who} asks for {plain(text)}", "", f"allow {version} there, and lock", where)
    return None


def _shared(evidence: Evidence, section: Section, pin: Pin) -> Holder | None:
    """Another environment, which is bound to the same version."""
    other = _answers(evidence).shared.get((section.id, pin.name))
    if other is None:
        return None
    return Holder(
        f"{other.id} is bound to {pin.version}, and the image has that once for both",
        f"what holds it in {other.id} is said there",
        f"let the manifest of {_some(section.tools)} ask for {pin.plain_name} by name, if it needs a newer one",
    )


def _solver(evidence: Evidence, section: Section, pin: Pin, offer: Offered) -> Holder:
    """What the request allows and the lock has not: only old, refused by the gate, or kept out by other packages."""
    again = f"invoke lock --variant {evidence.lock.variant} --upgrade"
    if offer.again == offer.newest:
        if refused := _refused(evidence, section, pin, offer.again or ""):
            remedy = refused.remedy or "wait for a row of compat.yaml that lets it pass"
            return Holder(f"the gate refuses it: {refused.what}", refused.why, remedy)
        return Holder("only the lock holds it", "the manifests allow it", again)
    if offer.holders:
        hold = "holds" if len(offer.holders) == 1 else "hold"
        action = f"ask for another version of {_some(offer.holders)}, or wait for one that goes with it"
        return Holder(f"{_some(offer.holders)} {hold} it", offer.words, action)
    why = offer.words or "the solver was not asked"
    return Holder(f"what holds it is not known: {plain(why)}", why, again)


def _line(file: Path, key: str) -> Where:
    return Where(file=shown(file), line=line_of(file, key))


def _hold(evidence: Evidence, section: Section, pin: Pin) -> Hold | None:
    holds = [one for one in _holds(evidence).holds if one.section == section.id]
    whole = locks.Wishes.of(Holds(holds=tuple(holds))).keeps(section)
    return next((one for one in holds if whole or one.package == pin.name), None)


def _holds(evidence: Evidence) -> Holds:
    variant = evidence.lock.variant
    return evidence.once(f"holds {variant}", lambda: locks.find_holds(evidence.catalog, variant).on(evidence.today))


def _refused(evidence: Evidence, section: Section, pin: Pin, version: str) -> gate.Finding | None:
    """What the gate has against a lock with another version of a package, and not against this one."""
    known = evidence.once(
        f"gate {evidence.lock.variant}", lambda: {(one.rule, one.what) for one in _violations(evidence, evidence.lock)}
    )
    moved = pin.model_copy(update={"version": version})
    pins = tuple(moved if one is pin else one for one in section.pins)
    sections = tuple(one.model_copy(update={"pins": pins}) if one is section else one for one in evidence.lock.sections)
    found = _violations(evidence, evidence.lock.model_copy(update={"sections": sections}))
    return next((one for one in found if (one.rule, one.what) not in known), None)


def _violations(evidence: Evidence, lock: Lock) -> list[gate.Finding]:
    return gate.violations(gate.examine(gate.make_scene(evidence.catalog, evidence.variant, lock)))


# --- asking ------------------------------------------------------------------------------------------------


def _answers(evidence: Evidence) -> Answers:
    return evidence.once(f"newer {evidence.lock.variant}", lambda: _ask(evidence))


def _ask(evidence: Evidence) -> Answers:
    answers = Answers()
    if evidence.online:
        evidence.echo(f"audit: asking registries what is newer than the lock of {evidence.lock.variant}")
        _asked(evidence)  # once, and not by several threads
    with ThreadPoolExecutor(4) as pool:
        asked = pool.map(lambda section: _of_section(evidence, section), evidence.lock.sections)
        for section, offers in zip(evidence.lock.sections, asked, strict=True):
            _sort(answers, section, offers)
    _share(answers, evidence)
    return answers


def _share(answers: Answers, evidence: Evidence) -> None:
    """Correct what locking again brings of packages that an environment has as another one does, which is bound."""
    asked = _asked(evidence)
    members = [
        locks.Member(section, asked[section.id].request, {}, moves=True)
        for section in evidence.lock.sections
        if section.id in asked and not section.formats
    ]
    by_id = {member.section.id: member for member in members}
    again = {(section.id, pin.name): offer.again for section, pin, offer in answers.newer}
    for number, (section, pin, offer) in enumerate(answers.newer):
        if section.id not in by_id or offer.again in (None, pin.version):
            continue
        for other in locks.with_same(members, by_id[section.id], pin.name):
            if again.get((other.section.id, pin.name)) == pin.version:
                answers.shared[section.id, pin.name] = other.section
                answers.newer[number] = (section, pin, replace(offer, again=pin.version))
                break


def _sort(answers: Answers, section: Section, offers: Mapping[str, Offered] | str) -> None:
    """Put what was said of a section where it belongs; a text says why nothing was."""
    if isinstance(offers, str):
        answers.unknown(section, section.pins, offers)
        return
    for pin in section.pins:
        offer = offers.get(pin.name)
        if offer is None or offer.newest is None:
            why = offer.words if offer else ""
            answers.unknown(section, (pin,), why or "its registry does not say")
        elif _is_newer(section, offer.newest, pin.version):
            answers.newer.append((section, pin, offer))
        else:
            answers.newest.add((section.id, pin.name))


def _is_newer(section: Section, newest: str, locked: str) -> bool:
    ecosystem = ecosystems.get(section.ecosystem)
    assert isinstance(ecosystem, OffersVersions)  # noqa: S101 - who else has offered
    return bool(ecosystem.order(locked) < ecosystem.order(newest))


def _asked(evidence: Evidence) -> Mapping[str, Asked]:
    """What sections answer, of those that fit the manifests, as locking again would ask it."""

    def make() -> Mapping[str, Asked]:
        stale = locks.stale_sections(evidence.catalog, evidence.lock)
        if any(evidence.lock.section(name) is None for name in stale):
            return {}
        wishes = locks.Wishes.of(_holds(evidence))
        found = locks.asked(evidence.catalog, evidence.lock)
        return {
            name: replace(one, request=wishes.asked(one.request)) for name, one in found.items() if name not in stale
        }

    return evidence.once(f"asked {evidence.lock.variant}", make)


def _of_section(evidence: Evidence, section: Section) -> Mapping[str, Offered] | str:
    """What registries offer of a section's pins, or why nobody was asked."""
    ecosystem = ecosystems.registry().get(section.ecosystem)
    if not evidence.online or evidence.host is None or evidence.work is None:
        return "nobody was asked (--offline)"
    if section.id == "base" and evidence.lock.base_kind != "bootstrap":
        return "they are layers of an image that others made"
    if not isinstance(ecosystem, OffersVersions):
        return f"what {section.ecosystem} fetches has no registry that says it"
    asked = _asked(evidence).get(section.id)
    if asked is None:
        return "the lock does not fit the manifests any more: lock again first"
    base = evidence.base
    pins = [pin.model_dump() for pin in section.pins]
    key = digest_of([section.ecosystem, section.id, section.request, pins, base.model_dump(mode="json")])

    def ask() -> Mapping[str, Offered] | str:
        try:
            return ecosystem.offered(section, asked, evidence.context())
        except DsvmError as error:
            return error.message

    return evidence.once(f"offers {key}", ask)


def _some(names: Mapping[str, object] | list[str] | tuple[str, ...]) -> str:
    listed = [*names]
    return ", ".join(listed[:SHOWN]) + (", ..." if len(listed) > SHOWN else "")
