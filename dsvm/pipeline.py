"""The road from manifest to image, one function for each step that a person can ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dsvm import claims, compat
from dsvm import lock as locks
from dsvm.catalog import Catalog, load, near
from dsvm.console import warn
from dsvm.errors import (
    DsvmError,
    GoneError,
    InputError,
    LockError,
    OutOfReachError,
    ProgramError,
    StoreError,
    VerifyError,
)
from dsvm.model import Format, Lock, Pin, Plan, Report, Section
from dsvm.plan import make_plan
from dsvm.scratch import scratch

if TYPE_CHECKING:
    from dsvm.builders.docker import Built
    from dsvm.ecosystems import Context
    from dsvm.engine import Engine
    from dsvm.machine import Machine
    from dsvm.store import FetchSummary, Store

ROOT = Path(__file__).resolve().parent.parent
Say = Callable[[str], None]


@dataclass
class Workshop:
    """One run of DSVM: the catalog, the machine, the store and the engine, each made when first needed."""

    overlays: Sequence[Path] = ()
    offline: bool = False
    say: Say = field(default=print)
    warn: Say = field(default=warn)
    # in place of what the variant says
    gpus: Sequence[str] | None = None
    driver: str | None = None
    warned: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)  # variants that this run works on

    @cached_property
    def catalog(self) -> Catalog:
        return load(self.overlays, strict=False)

    @cached_property
    def machine(self) -> Machine:
        from dsvm.machine import Machine

        return Machine.detect()

    @cached_property
    def store(self) -> Store:
        from dsvm.store import Store

        return Store()

    @cached_property
    def engine(self) -> Engine:
        from dsvm.engine import find_engine

        return find_engine()

    @contextmanager
    def context(self, variant: str) -> Iterator[Context]:
        """What ecosystems work with for `variant`; its work folder is gone afterwards."""
        from dsvm.ecosystems import Context

        one = self.catalog.variant(variant)
        with scratch("lock") as work:
            yield Context(
                base=self.catalog.bases[one.base],
                machine=self.machine,
                store=self.store,
                work=work,
                accelerator=one.accelerator,
                indexes=self.catalog.indexes,
                repositories=self.catalog.repositories,
                say=lambda line: self.say(f"lock: {line}"),
                warn=self.warn,
            )

    @contextmanager
    def working_on(self, variant: str) -> Iterator[None]:
        """Work on `variant` alone, and on a store that nobody cleans meanwhile; waits for another run."""
        self.catalog.variant(variant)
        if variant in self.claimed:
            yield
            return
        with self.using_store(), claims.of_variant(claims.folder(), variant, self.say):
            self.claimed.add(variant)
            try:
                yield
            finally:
                self.claimed.discard(variant)

    @contextmanager
    def using_store(self) -> Iterator[None]:
        """Use the store while nobody cleans it."""
        with ExitStack() as held:
            with self.store.faults(self.store.root):
                with claims.to_clean(self.store.root) as alone:
                    if alone:
                        self.store.sweep()
                held.enter_context(claims.of_store(self.store.root))
            yield

    def folder(self, variant: str) -> Path:
        """Where everything that is made for `variant` lies."""
        return ROOT / "build" / variant


# --- the gate ----------------------------------------------------------------------------------------------


def findings(
    shop: Workshop, variant: str, locked: Lock | None = None, *, left_out: Sequence[str] = ()
) -> list[compat.Finding]:
    """What the rules of the gate find on `variant`, by its lock or else by what its manifests promise."""
    one = shop.catalog.variant(variant)
    return compat.examine(
        compat.make_scene(shop.catalog, one, locked, left_out=left_out, gpus=shop.gpus, driver=shop.driver)
    )


def gate(shop: Workshop, variant: str, locked: Lock | None = None, *, left_out: Sequence[str] = ()) -> None:
    """Refuse a combination that cannot work, every reason at once; say warnings, each once."""
    found = findings(shop, variant, locked, left_out=left_out)
    for left in locks.unsuited(shop.catalog, shop.catalog.variant(variant)):
        if left.tool not in shop.warned:
            shop.warned.add(left.tool)
            shop.say(f"left out: {left.tool} ({left.reason})")
    for finding in found:
        if finding.level == "warning" and finding.what not in shop.warned:
            shop.warned.add(finding.what)
            shop.warn(f"{finding.rule}: {finding.what}")
    compat.refuse(variant, found, hint=f"The reasoning: invoke compat --explain {variant}")


# --- lock --------------------------------------------------------------------------------------------------


def lock(
    shop: Workshop,
    variant: str,
    *,
    only: str | None = None,
    upgrade: bool = False,
    leave_out: Sequence[str] = (),
    put_back: Sequence[str] = (),
    leave_out_unreachable: bool = False,
) -> Lock:
    """Lock `variant` and say what moved. What an earlier lock left out stays out until it is put back.

    With `leave_out_unreachable`, tools that no source gives now are left out, and those that need them.
    """
    if shop.offline:
        raise LockError("locking asks the network", hint="Leave --offline out")
    shop.catalog.refuse_retired((*leave_out, *put_back))
    previous = locks.find(shop.catalog, variant)
    gone = {left.tool: left.reason for left in previous.left_out} if previous is not None else {}
    gone |= dict.fromkeys(leave_out, "left out on request")
    for tool in put_back:
        if gone.pop(tool, None) is None:
            raise InputError(f"'{tool}' is not left out of {variant}")
    gate(shop, variant, left_out=[*gone])
    path = locks.lock_path(shop.catalog, variant)
    asked = only or upgrade or leave_out or put_back or leave_out_unreachable
    if previous is not None and not locks.stale_sections(shop.catalog, previous):
        locks.check(shop.catalog, previous)
        if not asked:
            shop.say(f"lock: {path.name} is up to date (--upgrade looks for newer versions)")
            return previous
    begun = time.monotonic()
    while True:
        try:
            with shop.using_store(), shop.context(variant) as context:
                new = locks.resolve(
                    shop.catalog,
                    variant,
                    context,
                    previous=previous,
                    only=only,
                    upgrade=upgrade,
                    leave_out=gone,
                    say=lambda line: shop.say(f"lock: {line}"),
                )
            break
        except OutOfReachError as error:
            absent = shop.catalog.with_dependents(error.tools, shop.catalog.variant(variant))
            if not leave_out_unreachable or gone.keys() >= {*absent}:
                raise
            shop.warn(f"left out: {', '.join(absent)}\n{error.message}")
            gone |= {tool: "not within reach when this was locked" for tool in absent if tool not in gone}
    locks.check(shop.catalog, new)  # what was kept of the one before included
    gate(shop, variant, new)
    for change in locks.changes(previous, new):
        shop.say(f"  {change}")
    if previous == new:
        shop.say(f"lock: {path.name}: nothing moved")
        return new
    locks.write(path, new)
    pins = {pin.sha256: pin for section in new.sections for pin in section.pins}
    size = sum(pin.size for pin in pins.values()) / 1e6
    shop.say(f"lock: {len(pins)} artefacts, {size:.0f} MB, in {time.monotonic() - begun:.0f} s: {path}")
    return new


def need_lock(shop: Workshop, variant: str, *, locked: bool = False) -> Lock:
    """The lock of `variant`, made or brought up to date when it has to be, unless `locked` forbids it."""
    found = locks.find(shop.catalog, variant)
    stale = locks.stale_sections(shop.catalog, found) if found is not None else ["everything"]
    if found is not None and not stale:
        return locks.check(shop.catalog, found)
    if locked or shop.offline:
        why = f"does not fit the manifests: {', '.join(stale)}" if found is not None else "does not exist"
        option = "--locked" if locked else "--offline"
        raise LockError(
            f"the lock of {variant} {why}, and {option} forbids to resolve",
            hint=f"Run: invoke lock --variant {variant}",
        )
    shop.say(f"lock: {variant}: {', '.join(stale)} to resolve")
    return lock(shop, variant)


# --- fetch -------------------------------------------------------------------------------------------------


def fetch(shop: Workshop, locked: Lock, *, jobs: int = 8) -> FetchSummary:
    """Bring every artefact of a lock into the store. Raises GoneError naming what mirrors have dropped."""
    from dsvm.progress import fetch_progress
    from dsvm.store import WRONG_SIZE_HINT, FetchSummary, Want, wrong_size

    pins = _pins(locked)
    missing = {sha: pair for sha, pair in pins.items() if not shop.store.has(sha)}
    for line in shop.store.damaged:
        shop.warn(line)
    shop.store.damaged.clear()
    shop.store.hashed.save()
    every = [pin for section in locked.sections for pin in section.pins if pin.sha256 in pins]
    wrong = [
        wrong_size(pin.filename, pin.size, real)
        for pin in every
        if (real := shop.store.size(pin.sha256)) is not None and real != pin.size
    ]
    if wrong:
        raise StoreError("\n".join(wrong), hint=WRONG_SIZE_HINT)
    if not missing:
        return FetchSummary(0, len(pins), 0)
    if shop.offline:
        names = [pin.filename for _, pin in missing.values()]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")
        raise StoreError(
            f"--offline, but the store lacks {shown}", hint=f"Run: invoke fetch --variant {locked.variant}"
        )
    with shop.context(locked.variant) as context:
        wants = [
            Want(pin.filename, sha, pin.size, _locator(section, pin, context)) for sha, (section, pin) in pins.items()
        ]
        return shop.store.fetch(wants, machine=shop.machine, progress=fetch_progress(), jobs=jobs)


def _pins(locked: Lock) -> dict[str, tuple[Section, Pin]]:
    """SHA-256 -> pin of everything that the store holds as a file; a registry's base is a layout of its own."""
    return {
        pin.sha256: (section, pin)
        for section in locked.sections
        for pin in section.pins
        if not (section.id == "base" and locked.base_kind == "registry")
    }


