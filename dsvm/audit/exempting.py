"""What VEX statements say of the vulnerabilities that were found: `not_affected` waives them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packageurl import PackageURL

from dsvm import ecosystems
from dsvm.audit.asking import is_asked, packages_of
from dsvm.audit.documents import Fault
from dsvm.audit.evidence import Evidence
from dsvm.audit.judging import UNUSED, cited
from dsvm.audit.locked import Package, is_in_image
from dsvm.ecosystems import HasPurls
from dsvm.model import Finding, Level, Pin, Section

if TYPE_CHECKING:
    from dsvm.audit.vex import Product, Statement

MOST = 50  # faults, or statements that waive nothing, that are named one by one
RULE = "vex"
IMAGES = ("oci", "docker")  # types of package URLs
# how the type of a package calls a source package's architecture
SOURCE = {"deb": "source", "rpm": "src"}
DAY = datetime.timedelta(1)  # it may be tomorrow already where somebody lives


@dataclass
class _Known:
    """Every statement that was given, by the names of vulnerabilities."""

    statements: list[Statement]
    faults: list[Fault]
    by_name: dict[str, list[Statement]] = field(default_factory=dict)


def exempted(evidence: Evidence, findings: Sequence[Finding]) -> list[Finding]:
    """The findings, those waived that a statement says are none here, and what is wrong with statements."""
    if not evidence.vex_places:
        return [*findings]
    known = evidence.once(f"vex {evidence.vex_places}", lambda: _known(evidence))
    packages = {
        (section.id, f"{pin.name} {pin.version}"[:500]): package
        for package in packages_of(evidence).packages
        for section, pin in package.places
    }
    used: set[str] = set()
    too_old: dict[str, Statement] = {}
    judged = []
    for finding in findings:
        package = packages.get((finding.where.section or "", finding.where.pin or ""))
        if finding.rule == "vulnerability" and package is not None:
            deciding = _deciding(evidence, known, package, finding)
            used.update(one.id for one in deciding)
            old = [one for one in deciding if _age(evidence, one) > evidence.catalog.policy.longest_waiver]
            too_old |= {one.id: one for one in old if one.status == "not_affected"}
            if deciding and not old and all(one.status == "not_affected" for one in deciding):
                finding = finding.model_copy(update={"waived": _reason(deciding)})
        judged.append(finding)
    return [*judged, *_of_statements(evidence, known, used, too_old)]


def _known(evidence: Evidence) -> _Known:
    from dsvm.audit.vex import read  # its models cost every audit without statements a moment

    statements, faults = read(evidence.vex_places)
    made = _Known([], faults)
    for one in statements:
        if one.time.date() > evidence.today + DAY:
            faults.append(Fault(one.id, f"it says that it was made on {one.time.date()}, which is still to come"))
            continue
        made.statements.append(one)
        for name in one.names:
            made.by_name.setdefault(name, []).append(one)
    return made


def _age(evidence: Evidence, one: Statement) -> int:
    return (evidence.today - one.time.date()).days


def _reason(deciding: Sequence[Statement]) -> str:
    said = (f"{cited(one.id)}{one.author or 'nobody named'}, {one.time.date()}): {one.reason}" for one in deciding)
    return f"not affected {'; '.join(said)}"[:500]


# --- what a statement is about -----------------------------------------------------------------------------


def _deciding(evidence: Evidence, known: _Known, package: Package, finding: Finding) -> list[Statement]:
    """Of each artefact that the package has in the image, the newest statement; none when one has none."""
    names = {finding.id, *finding.aliases}
    about = {one.id: one for name in names for one in known.by_name.get(name, ())}
    found: dict[str, Statement] = {}
    places = [place for place in package.places if is_in_image(place[0])] or package.places
    for section, pin in places if about else ():
        those = [one for one in about.values() if _covers(evidence, one.products, package, section, pin)]
        if not those:
            return []
        # of two of one moment the one that waives nothing counts
        newest = max(those, key=lambda one: (one.time, one.status != "not_affected"))
        found[newest.id] = newest
    return [*found.values()]


def _covers(
    evidence: Evidence, products: Sequence[Product], package: Package, section: Section, pin: Pin, inside: bool = False
) -> bool:
    """Whether one of the products is a package's artefact, or, but not `inside` another one, the whole image."""
    for product in products:
        purls = [purl for one in product.purls if (purl := _parsed(one)) is not None]
        if not inside and any(_is_image(evidence, purl) for purl in purls):
            # without parts it speaks of the vulnerability wherever it is in the image
            if not product.parts or _covers(evidence, product.parts, package, section, pin, True):
                return True
        elif not product.parts and (
            product.sha256 == pin.sha256 or any(_is_package(evidence, one, package, section, pin) for one in purls)
        ):
            return True
    return False


