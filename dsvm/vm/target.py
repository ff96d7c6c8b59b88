"""The pipeline from manifest to virtual machine, one function for each step that a person can ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from dsvm import checks, container
from dsvm.host import read_bounded
from dsvm.ledger import Account
from dsvm.model import DISK_FORMATS, Format, InputError, Plan, Report
from dsvm.plan import make_plan, rendering
from dsvm.session import BuildOptions, Session, complete_lock, fetch_fresh, format_of, gate_variant, need_lock
from dsvm.vm import accounting, disk, disk_image, making, packer, qemu, starting, verification
from dsvm.vm.disk_image import VERIFIED, MachineImage, Place
from dsvm.vm.kept import Disk


def build(session: Session, variant: str, options: BuildOptions) -> Path:
    """Everything from manifest to a verified virtual machine of `options.format`; returns its disk image.

    Its container image is built and verified first. The disk gets its name only when its own checks pass.
    """
    format = of_name(session, variant, options.format)
    container.need_builder(session, options)
    with session.working_on(variant):
        return _build(session, variant, format, options)


def _build(session: Session, variant: str, format: Format, options: BuildOptions) -> Path:

    locked = complete_lock(session, variant, locked=options.locked)
    gate_variant(session, variant, locked)
    plan = make_plan(session.catalog, locked, VERIFIED)
    place = Place(session.folder(variant), variant)
    known = place.known(place.image(VERIFIED))
    if known is None or known.plan != plan.digest or options.no_cache:
        qemu.require()
        packer.version()
        session.folder(variant).mkdir(parents=True, exist_ok=True)
        disk.require_room(locked, session.folder(variant))
        fresh = fetch_fresh(session, locked, update_stale=options.update_stale and not options.locked)
        image, _ = container.build(session, variant, replace(options, format="docker"))
        plan = make_plan(session.catalog, fresh, VERIFIED)
        rendering.write(plan, place.work, plugins=packer.needs_plugins())
        layout = container.base_layout(session, fresh, place.work / "base.log")
        making.make(
            plan,
            place,
            layout,
            image,
            store=session.store,
            engine=session.engine,
            view=session.views.build(f"Making the machine of {variant}"),
            echo=session.echo,
            builder=options.builder,
            no_cache=options.no_cache,
        )
        if not options.verify:
            session.echo(
                f"not verified: {place.unverified} until invoke verify --variant {variant} --format qcow2 passes"
            )
            return place.unverified
        verify(session, variant, plan=plan)
    else:
        session.echo(f"{place.image(VERIFIED)} is up to date")
    if format == VERIFIED:
        return place.image(VERIFIED)
    target = disk_image.convert(place, format)
    session.echo(f"image: {target}")
    return target


def of_name(session: Session, variant: str, format: str) -> Format:
    """The format of a machine that is made here; InputError for others, and for one that the variant lacks."""
    found = format_of(session, variant, format)
    if "docker" not in session.catalog.variant(variant).formats:
        raise InputError(
            f"{variant} has no container image, which a machine is made from",
            hint="Name docker under 'formats' of the variant too",
        )
    if found not in DISK_FORMATS:
        raise InputError(f"{format} is not made on this host", hint="See: docs/cloud.md")
    return found


def verify(
    session: Session,
    variant: str,
    *,
    format: str = VERIFIED,
    plan: Plan | None = None,
    only: Sequence[str] = (),
) -> Report:
    """Boot the machine of `variant`, the unverified one first, and check it; a full pass gives it its name.

    Raises VerifyError when a check fails.
    """
    of_name(session, variant, format)
    session.catalog.refuse_retired(only)
    with session.working_on(variant):
        return _verify(session, variant, plan, only)


def _verify(session: Session, variant: str, plan: Plan | None, only: Sequence[str]) -> Report:
    lock = need_lock(session, variant, locked=True)
    if plan is None:
        plan = make_plan(session.catalog, lock, VERIFIED)
    place = Place(session.folder(variant), variant)
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

    def account(sha256: str, echo: Callable[[str], None]) -> Account:
        below = container.need_verified(session, make_plan(session.catalog, lock))
        return accounting.account(image, sha256, plan, below, session.store, session.engine, echo=echo)

    report = verification.verify(
        plan, image, folder=folder, only=only, manifests=[*session.catalog.folders],
        view=session.views.checks(), account=account,
    )  # fmt: skip
    more = f", its console: {folder / 'serial.log'}, {folder / 'console.png'}"
    checks.conclude(session, image.name, report, begun, folder=folder, only=only, more=more)
    if not only and image == place.unverified:
        session.echo(f"image: {disk_image.name(place)}")
    return report


def need_verified(session: Session, variant: str) -> tuple[Place, MachineImage, Plan]:
    """The verified machine of `variant`. Raises InputError for none, or one of another lock or other manifests."""
    place = Place(session.folder(variant), variant)
    image, hint = place.image(VERIFIED), f"Run: invoke build --variant {variant} --format {VERIFIED}"
    known = place.known(image)
    if known is None:
        raise InputError(f"there is no verified machine {image}", hint=hint)
    plan = make_plan(session.catalog, need_lock(session, variant, locked=True), VERIFIED)
    if known.plan != plan.digest:
        raise InputError(f"{image} was built from another lock or other manifests", hint=hint)
    return place, known, plan


def report_of(place: Place, known: MachineImage) -> Path:
    """The report of the verification of exactly this machine, without failures. Raises InputError."""
    path = place.work / checks.report_name()
    try:
        found = Report.model_validate_json(read_bounded(path))
    except (OSError, ValueError):
        found = None
    if found is None or found.image != f"sha256:{known.sha256}" or found.count("failed"):
        raise InputError(
            f"{place.image(VERIFIED)} has no report of a verification without failures here",
            hint=f"Run: invoke verify --variant {known.variant} --format {VERIFIED}",
        )
    return path


def start(session: Session, variant: str, *, format: str = VERIFIED, timeout: float | None = None) -> None:
    """Start the verified machine of `variant` and print how to log in and where its services are."""
    of_name(session, variant, format)
    place = Place(session.folder(variant), variant)
    image = place.image(VERIFIED)
    described = place.known(image)
    if described is None:
        session.catalog.variant(variant)
        hint = f"Run: invoke build --variant {variant} --format {VERIFIED}"
        raise InputError(f"there is no verified machine {image}", hint=hint)
    plan = make_plan(session.catalog, need_lock(session, variant, locked=True), VERIFIED)
    services = {name: service.model_dump(mode="json") for name, service in plan.services.items()}
    disk = Disk.of(variant)
    kept = disk.known()
    if kept is not None:
        session.echo(f"its disk is that of earlier starts, {disk.path}")
        if kept.image != described.sha256:
            session.warn(
                f"that disk lies on an earlier image of {variant}, and not on the one that was built since\n"
                f"To begin anew with that: invoke stop --variant {variant} --format {VERIFIED} --forget"
            )
    else:
        kept = disk.make(image, described.sha256, f"dsvm-{time.time_ns()}")
    session.echo(f"starting {image.name} ...")
    running = starting.start(disk, kept, place.running, services, timeout=timeout)
    session.echo(f"  {'login':<12} {running.ssh}")
    for service, url in running.urls.items():
        secret = "" if running.token in url else f"   password: {running.token}"
        session.echo(f"  {service:<12} {url}{secret}")
    command = f"invoke stop --variant {variant} --format {VERIFIED}"
    session.echo(f"stop it with: {command}, which keeps its disk (--forget removes it)")


def stop(session: Session, variant: str, *, format: str = VERIFIED, forget: bool = False) -> None:
    """Stop the machine of `variant`; with `forget`, its disk goes too."""
    of_name(session, variant, format)
    stopped = starting.stop(Place(session.folder(variant), variant).running)
    if not stopped:
        session.catalog.variant(variant)
    session.echo(f"the machine of {variant} {'is stopped' if stopped else 'was not running'}")
    disk = Disk.of(variant)
    if forget:
        gone = "and all that was saved on it are removed" if disk.forget() else "is not there"
        session.echo(f"its disk {disk.path} {gone}")
    elif disk.folder.exists():
        remove = f"invoke stop --variant {variant} --format {VERIFIED} --forget removes it"
        session.echo(f"what was saved stays on {disk.path}: {remove}")