def _locator(section: Section, pin: Pin, context: Context) -> Callable[[], list[str]]:
    from dsvm import ecosystems

    return lambda: list(ecosystems.get(section.ecosystem).locate(pin, context))


def fetch_fresh(
    shop: Workshop, locked: Lock, *, update_stale: bool, jobs: int = 8, format: Format | None = None
) -> Lock:
    """Fetch a lock, or what an image of `format` has of it; returns the lock that was fetched.

    What came is compared with it: LockError when artefacts are others than their pins say, or nobody asked for them.

    With `update_stale`, what mirrors have dropped is resolved again. Without it raises GoneError that says which
    packages are gone and how to go on.
    """
    from dsvm.store import megabytes

    try:
        done = fetch(shop, locked.of(format) if format else locked, jobs=jobs)
    except GoneError as error:
        where = sorted({section.ecosystem for section, pin in _pins(locked).values() if pin.filename in error.gone})
        commands = [f"invoke lock --variant {locked.variant} --only {name}" for name in where]
        if not update_stale:
            raise GoneError(
                f"{len(error.gone)} locked packages are no longer served:\n    " + "\n    ".join(error.gone),
                gone=error.gone,
                hint="Resolve them again: " + " && ".join(commands) + " (or build with --update-stale)",
            ) from error
        for name in where:
            shop.say(f"lock: {len(error.gone)} locked packages are no longer served; resolving {name} again")
            locked = lock(shop, locked.variant, only=name)
        done = fetch(shop, locked.of(format) if format else locked, jobs=jobs)
    locks.compare(shop.catalog, locked, shop.store, format)
    if done.fetched:
        shop.say(f"fetch: {done.fetched} files, {megabytes(done.bytes)} fetched; {done.reused} were there")
    return locked


