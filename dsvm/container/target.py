"""The pipeline from manifest to container image, one function for each step that a person can ask for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dsvm import ROOT, checks
from dsvm.container import buildkit, history, images, running, verification
from dsvm.container.buildkit import Built
from dsvm.container.images import image_name
from dsvm.container.layouts import base_layout
from dsvm.host import run
from dsvm.model import DsvmError, EngineError, InputError, Lock, Plan, ProgramError, Report
from dsvm.plan import LABELS, make_plan, rendering
from dsvm.session import (
    BuildOptions,
    Session,
    complete_lock,
    fetch_fresh,
    gate_variant,
    need_lock,
)


def build(session: Session, variant: str, options: BuildOptions) -> tuple[str, Built | None]:
    """Everything from manifest to verified image. Returns its name, and what was built unless it was there already.

    The image gets its name only when its checks pass. One run at a time builds a variant; another one waits.
    """
    need_container(session, variant)
    need_builder(session, options)
    with session.working_on(variant):
        return _build(session, variant, options)


def need_builder(session: Session, options: BuildOptions) -> None:
    """Raise EngineError for a builder that there is not, also where nothing has to be built."""
    if options.builder is not None:
        buildkit.driver(options.builder, session.engine)


def _build(session: Session, variant: str, options: BuildOptions) -> tuple[str, Built | None]:
    locked = complete_lock(session, variant, locked=options.locked)
    gate_variant(session, variant, locked)
    plan = make_plan(session.catalog, locked)
    if not options.no_cache and _is_current(session, plan, verified=options.verify):
        return image_name(variant), None
    locked = fetch_fresh(session, locked, update_stale=options.update_stale and not options.locked, format="docker")
    plan, layout = laid_out(session, locked)
    with _provisional(session, variant) as tag:
        built, image = _make(session, plan, layout, tag, options)
        history.keep(session.folder(variant), built, image, locked)
        provisional = image_name(variant, images.UNVERIFIED)
        images.tag(image, provisional, session.engine)
        if not options.verify:
            session.echo(f"not verified: the image is {provisional} until invoke verify --variant {variant} passes")
            return provisional, built
        _verify(session, plan, image, provisional)
    return image_name(variant), built


def laid_out(session: Session, locked: Lock) -> tuple[Plan, tuple[Path, str]]:
    """The plan of a fetched lock, rendered into the variant's folder, and its base: a layout and a digest in it."""
    folder = session.folder(locked.variant)
    plan = make_plan(session.catalog, locked)
    rendering.write(plan, folder)
    return plan, base_layout(session, locked, folder / "base.log")


def _is_current(session: Session, plan: Plan, *, verified: bool) -> bool:
    """Whether the image of exactly this plan is there; one whose report is not here is verified again."""
    name = image_name(plan.variant)
    found = images.inspect(name, session.engine)
    if images.labels_of(found).get(f"{LABELS}.plan") != plan.digest:
        return False
    if verified and not _has_report(session, plan.variant, found):
        session.echo(f"{name} is built, but its report is not here: verifying it again")
        rendering.write(plan, session.folder(plan.variant))
        verify(session, plan.variant, plan=plan)
    else:
        session.echo(f"{name} is up to date")
    return True


@contextmanager
def _provisional(session: Session, variant: str) -> Iterator[str]:
    """A tag of this run alone; it goes afterwards, and so does what killed runs left."""
    _forget_killed(session, variant)
    tag = buildkit.run_tag()
    try:
        yield tag
    finally:
        with suppress(EngineError):  # whatever ended the block says more, and the next run removes it
            images.untag(image_name(variant, tag), session.engine)


def _make(session: Session, plan: Plan, layout: tuple[Path, str], tag: str, options: BuildOptions) -> tuple[Built, str]:
    """Let BuildKit build `plan`, rendered already; returns what came out, and the id of the image.

    From here on the image goes by its id: whatever gets its names meanwhile, this is what is looked at.
    """
    built = buildkit.build(
        plan,
        session.folder(plan.variant),
        layout,
        session.store,
        engine=session.engine,
        view=session.views.build(f"Building {plan.variant}"),
        warn=session.warn,
        tag=tag,
        caches=session.caches,
        builder=options.builder,
        no_cache=options.no_cache,
        unpack=options.verify,
        revision=revision(),
    )
    size = f"{built.size / 1e9:.2f} GB in {len(built.layers)} layers"
    session.echo(f"built {plan.variant}: {size}, {built.seconds:.0f} s")
    return built, images.identity(image_name(plan.variant, tag), session.engine)


def _forget_killed(session: Session, variant: str) -> None:
    """Take away what killed runs on a variant left in the engine. Only we work on it, so it is nobody's."""
    images.forget_runs(variant, session.engine)
    for name in verification.forget_killed(variant, session.engine):
        session.echo(f"{name} of a run that was killed is removed")


def need_container(session: Session, variant: str) -> None:
    """Raise InputError for a variant that comes out of virtual machines alone."""
    formats = session.catalog.variant(variant).formats
    if "docker" not in formats:
        raise InputError(
            f"{variant} has no container image: its formats are {', '.join(formats)}",
            hint=f"What its virtual machine is provisioned with: invoke render --variant {variant}",
        )


def _has_report(session: Session, variant: str, image: Mapping[str, Any] | None) -> bool:
    """Whether the build folder holds a report of exactly this image without failures."""
    try:
        report = Report.model_validate_json((session.folder(variant) / "report.json").read_bytes())
    except (OSError, ValueError):
        return False
    return image is not None and report.image == image["Id"] and not report.count("failed")


