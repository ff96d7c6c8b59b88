"""The pipeline to a cloud: what an image is built from there, the build, and publishing one that was built here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from dsvm import container, vm
from dsvm.cloud import archive, publishing
from dsvm.cloud.archive import Archive
from dsvm.host import run, scratch, write_whole
from dsvm.model import DISK_FORMATS, GIB, MACHINE_FORMATS, Format, InputError, Plan
from dsvm.plan import make_plan, rendering
from dsvm.session import BuildOptions, Session, complete_lock, fetch_fresh, format_of, gate_variant, need_lock
from dsvm.vm import packer

FORMATS = tuple(one for one in MACHINE_FORMATS if one not in DISK_FORMATS)
# Format of a cloud -> the format of the disk that is published there
DISKS: Mapping[Format, Format] = {"azure": "vhd", "ami": "vmdk"}
SUFFIXES: Mapping[Format, str] = {"azure": ".vhd", "ami": ".vmdk", "gcp": ".tar.gz"}


def format_of_cloud(session: Session, variant: str, format: str) -> Format:
    """The format of a cloud called `format`; InputError for others, and for one that the variant lacks."""
    if format in get_args(Format) and format not in FORMATS:
        raise InputError(f"'{format}' is no format of a cloud", hint=f"Formats of clouds: {', '.join(FORMATS)}")
    return format_of(session, variant, format)


def disk_format(session: Session, variant: str, format: str) -> Format:
    """The format of the disk that `format` means, made here or for a cloud. Raises InputError for what has none."""
    cloud = next((one for one in DISKS if one == format), None)
    if cloud is None:
        return vm.of_name(session, variant, format)
    format_of_cloud(session, variant, cloud)
    return DISKS[cloud]


def folder(session: Session, variant: str, format: Format) -> Path:
    """Where everything lies that is made for one format of `variant`."""
    return session.folder(variant) / format


def prepare(session: Session, variant: str, format: Format, *, plugins: bool = True) -> tuple[Plan, Archive]:
    """Write what a cloud builds a locked variant from: the Packer template, and the archive that it installs.

    Without `plugins` the template is one for Packer before 1.7. What the store lacks is fetched.
    """
    with session.working_on(variant):
        return _prepare(session, variant, format, plugins=plugins)


def _prepare(session: Session, variant: str, format: Format, *, plugins: bool) -> tuple[Plan, Archive]:

    locked = need_lock(session, variant, locked=True)
    gate_variant(session, variant, locked)
    plan = make_plan(session.catalog, locked, format)
    place = folder(session, variant, format)
    rendering.write(plan, place, plugins=plugins)
    fetch_fresh(session, locked, update_stale=False)
    if plan.base_kind == "machine":
        written = archive.write_windows(plan, session.store, place)
    else:
        layout = container.base_layout(session, locked, place / "base.log")
        written = archive.write(plan, session.store, layout, place)
    values = {"archive": str(written.path), "archive_sha256": written.sha256}
    write_whole(place / "packer" / "dsvm.auto.pkrvars.json", json.dumps(values, indent=1) + "\n")
    session.echo(f"{place / 'packer'}: the template; packer build asks for what it does not know")
    session.echo(f"{written.path}: {written.size / 1e6:.0f} MB, SHA-256 {written.sha256}")
    return plan, written


def build(session: Session, variant: str, options: BuildOptions) -> None:
    """Build a variant in the cloud of `options.format`, on the vendor's image there, where the user's settings say.

    Raises BuildError with the end of Packer's output.
    """

    format = format_of_cloud(session, variant, options.format)
    for given, option in (
        (options.builder, "--builder"),
        (options.no_cache, "--no-cache"),
        (session.caches.sources, "--cache-from"),
        (session.caches.target, "--cache-to"),
    ):
        if given:
            raise InputError(f"{option} is for BuildKit, and {format} images are built in a cloud", hint="Leave it out")
    settings = publishing.read_settings(publishing.settings_path(os.environ), format)
    plan = make_plan(session.catalog, complete_lock(session, variant, locked=options.locked), format)
    release = publishing.release(plan, format)
    values = publishing.packer_values(settings, release)
    with session.working_on(variant):  # until Packer has read what was written for it
        _, written = prepare(session, variant, format, plugins=packer.needs_plugins())
        values |= {"archive": str(written.path), "archive_sha256": written.sha256}
        packer.build_cloud(folder(session, variant, format), values, echo=session.echo)
    session.echo(f"built {release.name}; its checks run where it is started: docs/cloud.md")


# --- publish -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishOptions:
    version: str | None = None
    # a disk of this host, or the name of an image that is in the cloud already
    disk: Path | None = None
    image: str | None = None
    settings: Path | None = None
    dry_run: bool = False


def publish(session: Session, variant: str, format: Format, options: PublishOptions) -> list[str]:
    """Publish a verified machine of `variant`; returns what users name to get it.

    Raises PublishError when that fails; nothing half-made is left then.
    """

    locked = need_lock(session, variant, locked=True)
    plan = make_plan(session.catalog, locked, format)
    settings = publishing.read_settings(options.settings or publishing.settings_path(os.environ), format)
    if options.disk is not None and options.image is not None:
        raise InputError("--disk and --image: an image comes from one of them")
    disk = options.disk
    if disk is None and options.image is None:
        disk = _verified_disk(session, variant, format, dry_run=options.dry_run)
    release = publishing.release(plan, format, version=options.version, disk=disk, image=options.image)
    logs = folder(session, variant, format) / "publish"
    made = publishing.publish(settings, release, logs=logs, echo=session.echo, dry_run=options.dry_run)
    if not options.dry_run:
        for one in made:
            session.echo(f"published: {one}")
    return made


def _verified_disk(session: Session, variant: str, format: Format, *, dry_run: bool) -> Path:
    """The disk of the verified machine of `variant`, as the cloud wants it.

    Raises InputError when there is none, or one that was made from another lock or other manifests.
    """

    place, _, _ = vm.need_verified(session, variant)
    if dry_run:
        return place.folder / f"{variant}{SUFFIXES[format]}"
    if format == "gcp":
        return _google_archive(place.image(vm.VERIFIED), place.folder / f"{variant}{SUFFIXES[format]}")
    return vm.convert(place, DISKS[format])


def _google_archive(image: Path, target: Path) -> Path:
    """A qcow2 image as the archive that Google Cloud takes: disk.raw of whole GiB, in a compressed tar of GNU's.

    https://cloud.google.com/compute/docs/import/import-existing-image
    """
    with scratch("google", target.parent) as work:
        raw, part = Path(work, "disk.raw"), Path(work, "part")
        run(["qemu-img", "convert", "-O", "raw", image, raw], timeout=7200)
        size = -(-raw.stat().st_size // GIB) * GIB
        os.truncate(raw, size)
        words = ("--sparse", "--gzip", "--create", "--file", part, "--directory", work, raw.name)
        run(["tar", "--format=oldgnu", *words], timeout=7200)
        part.replace(target)
    return target
