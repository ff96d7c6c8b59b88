"""The bill of materials of a built image: what stands in it, compared with the bill of its lock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from packageurl import PackageURL

from dsvm import ecosystems
from dsvm.ecosystems import HoldsFiles, LeavesRecords
from dsvm.ledger import Inventory, Standing
from dsvm.model import Pin, Plan, Section, canonical
from dsvm.plan import image_sections
from dsvm.sbom.bill import FILES, ORDER, OTHERS, POOL, RECORD, UNLOCKED, UNSEEN, Bill, Component
from dsvm.sbom.contents import purl_of


def bill_of_image(locked: Bill, inventory: Inventory, plan: Plan) -> Bill:
    """The bill of the image that `inventory` is of; `locked` is that of its lock.

    A component has the artefact's SHA-256 only where all its files are that artefact's.
    """
    looked = _Looking(locked, inventory, plan)
    found = sorted(looked.components(), key=lambda one: one.ref)
    refs = {one.ref for one in found}
    missing = tuple(one.ref for one in locked.components if one.ref not in refs)
    kept = tuple(replace(one, needs=_still(one.needs, refs)) for one in found)
    tools = tuple(replace(one, needs=_still(one.needs, refs) or ()) for one in locked.tools)
    unread = tuple(f"{path}: {why}" for path, why in inventory.unread.items())
    return replace(locked, tools=tools, components=kept, image=inventory.image, missing=missing, unread=unread)


def _still(needs: tuple[str, ...] | None, refs: set[str]) -> tuple[str, ...] | None:
    return tuple(ref for ref in needs if ref in refs) if needs is not None else None


class _Looking:
    def __init__(self, locked: Bill, inventory: Inventory, plan: Plan) -> None:
        self.locked, self.inventory, self.plan = locked, inventory, plan
        self.sections = {section.id: section for section in image_sections(plan)}
        self.places = {name: _place(section) for name, section in self.sections.items()}
        self.pooled = {name: _is_pooled(section) for name, section in self.sections.items()}
        self.compiled = {name: _is_compiled(section) for name, section in self.sections.items()}
        # (ecosystem, name, version) -> the components that are called so
        self.called: dict[tuple[str, str, str], list[Component]] = {}
        for one in locked.components:
            self.called.setdefault((one.ecosystem, one.name, one.version), []).append(one)

    def components(self) -> Iterator[Component]:
        seen: dict[str, Component] = {}
        for one in self.inventory.packages:
            known = self._locked(one)
            if known is not None:
                compared = self._compared(known, one)
                # of what stands in several places the worst one counts
                before = seen.setdefault(known.ref, compared)
                seen[known.ref] = max(before, compared, key=_order)
            elif not one.owners and not one.pooled:
                extra = self._unlocked(one)
                seen.setdefault(extra.ref, extra)
        for known in self.locked.components:
            if known.ref not in seen and (evidence := self._without_record(known)):
                seen[known.ref] = replace(known, sha256=None, evidence=evidence)
        yield from seen.values()

    def _locked(self, one: Standing) -> Component | None:
        """The locked component that a record is of, if it stands where that should."""
        for known in self.called.get((one.ecosystem, one.name, one.version), ()):
            # what an artefact has there is its own, or comes inside another one
            own = not one.owners or any(who.endswith(f" {one.version}") and self._is(who, known) for who in one.owners)
            if own and _inside(one.path, self.places[known.section]):
                return known
        return None

    def _is(self, who: str, known: Component) -> bool:
        """Whether an artefact, `NAME VERSION`, is that of a component."""
        return who in (f"{known.name} {known.version}", f"{known.name}@{known.version} {known.version}")

    def _compared(self, known: Component, one: Standing) -> Component:
        place = self.places[known.section]
        names = {f"{known.name} {known.version}", f"{known.name}@{known.version} {known.version}"}
        differing = self.inventory.differing
        others = [path for who in names for path in differing.get(who, ()) if _inside(path, place)]
        if known.sha256 is not None and self.pooled[known.section]:
            # the ecosystem puts files as it likes: they are in a pool of all its artefacts' or they are others
            folder = one.path.rpartition("/")[0]
            others = [path for path in self.inventory.strange if _is_own(path, folder)]
            if others or not one.pooled:
                return replace(known, sha256=None, evidence=OTHERS)
            return replace(known, evidence=POOL)
        if known.sha256 is None or self.compiled[known.section] or not names & self.inventory.telling:
            return replace(known, sha256=None, evidence=RECORD)
        if others:
            return replace(known, sha256=None, evidence=OTHERS)
        return replace(known, evidence=FILES)

    def _unlocked(self, one: Standing) -> Component:
        here = [section for section in self.sections.values() if section.ecosystem == one.ecosystem]
        inside = [section for section in here if _inside(one.path, self.places[section.id])]
        section = max(inside, key=lambda section: len(self.places[section.id]), default=None)
        env = section.extra.get("env") if section is not None else None
        return Component(
            ref=f"{one.path.rpartition('/')[0]}/{one.name}@{one.version}",
            name=one.name,
            version=one.version,
            purl=self._purl(one),
            section=section.id if section is not None else "",
            ecosystem=one.ecosystem,
            env=env if isinstance(env, str) else None,
            license=canonical(one.license) if one.license else None,
            evidence=UNLOCKED,
        )

    def _purl(self, one: Standing) -> PackageURL:
        try:
            file = one.file or one.name
            pin = Pin(name=one.name, version=one.version, file=file, size=0, sha256="0" * 64, registry="-")
        except ValueError:  # no ecosystem calls a package so
            return PackageURL("generic", None, one.name, one.version)
        return purl_of(one.ecosystem, pin, self.plan.base, sure=False)

    def _without_record(self, known: Component) -> str | None:
        """What speaks for a component of which no record is there; None where it should be, and is not."""
        section = self.sections[known.section]
        ecosystem = ecosystems.get(section.ecosystem)
        if not isinstance(ecosystem, LeavesRecords):
            return UNSEEN
        if known.purl.type == "oci":
            return UNSEEN
        folders = self.inventory.folders.get(known.section, ())
        return RECORD if {known.name, f"{known.name}@{known.version}"} & {*folders} else None


def _order(one: Component) -> int:
    return ORDER.index(one.evidence or UNSEEN)


def _place(section: Section) -> str:
    ecosystem = ecosystems.get(section.ecosystem)
    return ecosystem.place(section) if isinstance(ecosystem, LeavesRecords) else ""


def _is_pooled(section: Section) -> bool:
    """Whether the installation puts the files of a section as it likes."""
    ecosystem = ecosystems.get(section.ecosystem)
    return (
        isinstance(ecosystem, HoldsFiles)
        and not ecosystem.compiles
        and any(not pool.pins for pool in ecosystem.pools(section))
    )


def _is_compiled(section: Section) -> bool:
    """Whether the installation makes other files of the artefacts of a section."""
    ecosystem = ecosystems.get(section.ecosystem)
    return isinstance(ecosystem, HoldsFiles) and ecosystem.compiles


def _is_own(path: str, folder: str) -> bool:
    """Whether a file is of the npm package in a folder, and not of one inside that."""
    return _inside(path, folder) and not _inside(path, f"{folder}/node_modules")


def _inside(path: str, place: str) -> bool:
    return path.startswith(f"{place}/")
