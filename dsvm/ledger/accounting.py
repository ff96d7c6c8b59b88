"""Everything in an image against everything that should be in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from dsvm.host import Engine, read_bounded, write_whole
from dsvm.ledger import bytecode, properties
from dsvm.ledger.comparing import Difference, compare, resolved, shown
from dsvm.ledger.contents import Contents
from dsvm.ledger.ground import promise_base, system_layers
from dsvm.ledger.image import Image, find_image, read_layers
from dsvm.ledger.promises import Promises, promises
from dsvm.ledger.reading import contents
from dsvm.ledger.settings import other_settings
from dsvm.ledger.sizes import sizes
from dsvm.model import Entry, Plan, digest_of
from dsvm.plan import small_texts
from dsvm.store import Store

ROOMS = ("ledger", "ecosystems")  # whose code says what an account is: with other code it is another one


@dataclass(frozen=True)
class Account:
    """What was found of an image: how many paths and bytes it has, and what is not as it should be."""

    image: str
    paths: int
    bytes: int
    differences: tuple[Difference, ...]
    # section -> its ecosystem, which does not tell which files it brings
    silent: dict[str, str]
    # section -> name of a pin, or "" for the rest of its folder -> bytes
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    # a section that is silent -> how many paths of its layers nothing else explains
    untold: dict[str, int] = field(default_factory=dict)


KEPT = TypeAdapter(Account)


def account(
    name: str,
    plan: Plan,
    store: Store,
    engine: Engine,
    *,
    layers: Sequence[str] | None = None,
    echo: Callable[[str], None] = lambda line: None,
) -> Account:
    """Account for every file of the image `name`, which should be that of `plan`.

    `layers` are the digests of those that the build noted, the lowest first. Lists of layers and artefacts are
    kept in the store, and so is the account, so that nothing is read twice. Raises EngineError, and StoreError where
    an artefact is not there.
    """
    folder = store.root / "ledger"
    image = find_image(name, engine)
    place = kept_place(folder, ROOMS, image.id, plan.digest, layers)
    if (known := kept(place)) is not None:
        return known
    with ThreadPoolExecutor(1) as beside:
        promised = beside.submit(promises, plan, store, folder)
        image = read_layers(image, engine, folder, echo=echo)
        made = _account(image, promised.result(), plan, store, engine, folder, layers, echo)
    write_whole(place, KEPT.dump_json(made))
    return made


def kept_place(folder: Path, rooms: tuple[str, ...], *what: object) -> Path:
    """Where an account is kept: by what it is of, and the code of those rooms that make it."""
    return folder / "accounts" / f"{digest_of([_code(rooms), *what])}.json"


def kept(place: Path) -> Account | None:
    """The account that is kept there."""
    try:
        return KEPT.validate_json(read_bounded(place))
    except (OSError, ValueError):
        return None


@cache
def _code(rooms: tuple[str, ...]) -> str:
    """A digest of our own programs that make an account."""
    found = hashlib.sha256()
    for path in sorted(path for room in rooms for path in (Path(__file__).parents[1] / room).rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _account(
    image: Image,
    promised: Promises,
    plan: Plan,
    store: Store,
    engine: Engine,
    folder: Path,
    layers: Sequence[str] | None,
    echo: Callable[[str], None],
) -> Account:
    tree = image.tree()
    layered = promise_base(plan, image, promised, store, layers)
    wanted = resolved(promised, tree)
    found, untold = _told(compare(tree, promised), _silent_layers(plan, image, promised, layers))
    stale = {one.path for one in found if one.verdict == "stale"}
    found += bytecode.differences(image, tree, wanted, engine, folder, known=stale, echo=echo)
    seen = sight(
        tree,
        image.contents(),
        wanted,
        promised,
        plan,
        image.environment,
        lambda paths: contents(image.id, engine, tree, paths),
    )
    found += properties.every(seen)
    found += layered
    found += other_settings(plan, image.config["Config"])
    if layers is not None:
        found += _layers(image, layers)
    brought = sizes(tree, plan, promised.brought)
    return Account(image.id, len(tree), size_of(tree), tuple(map(shown, found)), promised.silent, brought, untold)


def size_of(tree: Mapping[str, tuple[Entry, int]]) -> int:
    """Bytes of all files."""
    return sum(entry.size for entry, _ in tree.values() if entry.kind == "file")


def sight(
    tree: Mapping[str, tuple[Entry, int]],
    inside: Contents,
    wanted: Mapping[str, list[tuple[Entry, str]]],
    promised: Promises,
    plan: Plan,
    environment: Mapping[str, str],
    fetch: Callable[[Sequence[str]], Iterable[tuple[str, bytes]]],
) -> properties.Sight:
    """What the properties of an image, or of a machine's disk, look at."""
    return properties.Sight(
        tree,
        wanted,
        inside,
        frozenset(_digests(promised)),
        environment,
        frozenset(small_texts(plan)),
        tuple(word for service in plan.services.values() for word in service.run),
        frozenset(service.token_env for service in plan.services.values()),
        tuple(pattern for tool in plan.tools for pattern in tool.lacks),
        has_driver=plan.accelerator == "gpu",
        fetch=fetch,
    )


def _digests(promised: Promises) -> Iterator[str]:
    """Of all files that artefacts have, wherever they are put."""
    yield from (one.sha256 for entries in promised.entries.values() for one, _ in entries if one.sha256)
    yield from (digest for members in promised.pools.values() for _, digest in members)


def _silent_layers(plan: Plan, image: Image, promised: Promises, recorded: Sequence[str] | None) -> dict[int, str]:
    """Number -> section of the layers of packages that tell nothing; none where nobody knows which these are."""
    if recorded is None:
        return {}
    first = system_layers(plan, image, recorded)
    stages = [stage for stage in plan.stages if stage.output]
    found = {first + place: one.section for place, one in enumerate(stages) if one.section in promised.silent}
    for section in ("base", "system"):
        if section in promised.silent:
            found |= dict.fromkeys(range(first), section)
    return {layer: section for layer, section in found.items() if layer < len(image.layers)}


def _told(found: Sequence[Difference], silent: Mapping[int, str]) -> tuple[list[Difference], dict[str, int]]:
    """The differences without what is unexplained in a layer of silent packages, and how much that is, by section."""
    untold = dict.fromkeys(silent.values(), 0)
    kept = []
    for one in found:
        if one.verdict == "unexplained" and one.layer in silent:
            untold[silent[one.layer]] += 1
        else:
            kept.append(one)
    return kept, untold


def recorded(folder: Path, plan: Plan) -> list[str] | None:
    """Digests of the layers that the build of this plan noted in its folder; None where there is no such note."""
    try:
        noted = json.loads(read_bounded(folder / "build.json"))
        return [str(layer["digest"]) for layer in noted["layers"]] if noted["plan"] == plan.digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _layers(image: Image, recorded: Sequence[str]) -> list[Difference]:
    """Layers that the build did not note, or noted and that are not there."""
    real = [layer.diff_id for layer in image.layers]
    if real == list(recorded):
        return []
    same = next((n for n, (one, other) in enumerate(zip(real, recorded, strict=False)) if one != other), None)
    if same is None and len(real) > len(recorded):
        what = f"{len(real) - len(recorded)} layers lie on top of those that the build noted"
    elif same is None:
        what = f"{len(recorded) - len(real)} layers that the build noted are not there"
    else:
        what = f"layer {same} is not the one that the build noted"
    return [Difference("layers", "/", what)]
