"""How many bytes of an image each artefact takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsvm import ecosystems
from dsvm.ecosystems import LeavesRecords
from dsvm.ledger.comparing import Resolver, source_of
from dsvm.model import Entry, Plan
from dsvm.plan import image_sections

REST = ""  # what is in the place of a section, and of none of its pins


def sizes(
    tree: Mapping[str, tuple[Entry, int]], plan: Plan, brought: Mapping[tuple[str, str], Sequence[str]]
) -> dict[str, dict[str, int]]:
    """Section -> name of a pin -> bytes of its files, with their byte code; `brought` is (section, pin) -> paths."""
    real = Resolver(tree)
    owner: dict[str, tuple[str, str]] = {}
    places: dict[str, str] = {}
    for section in image_sections(plan):
        ecosystem = ecosystems.get(section.ecosystem)
        if isinstance(ecosystem, LeavesRecords) and section.pins and (place := ecosystem.place(section)):
            places[f"{place}/"] = section.id
        for pin in section.pins:
            key = section.id, pin.name
            owner |= dict.fromkeys(map(real.path, brought.get(key, ())), key)
    found: dict[str, dict[str, int]] = {}
    for path, (entry, _) in tree.items():
        if entry.kind != "file":
            continue
        key = owner.get(path) or owner.get(source_of(path, tree) or "") or (_inside(path, places), REST)
        if key[0]:
            here = found.setdefault(key[0], {})
            here[key[1]] = here.get(key[1], 0) + entry.size
    return found


def _inside(path: str, places: Mapping[str, str]) -> str:
    return next((section for place, section in places.items() if path.startswith(place)), "")
