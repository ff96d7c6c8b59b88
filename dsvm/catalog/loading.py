"""The folders of manifests as one catalog: the project's own, and overlays over it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsvm.catalog.checking import check_variants, cross_check
from dsvm.catalog.extending import extend
from dsvm.catalog.grouping import Groups
from dsvm.catalog.manifests import MANIFESTS, Catalog
from dsvm.catalog.models import key_of, kinds
from dsvm.catalog.reading import read_yaml
from dsvm.catalog.validating import load_model, parse
from dsvm.catalog.words import line_of, near
from dsvm.model import GROUP, Compat, InputError, Model, Policy, Retired, RetiredTools, Variant

COMPAT = "compat.yaml"
POLICY = "policy.yaml"
RETIRED = "retired.yaml"


def load(overlays: Sequence[Path] = (), *, main: Path = MANIFESTS, strict: bool = True) -> Catalog:
    """Read the project's manifests and then each overlay folder; a later file replaces an earlier thing of its name.

    Raises InputError with every fault of all files. Unless `strict`, a variant with faults stops only itself: it is in
    `Catalog.broken`, and `Catalog.variant` raises for it.
    """
    faults: list[str] = []
    of_variants: dict[str, list[str]] = {}
    things: dict[str, dict[str, Any]] = {kind: {} for kind in kinds()}
    origin: dict[tuple[str, str], Path] = {}
    broken: set[tuple[str, str]] = set()
    compat = Compat()
    policy = Policy()
    retired: dict[str, Retired] = {}
    for folder in (main, *overlays):
        if not folder.is_dir():
            faults.append(f"{folder}: no such folder")
            continue
        compat = compat.with_later(_load_compat(folder / COMPAT, compat, faults))
        policy = policy.with_later(_load_policy(folder / POLICY, faults, origin))
        retired |= _retired(folder / RETIRED, faults, origin)
        for kind, path in _files(folder, faults):
            told = of_variants.setdefault(path.stem, []) if kind == "variants" else faults
            thing = _load_file(path, kind, told)
            if thing is None:
                broken.add((kind, path.stem))
                continue
            name = getattr(thing, key_of(kind))
            earlier = origin.get((kind, name))
            if earlier is not None and earlier.is_relative_to(folder):
                told.append(f"{path}:1: {key_of(kind)} '{name}' stands in {earlier} too")
            things[kind][name] = thing
            origin[kind, name] = path
    whole = dict(things["variants"])
    for name, fault in extend(whole, Groups(things["tools"], things["bases"]), origin, broken):
        of_variants.setdefault(name, []).append(fault)
    catalog = Catalog(
        origin=origin,
        folders=(main, *overlays),
        compat=compat,
        policy=policy,
        retired=retired,
        **{**things, "variants": whole},
    )
    faults += cross_check(catalog, broken)
    for name, fault in check_variants(catalog, broken):
        of_variants.setdefault(name, []).append(fault)
    bad = {name: tuple(found) for name, found in of_variants.items() if found}
    if faults or (strict and bad):
        raise InputError([*faults, *(fault for found in bad.values() for fault in found)])
    return _without_broken(catalog, bad, things["variants"])


def _without_broken(catalog: Catalog, bad: Mapping[str, tuple[str, ...]], written: Mapping[str, Variant]) -> Catalog:
    """`catalog` without its broken variants: a fault of one is a fault of those that extend it."""
    broken: dict[str, tuple[str, ...]] = {}
    for name in (*bad, *(name for name in written if name not in bad)):
        chain = [name]
        while chain[-1] in written and (other := written[chain[-1]].extends) is not None and other not in chain:
            chain.append(other)
        if found := [fault for one in chain for fault in bad.get(one, ())]:
            broken[name] = tuple(found)
    good = {name: variant for name, variant in catalog.variants.items() if name not in broken}
    return replace(catalog, variants=good, broken=broken)


def known_names(folders: Sequence[Path] = (MANIFESTS,)) -> dict[str, list[str]]:
    """Kind -> the names that the manifests in `folders` go by, whether they are right or not.

    GPUs are of kind `gpus`, and what a variant may name, tools and groups, is `wanted`.
    """
    names = {kind: [path.stem for folder in folders for path in (folder / kind).glob("*.y*ml")] for kind in kinds()}
    tables = [_load_compat(folder / COMPAT, Compat(), []) for folder in folders]
    texts = (path.read_text(encoding="utf-8", errors="replace") for one in folders for path in one.glob("tools/*.y*ml"))
    groups = {GROUP + found[1] for text in texts if (found := re.search(r"^group: *([a-z][a-z0-9.-]*)", text, re.M))}
    return {
        **names,
        "wanted": [*names["tools"], *sorted(groups)],
        "gpus": [row.gpu for table in tables for row in table.gpus],
    }


def _files(folder: Path, faults: list[str]) -> Iterator[tuple[str, Path]]:
    for sub in sorted(folder.iterdir()):
        if not sub.is_dir():
            if sub.name in kinds():
                faults.append(f"{sub}: a folder is expected here")
            continue
        for path in sorted(sub.glob("*.y*ml")):
            if sub.name in kinds():
                yield sub.name, path
            elif sub.name not in ("checks", "files", "schema", "locks"):
                faults.append(f"{path}:1: unknown kind of manifest '{sub.name}'{near(sub.name, kinds())}")


def _load_file(path: Path, kind: str, faults: list[str]) -> Model | None:
    thing = load_model(path, kinds()[kind], faults)
    if thing is None:
        return None
    if getattr(thing, key_of(kind)) != path.stem:
        faults.append(f"{path}:1: {key_of(kind)} '{getattr(thing, key_of(kind))}' must stand in a file of that name")
    return thing


def _retired(path: Path, faults: list[str], origin: dict[tuple[str, str], Path]) -> dict[str, Retired]:
    """The retired tools that a file names, under each of their names; none when there is no such file."""
    rows = load_model(path, RetiredTools, faults) if path.exists() or path.is_symlink() else None
    found: dict[str, Retired] = {}
    for row in rows.retired if rows is not None else ():
        origin["retired", row.tool] = path
        names = (row.tool, *row.aliases)
        faults += [f"{path}:{line_of(path, name)}: '{name}' stands twice" for name in names if name in found]
        found |= dict.fromkeys(names, row)
    return found


def _load_policy(path: Path, faults: list[str], origin: dict[tuple[str, str], Path]) -> Policy:
    """The policy of one folder; empty where it has none."""
    if not (path.exists() or path.is_symlink()):
        return Policy()
    origin["policy", str(path)] = path
    return load_model(path, Policy, faults) or Policy()


def _load_compat(path: Path, earlier: Compat, faults: list[str]) -> Compat:
    """The compatibility rows of one folder; empty where it has none. Two rows of one key in a file are a fault."""
    if not (path.exists() or path.is_symlink()):
        return Compat()
    read = read_yaml(path)
    rows = parse(path, read, Compat, faults)
    if rows is None or isinstance(read, str):
        return Compat()
    known = earlier.sources | rows.sources
    for table, members in rows.tables.items():
        seen: set[tuple[str, ...]] = set()
        for number, row in enumerate(members):
            where = f"{path}:{read[1][table, number]}"
            if row.key in seen:
                faults.append(f"{where}: {table}: a row for {' '.join(row.key)} stands above already")
            seen.add(row.key)
            if row.source not in known:
                faults.append(f"{where}: unknown source '{row.source}'{near(row.source, known)}")
    return rows