# --- render, build, verify ---------------------------------------------------------------------------------


def render(shop: Workshop, variant: str) -> tuple[Plan, Path]:
    """Write what a locked variant is built from, plan and small files beside it; returns the plan and the main file."""
    from dsvm import render as rendering

    found = locks.find(shop.catalog, variant)
    if found is None or locks.stale_sections(shop.catalog, found):
        # whoever has to lock first learns now that it would be refused
        gate(shop, variant, left_out=[left.tool for left in found.left_out] if found is not None else [])
    if found is None:
        raise LockError(f"{variant} has no lock", hint=f"Run: invoke lock --variant {variant}")
    gate(shop, variant, found)
    plan = make_plan(shop.catalog, found)
    return plan, rendering.write(plan, shop.folder(variant))


@dataclass(frozen=True)
class BuildOptions:
    format: str = "docker"
    verify: bool = True
    locked: bool = False
    update_stale: bool = False
    no_cache: bool = False
    builder: str | None = None


def build(shop: Workshop, variant: str, options: BuildOptions) -> tuple[str, Built | None]:
    """Everything from manifest to verified image. Returns its name, and what was built unless it was there already.

    The image gets its name only when its checks pass. One run at a time builds a variant; another one waits.
    """
    refuse_contradictions(shop, options)
    need_container(shop, variant)
    need_builder(shop, options)
    with shop.working_on(variant):
        return _build(shop, variant, options)


