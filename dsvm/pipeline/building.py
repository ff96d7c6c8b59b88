"""From manifest to a verified image: containers, virtual machines made here, images of a cloud."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm import cloud, container, vm
from dsvm import lock as locks
from dsvm import release as releases
from dsvm.host import write_whole
from dsvm.model import InputError, LockError, Plan
from dsvm.plan import make_plan, rendering
from dsvm.session import (
    BuildOptions,
    LayerCaches,
    Session,
    fetch_fresh,
    gate_variant,
    lock_variant,
    need_lock,
    refuse_contradictions,
)
from dsvm.store import megabytes

if TYPE_CHECKING:
    from dsvm.cloud import PublishOptions
    from dsvm.container import Baked
    from dsvm.release import Destination

CONTAINER = "docker"

lock = lock_variant


def fetch(session: Session, variant: str, *, update_stale: bool, jobs: int) -> None:
    """Fetch everything that a build of `variant` reads, the base's layout included."""
    locked = need_lock(session, variant)
    gate_variant(session, variant, locked)
    with session.using_store():
        locked = fetch_fresh(session, locked, update_stale=update_stale, jobs=jobs)
        if locked.base_kind != "machine":
            container.base_layout(session, locked, session.folder(variant) / "base.log")
        session.echo(f"fetch: everything for {variant} is in {session.store.root}")


def render(session: Session, variant: str, format: str, *, old_packer: bool) -> None:
    """Write what a locked variant is built from; for a cloud also the archive that is installed there."""
    if format == CONTAINER:
        session.echo(f"{_write_plan(session, variant)[1]}")
    else:
        cloud.prepare(session, variant, cloud.format_of_cloud(session, variant, format), plugins=not old_packer)


def _write_plan(session: Session, variant: str) -> tuple[Plan, Path]:
    """Write what a locked variant is built from, plan and small files beside it; returns the plan and the main file."""
    found = locks.find(session.catalog, variant)
    if found is None or locks.stale_sections(session.catalog, found):
        # whoever has to lock first learns now that it would be refused
        gate_variant(session, variant, left_out=[left.tool for left in found.left_out] if found is not None else [])
    if found is None:
        raise LockError(f"{variant} has no lock", hint=f"Run: invoke lock --variant {variant}")
    gate_variant(session, variant, found)
    plan = make_plan(session.catalog, found)
    return plan, rendering.write(plan, session.folder(variant))


def build(session: Session, variant: str, options: BuildOptions) -> None:
    """Everything from manifest to a verified image of `options.format`."""
    refuse_contradictions(session, options)
    if options.push is not None and options.format != CONTAINER:
        raise InputError(
            f"--push: {options.format} goes to no registry", hint="A machine's disk: invoke publish, invoke release"
        )
    if options.format == CONTAINER:
        to = releases.Destination.of(options.push, session.host) if options.push is not None else None
        container.build(session, variant, options)
        if to is not None:
            _push(session, variant, to)
    elif options.format in cloud.FORMATS:
        cloud.build(session, variant, options)
    else:
        vm.build(session, variant, options)


def _push(session: Session, variant: str, to: Destination) -> None:
    """Push the image of a variant that was just verified."""
    with session.working_on(variant):
        image = container.need_verified(session, make_plan(session.catalog, need_lock(session, variant, locked=True)))
        sent = to.push(image, session.engine, session.store.root, session.note)
    size = f"{megabytes(sum(sent.sent.values()))} of {megabytes(sent.size)}"
    session.echo(f"pushed {variant}: {to.registry.reference}@{sent.image.digest}, {size} sent")


def bake(session: Session, variants: Sequence[str], file: Path, *, registry: str | None, locked: bool) -> list[Baked]:
    """Write `file`, by which `docker buildx bake` builds the images of all these variants. Raises InputError."""
    if registry is not None:
        place = releases.Reference.of(registry)
        if place.tag or place.digest:
            raise InputError(f"--registry {registry}: a repository is wanted, without a tag or a digest")
    with session.using_store():
        found = [container.bake(session, one, registry=registry, locked=locked) for one in dict.fromkeys(variants)]
    write_whole(file, json.dumps(container.bake_file(found), indent=2) + "\n")
    return found


def layer_caches(sources: Sequence[str], target: str | None) -> LayerCaches:
    """Caches of layers in registries, as options name them. Raises InputError."""
    for option, place in (
        *(("--cache-from", one) for one in sources),
        *([("--cache-to", target)] if target is not None else []),
    ):
        try:
            found = releases.Reference.of(place)
        except InputError as error:
            raise InputError(f"{option}: {error.message}", hint=error.hint) from None
        if found.digest:
            raise InputError(f"{option}: {found}: a cache changes, and a digest does not", hint="Write: HOST/PATH:TAG")
    return LayerCaches(tuple(sources), target)


def verify(session: Session, variant: str, format: str, *, only: Sequence[str]) -> None:
    """Check every tool, or those of `only`; a full pass gives the image its name. Raises VerifyError."""
    if format == CONTAINER:
        container.verify(session, variant, only=only)
    else:
        vm.verify(session, variant, format=format, only=only)


def publish(session: Session, variant: str, format: str, options: PublishOptions) -> None:
    """Publish a verified machine of `variant` to the cloud of `format`."""
    cloud.publish(session, variant, cloud.format_of_cloud(session, variant, format), options)


def start(session: Session, variant: str, format: str, *, timeout: float | None, mounts: Sequence[str] = ()) -> None:
    """Start the image, with folders of this host (`mounts`), and print where its services are."""
    if format == CONTAINER:
        container.start(session, variant, timeout=timeout, mounts=mounts)
    elif mounts:
        raise InputError("--mount is for containers: a virtual machine has a disk of its own", hint="Use scp or rsync")
    else:
        vm.start(session, variant, format=format, timeout=timeout)


def stop(session: Session, variant: str, format: str, *, forget: bool = False) -> None:
    """Stop what `start` has started; with `forget`, what was saved in it goes too."""
    if format == CONTAINER:
        container.stop(session, variant, forget=forget)
    else:
        vm.stop(session, variant, format=format, forget=forget)
