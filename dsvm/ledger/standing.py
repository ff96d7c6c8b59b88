"""Which packages are in an image, by the records that they leave there; nothing of the image runs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import TypeAdapter

from dsvm import ecosystems
from dsvm.ecosystems import LeavesRecords
from dsvm.host import Engine, read_bounded, write_whole
from dsvm.ledger.comparing import LONGEST, compare, printable, resolved
from dsvm.ledger.image import find_image, read_layers
from dsvm.ledger.promises import Promises, promises
from dsvm.ledger.reading import contents
from dsvm.model import Entry, Plan, Section, Tree, digest_of
from dsvm.plan import image_sections
from dsvm.store import Store

FORM = 1  # of kept inventories: what is read of records


@dataclass(frozen=True)
class Standing:
    """A package that stands in an image, as its record there has it."""

    ecosystem: str
    name: str
    version: str
    # of the record
    path: str
    # what the file of a pin would be, as far as it can be told
    file: str = ""
    # in its own words
    license: str = ""
    # the artefacts, `NAME VERSION`, that have exactly this record there
    owners: tuple[str, ...] = ()
    # whether an artefact of the plan has such a file, wherever that is put
    pooled: bool = False


@dataclass(frozen=True)
class Inventory:
    """What stands in an image, sorted by ecosystem and path, and what its artefacts say otherwise."""

    image: str
    packages: tuple[Standing, ...]
    # the artefacts, `NAME VERSION`, that tell which files the image gets of them
    telling: frozenset[str]
    # artefact -> paths where the image has something else than it, or nothing
    differing: dict[str, tuple[str, ...]]
    # files below the place of a pool that neither it nor anything else explains
    strange: tuple[str, ...]
    # section -> pins without a record whose folders are there
    folders: dict[str, tuple[str, ...]]
    # record -> why it tells nothing
    unread: dict[str, str]


KEPT = TypeAdapter(Inventory)


def inventory(
    name: str, plan: Plan, store: Store, engine: Engine, *, echo: Callable[[str], None] = lambda line: None
) -> Inventory:
    """The packages of the image `name`, compared with the artefacts of `plan`; kept in the store, by the image's id.

    Raises EngineError, and StoreError where an artefact is not there.
    """
    folder = store.root / "ledger"
    image = find_image(name, engine)
    place = folder / "inventories" / f"{digest_of([FORM, image.id, plan.digest])}.json"
    try:
        return KEPT.validate_json(read_bounded(place))
    except (OSError, ValueError):
        pass
    tree = read_layers(image, engine, folder, echo=echo).tree()
    promised = promises(plan, store, folder)
    wanted = resolved(promised, tree)
    found: list[Standing] = []
    unread: dict[str, str] = {}
    records = {path: one for one in _known() for path in _records(one, tree)}
    echo(f"reading {len(records)} records of packages of {image.id}")
    for path, data in contents(image.id, engine, tree, sorted(records)):
        try:
            found += _standing(records[path], path, data, plan, tree[path][0], wanted, promised)
        except (ValueError, RecursionError) as error:
            unread[path] = f"{type(error).__name__}: {error}"[:LONGEST]
    differing: dict[str, list[str]] = {}
    strange: list[str] = []
    for one in compare(tree, promised):
        if one.verdict in ("changed", "missing"):
            for _, who in wanted.get(one.path, ()):
                differing.setdefault(who, []).append(one.path)
        elif one.verdict == "unexplained" and one.path.startswith(tuple(f"{prefix}/" for prefix in promised.pools)):
            strange.append(one.path)
    made = Inventory(
        image.id,
        tuple(sorted(found, key=lambda one: (one.ecosystem, one.path, one.name, one.version))),
        frozenset(who for entries in promised.entries.values() for _, who in entries),
        {who: tuple(paths) for who, paths in sorted(differing.items())},
        tuple(strange),
        dict(_folders(plan, tree)),
        unread,
    )
    write_whole(place, KEPT.dump_json(made))
    return made


def _known() -> Iterator[LeavesRecords]:
    for name in ecosystems.registry():
        one = ecosystems.get(name)
        if isinstance(one, LeavesRecords):
            yield one


def _records(ecosystem: LeavesRecords, tree: Tree) -> Iterator[str]:
    return (path for path, (entry, _) in tree.items() if entry.kind == "file" and ecosystem.records.fullmatch(path))


def _standing(
    ecosystem: LeavesRecords,
    path: str,
    data: bytes,
    plan: Plan,
    entry: Entry,
    wanted: Mapping[str, list[tuple[Entry, str]]],
    promised: Promises,
) -> Iterator[Standing]:
    owners = tuple(dict.fromkeys(who for one, who in wanted.get(path, ()) if one.sha256 == entry.sha256))
    file_in = (PurePosixPath(path).name, entry.sha256)
    pooled = any(path.startswith(f"{prefix}/") and file_in in pool for prefix, pool in promised.pools.items())
    for one in ecosystem.recorded(path, data, _section(ecosystem, path, plan)):
        name, version, file, license = map(printable, (one.name, one.version, one.file, one.license))
        yield Standing(ecosystem.name, name, version, path, file, license, owners, pooled)


def _section(ecosystem: LeavesRecords, path: str, plan: Plan) -> Section | None:
    """The section in whose place a path is, the innermost."""
    here = [one for one in image_sections(plan) if one.ecosystem == ecosystem.name]
    inside = [one for one in here if path.startswith(f"{ecosystem.place(one)}/")]
    return max(inside, key=lambda one: len(ecosystem.place(one)), default=None)


def _folders(plan: Plan, tree: Tree) -> Iterator[tuple[str, tuple[str, ...]]]:
    for section in image_sections(plan):
        ecosystem = ecosystems.get(section.ecosystem)
        if isinstance(ecosystem, LeavesRecords):
            there = [pin.name for pin in section.pins if ecosystem.folder(pin) in tree]
            if there:
                yield section.id, tuple(there)