def refuse_contradictions(shop: Workshop, options: BuildOptions) -> None:
    """Raise InputError for options of which one undoes what the other asks for."""
    for one, other, why in (
        (options.locked, options.update_stale, "--locked forbids to resolve, and --update-stale asks for it"),
        (shop.offline, options.update_stale, "--offline forbids to resolve, and --update-stale asks for it"),
    ):
        if one and other:
            raise InputError(why, hint="Leave one of them out")


def need_builder(shop: Workshop, options: BuildOptions) -> None:
    """Raise EngineError for a builder that there is not, also where nothing has to be built."""
    from dsvm.builders import docker

    if options.builder is not None:
        docker.driver(options.builder, shop.engine.env)


def _build(shop: Workshop, variant: str, options: BuildOptions) -> tuple[str, Built | None]:
    from dsvm import bases, images
    from dsvm import render as rendering
    from dsvm.builders import docker
    from dsvm.builders.screen import build_screen
    from dsvm.render import LABELS

    locked = need_lock(shop, variant, locked=options.locked)
    gate(shop, variant, locked)
    plan = make_plan(shop.catalog, locked)
    name = docker.image_name(variant)
    env = shop.engine.env
    if not options.no_cache and images.labels(name, env).get(f"{LABELS}.plan") == plan.digest:
        if options.verify and not _has_report(shop, variant, images.inspect(name, env)):
            shop.say(f"{name} is built, but its report is not here: verifying it again")
            rendering.write(plan, shop.folder(variant))
            verify(shop, variant, plan=plan)
        else:
            shop.say(f"{name} is up to date")
        return name, None
    fresh = fetch_fresh(shop, locked, update_stale=options.update_stale and not options.locked, format="docker")
    if fresh != locked:
        plan = make_plan(shop.catalog, fresh)
    folder = shop.folder(variant)
    rendering.write(plan, folder)
    with shop.context(variant) as context:
        section = next(section for section in plan.sections if section.id == "base")
        layout = bases.layout(plan.base, plan.base_kind, section, context, log=folder / "base.log", say=shop.say)
    _forget_killed(shop, variant)
    tag = docker.run_tag()
    try:
        built = docker.build(
            plan,
            folder,
            layout,
            shop.store,
            engine_env=env,
            containerd_store=shop.engine.containerd_store,
            screen=build_screen(f"Building {variant}"),
            tag=tag,
            builder=options.builder,
            no_cache=options.no_cache,
            unpack=options.verify,
            revision=_revision(),
        )
        shop.say(f"built {variant}: {built.size / 1e9:.2f} GB in {len(built.layers)} layers, {built.seconds:.0f} s")
        # from here on it goes by its id: whatever gets its names meanwhile, this is what is looked at
        made = images.identity(docker.image_name(variant, tag), env)
        provisional = docker.image_name(variant, images.UNVERIFIED)
        images.tag(made, provisional, env)
        if not options.verify:
            shop.say(f"not verified: the image is {provisional} until invoke verify --variant {variant} passes")
            return provisional, built
        _verify(shop, plan, made, provisional)
    finally:
        images.untag(docker.image_name(variant, tag), env)
    return name, built


def _forget_killed(shop: Workshop, variant: str) -> None:
    """Take away what killed runs on a variant left in the engine. Only we work on it, so it is nobody's."""
    from dsvm import checks, images

    images.forget_runs(variant, shop.engine.env)
    for name in checks.forget_killed(variant, shop.engine.env):
        shop.say(f"{name} of a run that was killed is removed")


