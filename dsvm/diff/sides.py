"""What people name as the two sides: lock files, variants, revisions, days and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dsvm import ROOT
from dsvm import lock as locks
from dsvm.catalog import Catalog, near
from dsvm.container import images, read_file
from dsvm.diff.contents import Contents, ImageManifest, of_image, of_lock
from dsvm.diff.history import DAY, text_at
from dsvm.host import read_bounded
from dsvm.model import DISK_FORMATS, Format, InputError, Lock, LockError, Plan
from dsvm.plan import LABELS, PLAN, image_manifest
from dsvm.session import Session
from dsvm.vm import Place

MANIFEST = "/etc/dsvm/manifest.json"
HEAD = "HEAD"


@dataclass(frozen=True)
class _Found:
    """A side that was read: a lock, or what an image says of itself."""

    name: str
    what: str
    held: Lock | ImageManifest
    # of an image
    format: Format = "docker"
    layers: Mapping[str, int | None] | None = None


def both_sides(session: Session, variant: str | None, old: str | None, new: str | None) -> tuple[Contents, Contents]:
    """The two sides as people name them, ready to be compared.

    By default `old` is the lock in git's HEAD, and `new` the present one. A revision or a day is one of `variant`'s
    lock, or of the variant that the other side is of. Raises InputError for what cannot be read.
    """
    catalog = session.catalog
    if variant is not None:
        catalog.variant(variant)
    given = {name: text for name, text in (("old", old), ("new", new)) if text is not None}
    found: dict[str, _Found] = {}
    # those that say themselves of which variant they are come first
    for name in sorted(given, key=lambda name: _is_revision(catalog, given[name])):
        found[name] = _read(session, given[name], variant or _variant_of(found))
    whose = variant or _variant_of(found)
    if whose is None:
        catalog.variant("")
        raise AssertionError
    if "new" not in found:
        found["new"] = _read(session, whose, whose)
    if "old" not in found:
        found["old"] = _read(session, f"{whose}@{HEAD}", whose)
    as_image = next((one.format for one in found.values() if isinstance(one.held, ImageManifest)), None)
    before, after = (_contents(catalog, found[name], as_image=as_image) for name in ("old", "new"))
    return before, after


def _contents(catalog: Catalog, found: _Found, *, as_image: Format | None) -> Contents:
    if isinstance(found.held, ImageManifest):
        return of_image(found.held, found.name, found.what, found.layers)
    return of_lock(catalog, found.held, found.name, found.what, as_image=as_image)


def _variant_of(found: dict[str, _Found]) -> str | None:
    return next((one.held.variant for one in found.values()), None)


def _is_variant(catalog: Catalog, text: str) -> bool:
    return text in catalog.variants or text in catalog.broken


def _is_file(text: str) -> bool:
    return text.endswith(".json") or Path(text).is_file()


def _is_machine(text: str) -> bool:
    return Path(text).suffix.removeprefix(".") in DISK_FORMATS


def _is_image(text: str) -> bool:
    """No revision of git has a colon, and none of ours begins as the names of our images do."""
    return ":" in text or text.startswith("dsvm/")


def _is_revision(catalog: Catalog, text: str) -> bool:
    """Whether it is one of a variant that is named elsewhere."""
    known = _is_variant(catalog, text.partition("@")[0])
    return bool(DAY.fullmatch(text)) or not (known or _is_file(text) or _is_machine(text) or _is_image(text))


def _read(session: Session, text: str, variant: str | None) -> _Found:
    """One side. Raises InputError when there is none such."""
    catalog = session.catalog
    name, at, revision = text.partition("@")
    try:
        if _is_variant(catalog, text):
            return _present(catalog, text)
        if at and _is_variant(catalog, name):
            return _of_revision(catalog, name, revision)
        if _is_machine(text):
            return _of_machine(Path(text))
        if _is_file(text):
            return _Found(text, "file", locks.read(Path(text)))
    except LockError as error:
        raise InputError(error.message, hint=error.hint) from error
    if _is_image(text):
        return _of_image(session, text)
    if variant is None:
        known = near(text, catalog.variants)
        raise InputError(
            f"'{text}' is neither a variant nor a lock file{known}, and of which variant is it a revision?",
            hint="Name the variant: --variant NAME",
        )
    try:
        return _of_revision(catalog, variant, text)
    except LockError as error:
        raise InputError(error.message, hint=error.hint) from error


def _present(catalog: Catalog, variant: str) -> _Found:
    path = locks.find_path(catalog, variant)
    if path is None:
        raise InputError(f"{variant} has no lock", hint=f"Run: invoke lock --variant {variant}")
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return _Found(variant, f"file {shown}", locks.read(path))


def _of_revision(catalog: Catalog, variant: str, revision: str) -> _Found:
    """The lock of a variant as git has it: where it is now, or where it would be written."""
    path = locks.find_path(catalog, variant) or locks.lock_path(catalog, variant)
    text, commit = text_at(path, revision)
    name = f"{variant}@{revision}"
    return _Found(name, commit, locks.parse(text, name))


def _of_image(session: Session, name: str) -> _Found:
    engine = session.engine
    if (found := images.inspect(name, engine)) is None:
        raise InputError(
            f"the engine has no image {name}", hint="See: docker images; or build it: invoke build --variant NAME"
        )
    fault = InputError(
        f"{name} is no image of DSVM: it has no {MANIFEST} that this version reads", hint="Name another one"
    )
    digest = images.labels_of(found).get(f"{LABELS}.lock")
    text = read_file(str(found["Id"]), MANIFEST, engine)
    if digest is None or text is None:
        raise fault
    try:
        manifest = ImageManifest.model_validate_json(text)
    except ValidationError as error:
        raise fault from error
    if manifest.lock != digest:
        raise InputError(
            f"{name} says {digest[:12]} of its lock in a label and {manifest.lock[:12]} in {MANIFEST}",
            hint="Somebody changed it: build it again",
        )
    what = f"image {str(found['Id']).removeprefix('sha256:')[:12]}"
    return _Found(name, what, manifest, layers=images.layers_of(str(found["Id"]), engine))


def _of_machine(path: Path) -> _Found:
    """A disk image of ours: what the plan says that stands beside it, which it was made from."""
    fault = f"{path} is no machine that DSVM made here"
    if not path.is_file():
        raise InputError(f"{path}: no such file", hint="Name the disk of a machine: build/VARIANT/VARIANT.qcow2")
    place = Place(path.parent, path.parent.name)
    known = place.known(path)
    if known is None:
        raise InputError(f"{fault}: {place.described(path).name} beside it does not say so", hint="Name another one")
    try:
        plan = Plan.model_validate_json(read_bounded(place.work / PLAN))
    except (OSError, ValueError) as error:
        raise InputError(f"{fault}: {place.work / PLAN} cannot be read", hint="Name another one") from error
    if plan.digest != known.plan:
        raise InputError(
            f"{path} was made from another plan than the one in {place.work}", hint="Make it again: invoke build"
        )
    manifest = ImageManifest.model_validate(image_manifest(plan))
    return _Found(str(path), f"machine {known.sha256[:12]}", manifest, known.format)
