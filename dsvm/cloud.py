"""The road to a cloud: what an image is built from there, the build itself, and publishing one that was built here."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from dsvm import pipeline
from dsvm.errors import InputError
from dsvm.files import write_whole
from dsvm.model import DISK_FORMATS, MACHINE_FORMATS, Format, Plan
from dsvm.pipeline import BuildOptions, Workshop
from dsvm.plan import make_plan
from dsvm.run import run
from dsvm.scratch import scratch
from dsvm.units import GIB

if TYPE_CHECKING:
    from dsvm.builders.archive import Archive

FORMATS = tuple(one for one in MACHINE_FORMATS if one not in DISK_FORMATS)
# Format of a cloud -> the format of the disk that is published there
DISKS: Mapping[Format, Format] = {"azure": "vhd", "ami": "vmdk"}
SUFFIXES: Mapping[Format, str] = {"azure": ".vhd", "ami": ".vmdk", "gcp": ".tar.gz"}


def of_name(shop: Workshop, variant: str, format: str) -> Format:
    """The format of a cloud called `format`; InputError for others, and for one that the variant lacks."""
    if format in get_args(Format) and format not in FORMATS:
        raise InputError(f"'{format}' is no format of a cloud", hint=f"Formats of clouds: {', '.join(FORMATS)}")
    return pipeline.format_of(shop, variant, format)


def folder(shop: Workshop, variant: str, format: Format) -> Path:
    """Where everything lies that is made for one format of `variant`."""
    return shop.folder(variant) / format


def prepare(shop: Workshop, variant: str, format: Format, *, plugins: bool = True) -> tuple[Plan, Archive]:
    """Write what a cloud builds a locked variant from: the Packer template, and the archive that it installs.

    Without `plugins` the template is one for Packer before 1.7. What the store lacks is fetched.
    """
    with shop.working_on(variant):
        return _prepare(shop, variant, format, plugins=plugins)


def _prepare(shop: Workshop, variant: str, format: Format, *, plugins: bool) -> tuple[Plan, Archive]:
    from dsvm import bases
    from dsvm import render as rendering
    from dsvm.builders import archive

    locked = pipeline.need_lock(shop, variant, locked=True)
    pipeline.gate(shop, variant, locked)
    plan = make_plan(shop.catalog, locked, format)
    place = folder(shop, variant, format)
    rendering.write(plan, place, plugins=plugins)
    pipeline.fetch_fresh(shop, locked, update_stale=False)
    if plan.base_kind == "machine":
        written = archive.write_windows(plan, shop.store, place)
    else:
        with shop.context(variant) as context:
            section = next(section for section in plan.sections if section.id == "base")
            layout = bases.layout(plan.base, plan.base_kind, section, context, log=place / "base.log", say=shop.say)
        written = archive.write(plan, shop.store, layout, place)
    values = {"archive": str(written.path), "archive_sha256": written.sha256}
    write_whole(place / "packer" / "dsvm.auto.pkrvars.json", json.dumps(values, indent=1) + "\n")
    shop.say(f"{place / 'packer'}: the template; packer build asks for what it does not know")
    shop.say(f"{written.path}: {written.size / 1e6:.0f} MB, SHA-256 {written.sha256}")
    return plan, written


def build(shop: Workshop, variant: str, options: BuildOptions) -> None:
    """Build a variant in the cloud of `options.format`, on the vendor's image there, where the user's settings say.

    Raises BuildError with the end of Packer's output.
    """
    from dsvm import publish as publishing
    from dsvm.builders import packer

    pipeline.refuse_contradictions(shop, options)
    format = of_name(shop, variant, options.format)
    for given, option in ((options.builder, "--builder"), (options.no_cache, "--no-cache")):
        if given:
            raise InputError(f"{option} is for BuildKit, and {format} images are built in a cloud", hint="Leave it out")
    settings = publishing.read_settings(publishing.settings_path(os.environ), format)
    plan = make_plan(shop.catalog, pipeline.need_lock(shop, variant, locked=options.locked), format)
    release = publishing.release(plan, format)
    values = publishing.packer_values(settings, release)
    with shop.working_on(variant):  # until Packer has read what was written for it
        _, written = prepare(shop, variant, format, plugins=packer.needs_plugins())
        values |= {"archive": str(written.path), "archive_sha256": written.sha256}
        packer.build_cloud(folder(shop, variant, format), values, say=shop.say)
    shop.say(f"built {release.name}; its checks run where it is started: docs/cloud.md")


# --- publish -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishOptions:
    version: str | None = None
    # a disk of this machine, or the name of an image that is in the cloud already
    disk: Path | None = None
    image: str | None = None
    settings: Path | None = None
    dry_run: bool = False


def publish(shop: Workshop, variant: str, format: Format, options: PublishOptions) -> list[str]:
    """Publish a verified machine of `variant`; returns what users name to get it.

    Raises PublishError when that fails; nothing half-made is left then.
    """
    from dsvm import publish as publishing

    locked = pipeline.need_lock(shop, variant, locked=True)
    plan = make_plan(shop.catalog, locked, format)
    settings = publishing.read_settings(options.settings or publishing.settings_path(os.environ), format)
    if options.disk is not None and options.image is not None:
        raise InputError("--disk and --image: an image comes from one of them")
    disk = options.disk
    if disk is None and options.image is None:
        disk = _verified_disk(shop, variant, format, dry_run=options.dry_run)
    release = publishing.release(plan, format, version=options.version, disk=disk, image=options.image)
    logs = folder(shop, variant, format) / "publish"
    made = publishing.publish(settings, release, logs=logs, say=shop.say, dry_run=options.dry_run)
    if not options.dry_run:
        for one in made:
            shop.say(f"published: {one}")
    return made


def _verified_disk(shop: Workshop, variant: str, format: Format, *, dry_run: bool) -> Path:
    """The disk of the verified machine of `variant`, as the cloud wants it.

    Raises InputError when there is none, or one that was made from another lock or other manifests.
    """
    from dsvm import vm

    place = vm.Place(shop.folder(variant), variant)
    command = f"Run: invoke build --variant {variant} --format {vm.VERIFIED}"
    known = place.known(place.image(vm.VERIFIED))
    if known is None:
        raise InputError(f"there is no verified machine {place.image(vm.VERIFIED)}", hint=command)
    locked = pipeline.need_lock(shop, variant, locked=True)
    if known.plan != make_plan(shop.catalog, locked, vm.VERIFIED).digest:
        image = place.image(vm.VERIFIED)
        raise InputError(f"{image} was built from another lock or other manifests", hint=command)
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
