"""The road from manifest to virtual machine, one function for each step that a person can ask for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dsvm import checks, pipeline
from dsvm.errors import InputError, VerifyError
from dsvm.model import DISK_FORMATS, Format, Plan, Report
from dsvm.pipeline import BuildOptions, Workshop, fetch_fresh, format_of, gate, need_lock
from dsvm.plan import make_plan
from dsvm.vm import disk_image, making, starting, verification
from dsvm.vm.disk_image import VERIFIED, Place
from dsvm.vm.kept import Disk


def build(shop: Workshop, variant: str, options: BuildOptions) -> Path:
    """Everything from manifest to a verified virtual machine of `options.format`; returns its disk image.

    Its container image is built and verified first. The disk gets its name only when its own checks pass.
    """
    pipeline.refuse_contradictions(shop, options)
    format = of_name(shop, variant, options.format)
    pipeline.need_builder(shop, options)
    with shop.working_on(variant):
        return _build(shop, variant, format, options)


def _build(shop: Workshop, variant: str, format: Format, options: BuildOptions) -> Path:
    from dsvm import bases, qemu
    from dsvm import render as rendering
    from dsvm.builders import disk, packer
    from dsvm.builders.screen import build_screen

    locked = need_lock(shop, variant, locked=options.locked)
    gate(shop, variant, locked)
    plan = make_plan(shop.catalog, locked, VERIFIED)
    place = Place(shop.folder(variant), variant)
    known = place.known(place.image(VERIFIED))
    if known is None or known.plan != plan.digest or options.no_cache:
        qemu.require()
        packer.version()
        shop.folder(variant).mkdir(parents=True, exist_ok=True)
        disk.require_room(locked, shop.folder(variant))
        fresh = fetch_fresh(shop, locked, update_stale=options.update_stale and not options.locked)
        image, _ = pipeline.build(shop, variant, replace(options, format="docker"))
        plan = make_plan(shop.catalog, fresh, VERIFIED)
        rendering.write(plan, place.work, plugins=packer.needs_plugins())
        with shop.context(variant) as context:
            section = next(section for section in plan.sections if section.id == "base")
            log = place.work / "base.log"
            layout = bases.layout(plan.base, plan.base_kind, section, context, log=log, say=shop.say)
        making.make(
            plan,
            place,
            layout,
            image,
            store=shop.store,
            engine=shop.engine,
            screen=build_screen(f"Making the machine of {variant}"),
            say=shop.say,
            builder=options.builder,
            no_cache=options.no_cache,
        )
        if not options.verify:
            shop.say(f"not verified: {place.unverified} until invoke verify --variant {variant} --format qcow2 passes")
            return place.unverified
        verify(shop, variant, plan=plan)
    else:
        shop.say(f"{place.image(VERIFIED)} is up to date")
    if format == VERIFIED:
        return place.image(VERIFIED)
    target = disk_image.convert(place, format)
    shop.say(f"image: {target}")
    return target


def of_name(shop: Workshop, variant: str, format: str) -> Format:
    """The format of a machine that is made here; InputError for others, and for one that the variant lacks."""
    found = format_of(shop, variant, format)
    if "docker" not in shop.catalog.variant(variant).formats:
        raise InputError(
            f"{variant} has no container image, which a machine is made from",
            hint="Name docker under 'formats' of the variant too",
        )
    if found not in DISK_FORMATS:
        raise InputError(f"{format} is not made on this machine", hint="See: docs/cloud.md")
    return found


def verify(
    shop: Workshop,
    variant: str,
    *,
    format: str = VERIFIED,
    plan: Plan | None = None,
    only: Sequence[str] = (),
) -> Report:
    """Boot the machine of `variant`, the unverified one first, and check it; a full pass gives it its name.

    Raises VerifyError when a check fails.
    """
    of_name(shop, variant, format)
    shop.catalog.refuse_retired(only)
    with shop.working_on(variant):
        return _verify(shop, variant, plan, only)


def _verify(shop: Workshop, variant: str, plan: Plan | None, only: Sequence[str]) -> Report:
    if plan is None:
        plan = make_plan(shop.catalog, need_lock(shop, variant, locked=True), VERIFIED)
    place = Place(shop.folder(variant), variant)
    image = next((one for one in (place.unverified, place.image(VERIFIED)) if place.known(one)), None)
    known = place.known(image) if image is not None else None
    if image is None or known is None:
        hint = f"Run: invoke build --variant {variant} --format {VERIFIED}"
        raise InputError(f"there is no machine of {variant}", hint=hint)
    if known.plan != plan.digest:
        raise InputError(
            f"{image} was built from another lock or other manifests",
            hint=f"Run: invoke build --variant {variant} --format {VERIFIED}",
        )
    begun = time.monotonic()
    folder = place.work
    report = verification.verify(plan, image, folder=folder, only=only, manifests=[*shop.catalog.folders])
    pipeline.say_report(shop, image.name, report, begun)
    for fact, value in report.facts.items():
        shop.say(f"  {fact}: {value}")
    if failed := report.count("failed"):
        raise VerifyError(
            f"{failed} check{'s' if failed > 1 else ''} of {image} failed; it gets no name",
            hint=f"Report: {folder / checks.report_name(only)}, full output: {folder / 'verify.log'}, "
            f"its console: {folder / 'serial.log'}, {folder / 'console.png'}",
        )
    if not only and image == place.unverified:
        shop.say(f"image: {disk_image.name(place)}")
    return report


def start(shop: Workshop, variant: str, *, format: str = VERIFIED, timeout: float | None = None) -> None:
    """Start the verified machine of `variant` and print how to log in and where its services are."""
    of_name(shop, variant, format)
    place = Place(shop.folder(variant), variant)
    image = place.image(VERIFIED)
    described = place.known(image)
    if described is None:
        shop.catalog.variant(variant)
        hint = f"Run: invoke build --variant {variant} --format {VERIFIED}"
        raise InputError(f"there is no verified machine {image}", hint=hint)
    plan = make_plan(shop.catalog, need_lock(shop, variant, locked=True), VERIFIED)
    services = {name: service.model_dump(mode="json") for name, service in plan.services.items()}
    disk = Disk.of(variant)
    kept = disk.known()
    if kept is not None:
        shop.say(f"its disk is that of earlier starts, {disk.path}")
        if kept.image != described.sha256:
            shop.warn(
                f"that disk lies on an earlier image of {variant}, and not on the one that was built since\n"
                f"To begin anew with that: invoke stop --variant {variant} --format {VERIFIED} --forget"
            )
    else:
        kept = disk.make(image, described.sha256, f"dsvm-{time.time_ns()}")
    shop.say(f"starting {image.name} ...")
    running = starting.start(disk, kept, place.running, services, timeout=timeout)
    shop.say(f"  {'login':<12} {running.ssh}")
    for service, url in running.urls.items():
        secret = "" if running.token in url else f"   password: {running.token}"
        shop.say(f"  {service:<12} {url}{secret}")
    command = f"invoke stop --variant {variant} --format {VERIFIED}"
    shop.say(f"stop it with: {command}, which keeps its disk (--forget removes it)")


def stop(shop: Workshop, variant: str, *, format: str = VERIFIED, forget: bool = False) -> None:
    """Stop the machine of `variant`; with `forget`, its disk goes too."""
    of_name(shop, variant, format)
    stopped = starting.stop(Place(shop.folder(variant), variant).running)
    if not stopped:
        shop.catalog.variant(variant)
    shop.say(f"the machine of {variant} {'is stopped' if stopped else 'was not running'}")
    disk = Disk.of(variant)
    if forget:
        gone = "and all that was saved on it are removed" if disk.forget() else "is not there"
        shop.say(f"its disk {disk.path} {gone}")
    elif disk.folder.exists():
        remove = f"invoke stop --variant {variant} --format {VERIFIED} --forget removes it"
        shop.say(f"what was saved stays on {disk.path}: {remove}")