def need_verified(session: Session, plan: Plan) -> str:
    """The id of the verified image of exactly this plan. Raises InputError when there is none."""
    name, build = image_name(plan.variant), f"Run: invoke build --variant {plan.variant}"
    found = images.inspect(name, session.engine)
    if found is None:
        raise InputError(f"there is no verified image {name}", hint=build)
    if images.labels_of(found).get(f"{LABELS}.plan") != plan.digest:
        raise InputError(f"{name} was built from another lock or other manifests", hint=build)
    if not _has_report(session, plan.variant, found):
        raise InputError(f"{name} has no report of a verification without failures here", hint=build)
    return str(found["Id"])


def revision() -> str | None:
    """The commit that this project is at, or None outside a checkout."""
    try:
        return run(["git", "-C", ROOT, "rev-parse", "HEAD"], timeout=30).stdout.strip()
    except ProgramError:
        return None


def verify(session: Session, variant: str, *, plan: Plan | None = None, only: Sequence[str] = ()) -> Report:
    """Check the built image of `variant`, the unverified one first; a full pass gives it its name.

    Raises VerifyError when a check fails.
    """
    session.catalog.refuse_retired(only)
    need_container(session, variant)
    with session.working_on(variant):
        if plan is None:
            plan = make_plan(session.catalog, need_lock(session, variant, locked=True))
        engine = session.engine
        _forget_killed(session, variant)
        candidates = [image_name(variant, images.UNVERIFIED), image_name(variant)]
        there = [(one, seen) for one in candidates if (seen := images.inspect(one, engine)) is not None]
        if not there:
            raise InputError(f"there is no image of {variant}", hint=f"Run: invoke build --variant {variant}")
        fitting = [one for one in there if images.labels_of(one[1]).get(f"{LABELS}.plan") == plan.digest]
        name, seen = (fitting or there)[0]
        if not fitting:
            raise InputError(
                f"{name} was built from another lock or other manifests", hint=f"Run: invoke build --variant {variant}"
            )
        return _verify(session, plan, str(seen["Id"]), name, only=only, promote=name == candidates[0])


def _verify(
    session: Session, plan: Plan, image: str, name: str, *, only: Sequence[str] = (), promote: bool = True
) -> Report:
    """Check the image with the id `image`, which people know as `name`; a full pass gives it its name."""
    begun = time.monotonic()
    folder, engine = session.folder(plan.variant), session.engine
    report = verification.verify(
        plan, image, engine=engine, folder=folder, store=session.store, only=only, manifests=[*session.catalog.folders],
        view=session.views.checks(),
    )  # fmt: skip
    if not only:
        history.note_checks(folder, report)
    checks.conclude(session, name, report, begun, folder=folder, only=only)
    if not only and promote:
        session.echo(f"image: {images.promote(plan, image, engine)}")
    return report


def needed_bytes(locked: Lock) -> int:
    """About how much disk a build takes in an engine that has built nothing yet: 24 GB for cpu-debian's 1.6 GB.

    Artefacts unpack to four times their size, and the engine keeps that as stages, as layers and unpacked.
    """
    return 15 * sum({pin.sha256: pin.size for section in locked.sections for pin in section.pins}.values())


def is_built(session: Session, locked: Lock) -> bool:
    """Whether the engine has the image of exactly this lock and these manifests; False without an engine."""
    try:
        plan, engine = make_plan(session.catalog, locked), session.engine
        return images.labels(image_name(locked.variant), engine).get(f"{LABELS}.plan") == plan.digest
    except DsvmError:
        return False


def start(session: Session, variant: str, *, timeout: float | None, mounts: Sequence[str] = ()) -> None:
    """Start the verified image of `variant` and print where its services are; `mounts` as `Mount.of` reads them."""
    folders = [running.Mount.of(text) for text in mounts]
    places = [folder.target for folder in folders]
    if twice := {str(place) for place in places if places.count(place) > 1}:
        raise InputError(
            f"--mount: two folders at {', '.join(sorted(twice))}", hint="Name a place for each: DIR:/PLACE"
        )
    engine = session.engine
    name = image_name(variant)
    if images.inspect(name, engine) is None:
        session.catalog.variant(variant)
        raise InputError(f"there is no verified image {name}", hint=f"Run: invoke build --variant {variant}")
    services = running.manifest(name, engine)["services"]
    session.echo(f"starting {name} ...")
    started = running.start(variant, services, engine, mounts=folders, timeout=timeout or 180, echo=session.echo)
    for service, url in started.urls.items():
        user = "   user: ds" if services[service]["login"] == "user-form" else ""
        secret = user + ("" if started.token in url else f"   password: {started.token}")
        session.echo(f"  {service:<12} {url}{secret}")
    for folder in folders:
        session.echo(f"  {folder.source} is {folder.target} in it")
    session.echo(f"stop it with: invoke stop --variant {variant}, which keeps its home (--forget removes it)")


def stop(session: Session, variant: str, *, forget: bool = False) -> None:
    """Stop the container of `variant`; with `forget`, what was saved in its home goes too."""
    stopped = running.stop(variant, session.engine)
    if not stopped:
        session.catalog.variant(variant)
    session.echo(f"{running.container_name(variant)} {'stopped' if stopped else 'was not running'}")
    home, engine = running.home_name(variant), session.engine
    if forget:
        gone = "and all that was saved there are removed" if running.forget_home(variant, engine) else "is not there"
        session.echo(f"home {home} {gone}")
    elif running.has_home(variant, engine):
        remove = f"invoke stop --variant {variant} --forget removes it"
        session.echo(f"what was saved in /home/ds stays in volume {home}: {remove}")