def say_report(shop: Workshop, image: str, report: Report, begun: float) -> None:
    from dsvm import checks

    shop.say(f"verified {image}: {checks.summary(report, time.monotonic() - begun)}")
    if text := checks.failures(report):
        shop.say(text)


def format_of(shop: Workshop, variant: str, name: str) -> Format:
    """The format called `name`; InputError for one that there is not, and for one that `variant` lacks."""
    known: tuple[Format, ...] = get_args(Format)
    found = next((one for one in known if one == name), None)
    if found is None:
        raise InputError(f"unknown format '{name}'{near(name, known)}", hint=f"Known formats: {', '.join(known)}")
    formats = shop.catalog.variant(variant).formats
    if found not in formats:
        raise InputError(
            f"{variant} does not come out as {name}: its formats are {', '.join(formats)}",
            hint="Name it under 'formats' of the variant, or of one of your own that extends it",
        )
    return found


def need_container(shop: Workshop, variant: str) -> None:
    """Raise InputError for a variant that comes out of virtual machines alone."""
    formats = shop.catalog.variant(variant).formats
    if "docker" not in formats:
        raise InputError(
            f"{variant} has no container image: its formats are {', '.join(formats)}",
            hint=f"What its virtual machine is provisioned with: invoke render --variant {variant}",
        )


def _has_report(shop: Workshop, variant: str, image: Mapping[str, Any] | None) -> bool:
    """Whether the build folder holds a report of exactly this image without failures."""
    try:
        report = Report.model_validate_json((shop.folder(variant) / "report.json").read_bytes())
    except (OSError, ValueError):
        return False
    return image is not None and report.image == image["Id"] and not report.count("failed")


def _revision() -> str | None:
    """The commit that this project is at, or None outside a checkout."""
    from dsvm.run import run

    try:
        return run(["git", "-C", ROOT, "rev-parse", "HEAD"], timeout=30).stdout.strip()
    except ProgramError:
        return None


def verify(shop: Workshop, variant: str, *, plan: Plan | None = None, only: Sequence[str] = ()) -> Report:
    """Check the built image of `variant`, the unverified one first; a full pass gives it its name.

    Raises VerifyError when a check fails.
    """
    from dsvm import images
    from dsvm.builders.docker import image_name
    from dsvm.render import LABELS

    shop.catalog.refuse_retired(only)
    need_container(shop, variant)
    with shop.working_on(variant):
        if plan is None:
            plan = make_plan(shop.catalog, need_lock(shop, variant, locked=True))
        env = shop.engine.env
        _forget_killed(shop, variant)
        candidates = [image_name(variant, images.UNVERIFIED), image_name(variant)]
        found = next(((one, seen) for one in candidates if (seen := images.inspect(one, env)) is not None), None)
        if found is None:
            raise InputError(f"there is no image of {variant}", hint=f"Run: invoke build --variant {variant}")
        name, seen = found
        if images.labels_of(seen).get(f"{LABELS}.plan") != plan.digest:
            raise InputError(
                f"{name} was built from another lock or other manifests", hint=f"Run: invoke build --variant {variant}"
            )
        return _verify(shop, plan, str(seen["Id"]), name, only=only, promote=name == candidates[0])


def _verify(
    shop: Workshop, plan: Plan, image: str, name: str, *, only: Sequence[str] = (), promote: bool = True
) -> Report:
    """Check the image with the id `image`, which people know as `name`; a full pass gives it its name."""
    from dsvm import checks, images

    begun = time.monotonic()
    folder, env = shop.folder(plan.variant), shop.engine.env
    report = checks.verify(plan, image, engine_env=env, folder=folder, only=only, manifests=[*shop.catalog.folders])
    say_report(shop, name, report, begun)
    if failed := report.count("failed"):
        raise VerifyError(
            f"{failed} check{'s' if failed > 1 else ''} of {name} failed; it gets no name",
            hint=f"Report: {folder / checks.report_name(only)}, full output: {folder / 'verify.log'}",
        )
    if not only and promote:
        shop.say(f"image: {images.promote(plan, image, env)}")
    return report