def _parsed(text: str) -> PackageURL | None:
    try:
        return PackageURL.from_string(text)
    except ValueError:
        return None


def _is_image(evidence: Evidence, purl: PackageURL) -> bool:
    """Whether it is the variant's image, in whatever build."""
    return purl.type in IMAGES and purl.name == evidence.lock.variant and not purl.version


def _is_package(evidence: Evidence, theirs: PackageURL, package: Package, section: Section, pin: Pin) -> bool:
    """Whether a package URL is a pin's, or that of the source package which it is built from; a version may lack."""
    ecosystem = ecosystems.get(section.ecosystem)
    if not isinstance(ecosystem, HasPurls):
        return False
    try:
        ours = ecosystem.purl(pin, evidence.base)
    except ValueError:
        return False
    if (theirs.type, theirs.namespace) != (ours.type, ours.namespace):
        return False
    asked, has = _qualifiers(theirs), _qualifiers(ours)
    name, versions = ours.name, {ours.version, package.version}
    if asked.get("arch") == SOURCE.get(ours.type, ""):
        name, versions, has = package.name, {package.version}, {**has, "arch": asked["arch"]}
    same = package.ecosystem.advisory_name
    return (
        same(theirs.name) == same(name)
        and (not theirs.version or theirs.version in versions)
        and asked.items() <= has.items()
    )


def _qualifiers(purl: PackageURL) -> Mapping[str, str]:
    return purl.qualifiers if isinstance(purl.qualifiers, dict) else {}


# --- what is wrong with statements -------------------------------------------------------------------------


def _of_statements(
    evidence: Evidence, known: _Known, used: set[str], too_old: Mapping[str, Statement]
) -> Iterator[Finding]:
    for fault in known.faults[:MOST]:
        yield _finding(fault.place, f"{fault.place} does not count: {fault.why}", "mend it, or take it away", "warning")
    longest = evidence.catalog.policy.longest_waiver
    for one in too_old.values():
        what = f"{one.id} ({one.names[0]}) does not count: it is of {one.time.date()}, more than {longest} days ago"
        yield _finding(one.id, what, "look whether it still holds, and state it anew", "warning", one)
    unused = [one for one in known.statements if one.status == "not_affected" and one.id not in used]
    unused = [one for one in unused if _is_ours(evidence, one)] if is_asked(evidence) else []
    for one in unused[:MOST]:
        what = f"{one.id} ({one.names[0]}): {UNUSED} in {evidence.lock.variant}"
        yield _finding(one.id, what, "take it out where it is yours", "note", one)
    for number, what in ((len(known.faults), "places that are none"), (len(unused), "statements that waive nothing")):
        if number > MOST:
            yield _finding(f"more {what}", f"{number - MOST} more {what}", "see those that are named", "note")


def _is_ours(evidence: Evidence, one: Statement) -> bool:
    """Whether a statement may be about this variant: not where it names images of others alone."""
    purls = [_parsed(purl) for product in one.products for purl in product.purls]
    return not purls or any(purl is None or purl.type not in IMAGES or _is_image(evidence, purl) for purl in purls)


def _finding(id: str, what: str, action: str, level: Level, about: Statement | None = None) -> Finding:
    why = f"{about.author or 'somebody'} made it for: {about.reason}" if about else "what it says is not heard"
    day = about.time.date() if about else None
    return Finding(rule=RULE, id=id[-500:], level=level, what=what, why=why, action=action, source=id, date=day)
