"""What a plan's artefacts promise of the image, and what its steps make beside that."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dsvm import ecosystems
from dsvm.ecosystems import Generated, HoldsFiles
from dsvm.host import members
from dsvm.ledger.lists import keep, kept
from dsvm.model import Entry, Pin, Plan, Section, StoreError, digest_of
from dsvm.plan import image_sections, small_texts
from dsvm.store import Store

PLAN = "the plan"  # who promises what no artefact does


@dataclass
class Promises:
    """Path -> everything that promises something of it, with who does; and patterns of what steps make."""

    entries: dict[str, list[tuple[Entry, str]]] = field(default_factory=dict)
    generated: list[Generated] = field(default_factory=list)
    # prefix -> (name, digest) of files that may stand anywhere below it
    pools: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    # section -> its ecosystem, which tells no files
    silent: dict[str, str] = field(default_factory=dict)
    # (section, name of a pin) -> the paths that it brings
    brought: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, path: str, entry: Entry, who: str) -> None:
        self.entries.setdefault(path, []).append((entry, who))


def promises(plan: Plan, store: Store, folder: Path, *, only: Collection[str] | None = None) -> Promises:
    """What `plan` says of its image; lists of artefacts that were read before come from `folder`.

    `only` limits it to some of the sections; the plan's own files are always there.
    """
    found = Promises()
    for section in image_sections(plan):
        chosen = only is None or section.id in only
        if section.id == "base" and plan.base_kind == "registry":
            continue  # its layers are compared as a whole: see ground.py
        ecosystem = ecosystems.get(section.ecosystem)
        if not isinstance(ecosystem, HoldsFiles):
            if chosen:
                found.silent[section.id] = section.ecosystem
            continue
        if chosen or ecosystem.placement == "system":  # scripts of system packages run again when others come
            found.generated += [one for one in ecosystem.generated(section, plan.base) if one not in found.generated]
        if not chosen:
            continue
        for pin, contents in _contents(ecosystem, section, store, folder):
            brought = found.brought.setdefault((section.id, pin.name), [])
            for path, entry in ecosystem.placed(section, pin, contents, plan.base):
                found.add(path, entry, f"{pin.name} {pin.version}")
                brought.append(path)
        for pool in ecosystem.pools(section):
            members = found.pools.setdefault(pool.prefix, set())
            for other in (one for one in plan.sections if one.id in pool.sections):
                holder = ecosystems.get(other.ecosystem)
                for pin, contents in _contents(holder, other, store, folder) if isinstance(holder, HoldsFiles) else ():
                    if pool.pins and pin.name not in pool.pins:
                        continue
                    members |= {(path.rpartition("/")[2], entry.sha256) for path, entry in contents if entry.sha256}
    _of_plan(plan, found)
    return found


def _contents(
    ecosystem: HoldsFiles, section: Section, store: Store, folder: Path
) -> Iterator[tuple[Pin, list[tuple[str, Entry]]]]:
    target = ecosystem.rewritten_for(section)
    ending = f"-{digest_of(target)}" if target else ""
    reader = _reader(ecosystem.name, Path(inspect.getfile(type(ecosystem))))

    def read(pin: Pin) -> list[tuple[str, Entry]]:
        place = folder / f"artefacts-{reader}" / f"{pin.sha256}{ending}.zst"
        found = kept(place)
        if found is None:
            if not store.has(pin.sha256, pin.size):
                raise StoreError(
                    f"{pin.filename} is not in the store, and so nobody can tell what an image should have of it",
                    hint="Get what the lock names: invoke fetch",
                )
            found = list(ecosystem.contents(pin, store.path(pin.sha256), target))
            keep(place, found)
        return found

    with ThreadPoolExecutor(4) as pool:
        yield from zip(section.pins, pool.map(read, section.pins), strict=True)


@cache
def _reader(name: str, module: Path) -> str:
    """An ecosystem's name, with a digest of the code that reads its artefacts: other code may read them otherwise."""
    files = sorted(module.parent.glob("*.py")) if module.parent.name == name else [module]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in (*files, Path(inspect.getfile(members)))))
    return f"{name}-{code.hexdigest()[:16]}"


def _of_plan(plan: Plan, found: Promises) -> None:
    """The plan's small files, and our programs."""
    for path, (text, mode) in small_texts(plan).items():
        data = text.encode()
        found.add(path, Entry("file", mode, size=len(data), sha256=hashlib.sha256(data).hexdigest()), PLAN)