# --- what is said of a build beforehand -------------------------------------------------------------------


def needed_bytes(locked: Lock) -> int:
    """About how much disk a build takes in an engine that has built nothing yet: 24 GB for cpu-debian's 1.6 GB.

    Artefacts unpack to four times their size, and the engine keeps that as stages, as layers and unpacked.
    """
    return 15 * sum({pin.sha256: pin.size for section in locked.sections for pin in section.pins}.values())


def is_built(shop: Workshop, locked: Lock) -> bool:
    """Whether the engine has the image of exactly this lock and these manifests; False without an engine."""
    from dsvm import images
    from dsvm.builders import docker
    from dsvm.render import LABELS

    try:
        plan, env = make_plan(shop.catalog, locked), shop.engine.env
        return images.labels(docker.image_name(locked.variant), env).get(f"{LABELS}.plan") == plan.digest
    except DsvmError:
        return False


# --- what the commands do beyond that ----------------------------------------------------------------------


def fetch_all(shop: Workshop, variant: str, *, update_stale: bool, jobs: int) -> None:
    """Fetch everything that a build of `variant` reads, the base's layout included."""
    needed = need_lock(shop, variant)
    gate(shop, variant, needed)
    with shop.using_store():
        _fetch_all(shop, variant, needed, update_stale=update_stale, jobs=jobs)


def _fetch_all(shop: Workshop, variant: str, needed: Lock, *, update_stale: bool, jobs: int) -> None:
    from dsvm import bases

    locked = fetch_fresh(shop, needed, update_stale=update_stale, jobs=jobs)
    base = next(section for section in locked.sections if section.id == "base")
    if locked.base_kind != "machine":
        with shop.context(variant) as context:
            log = shop.folder(variant) / "base.log"
            bases.layout(shop.catalog.bases[locked.base], locked.base_kind, base, context, log=log, say=shop.say)
    shop.say(f"fetch: everything for {variant} is in {shop.store.root}")


def start_image(shop: Workshop, variant: str, *, timeout: float | None, mounts: Sequence[str] = ()) -> None:
    """Start the verified image of `variant` and print where its services are; `mounts` as `images.Mount` reads them."""
    from dsvm import images
    from dsvm.builders.docker import image_name

    folders = [images.Mount.of(text) for text in mounts]
    places = [folder.target for folder in folders]
    if twice := {str(place) for place in places if places.count(place) > 1}:
        raise InputError(
            f"--mount: two folders at {', '.join(sorted(twice))}", hint="Name a place for each: DIR:/PLACE"
        )
    env = shop.engine.env
    name = image_name(variant)
    if images.inspect(name, env) is None:
        shop.catalog.variant(variant)
        raise InputError(f"there is no verified image {name}", hint=f"Run: invoke build --variant {variant}")
    services = images.manifest(name, env)["services"]
    shop.say(f"starting {name} ...")
    started = images.start(variant, services, env, mounts=folders, timeout=timeout or 180, say=shop.say)
    for service, url in started.urls.items():
        user = "   user: ds" if services[service]["login"] == "user-form" else ""
        secret = user + ("" if started.token in url else f"   password: {started.token}")
        shop.say(f"  {service:<12} {url}{secret}")
    for folder in folders:
        shop.say(f"  {folder.source} is {folder.target} in it")
    shop.say(f"stop it with: invoke stop --variant {variant}, which keeps its home (--forget removes it)")


def stop_image(shop: Workshop, variant: str, *, forget: bool = False) -> None:
    """Stop the container of `variant`; with `forget`, what was saved in its home goes too."""
    from dsvm import images

    stopped = images.stop(variant, shop.engine.env)
    if not stopped:
        shop.catalog.variant(variant)
    shop.say(f"{images.container_name(variant)} {'stopped' if stopped else 'was not running'}")
    home, env = images.home_name(variant), shop.engine.env
    if forget:
        gone = "and all that was saved there are removed" if images.forget_home(variant, env) else "is not there"
        shop.say(f"home {home} {gone}")
    elif images.has_home(variant, env):
        remove = f"invoke stop --variant {variant} --forget removes it"
        shop.say(f"what was saved in /home/ds stays in volume {home}: {remove}")
