"""Everything on a virtual machine's disk against what should be there: its container image, and what making it adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from dsvm.ecosystems import Generated
from dsvm.host import Engine, write_whole
from dsvm.ledger import bytecode, properties
from dsvm.ledger.accounting import KEPT, ROOMS, Account, kept, kept_place, sight, size_of
from dsvm.ledger.comparing import Difference, compare, resolved, shown
from dsvm.ledger.ext4 import FileSystem
from dsvm.ledger.image import Image, Layer, find_image, read_layers
from dsvm.ledger.promises import Promises, promises
from dsvm.ledger.properties import Sight
from dsvm.ledger.settings import DEFAULT_PATH
from dsvm.model import Entry, Plan, Tree
from dsvm.plan import small_texts
from dsvm.store import Store

IMAGE, MADE = "its container image", "making it"  # who promises what no package does


class Opened(NamedTuple):
    """A disk that can be read: its root, and what is found beside that by who knows the root's tree."""

    root: FileSystem
    beside: Callable[[Tree], Iterable[Difference]]


class Making(NamedTuple):
    """What making a machine adds to the files of its container image and its own packages.

    `entries` says of a disk what is right exactly as it is there, `generated` are patterns; `trusted` are members of
    groups that may become root, `lacks` libraries that nothing has.
    """

    entries: Callable[[Sight], Iterable[tuple[str, Entry]]]
    generated: Sequence[Generated]
    trusted: frozenset[tuple[str, str]]
    lacks: tuple[str, ...]


def account_disk(
    sha256: str,
    opened: Callable[[], AbstractContextManager[Opened]],
    plan: Plan,
    making: Making,
    image: str,
    store: Store,
    engine: Engine,
    *,
    echo: Callable[[str], None] = lambda line: None,
) -> Account:
    """Account for every file of a machine's disk, which has the digest `sha256` and should be that of `plan`.

    `image` names the verified container image that it was made from. The account is kept in the store by the digests of
    both; only where there is none the disk is `opened`. Raises EngineError, StoreError, and what reading the disk does.
    """
    folder = store.root / "ledger"
    below = find_image(image, engine)
    place = kept_place(folder, (*ROOMS, "vm"), sha256, below.id, plan.digest)
    if (known := kept(place)) is not None:
        return known
    promised = _promised(plan, read_layers(below, engine, folder, echo=echo), making, store)
    with opened() as disk:
        entries, inside = disk.root.read()
        # its one layer is the disk; what is run for it is the container image's own Python
        whole = Image(below.id, (Layer(f"sha256:{sha256}", entries, inside),), below.config)
        # and no name on a disk means that another one is gone, as in a layer
        tree = {path: (entry, 0) for path, entry in entries}
        for path, entry in making.entries(Sight(tree, contents=inside, fetch=disk.root.files)):
            promised.add(path, entry, MADE)
        wanted = resolved(promised, tree)
        found = compare(tree, promised)
        stale = {one.path for one in found if one.verdict == "stale"}
        found += bytecode.differences(
            whole, tree, wanted, engine, folder, known=stale, fetch=disk.root.files, echo=echo
        )
        seen = sight(tree, inside, wanted, promised, plan, {"PATH": DEFAULT_PATH, **plan.environment}, disk.root.files)
        found += properties.every(dataclasses.replace(seen, trusted=making.trusted, lacks=(*seen.lacks, *making.lacks)))
        found += disk.beside(tree)
    made = Account(f"sha256:{sha256}", len(tree), size_of(tree), tuple(map(shown, found)), promised.silent)
    write_whole(place, KEPT.dump_json(made))
    return made


def _promised(plan: Plan, image: Image, making: Making, store: Store) -> Promises:
    """What the image has, what packages do that only machines have, and what making it leaves.

    The plan's files stand in the place of what the image has there.
    """
    special = {section.id for section in plan.sections if section.formats}
    found = promises(plan, store, store.root / "ledger", only=special)
    own = small_texts(plan)
    for path, (entry, _) in image.tree().items():
        if path not in own:
            found.add(path, entry, IMAGE)
    found.generated += making.generated
    return found
