"""What each command does: container images, virtual machines made here, or images of a cloud."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm import ROOT, cloud, container, ledger, vm
from dsvm import audit as audits
from dsvm import diff as diffs
from dsvm import lock as locks
from dsvm import nightly as nights
from dsvm import release as releases
from dsvm import report as reports
from dsvm import sbom as bills
from dsvm.host import claims, scratch, write_whole
from dsvm.model import (
    AlteredError,
    Audit,
    Difference,
    DsvmError,
    EngineError,
    Finding,
    InputError,
    Lock,
    LockError,
    Night,
    Plan,
    PolicyError,
)
from dsvm.plan import make_plan, rendering
from dsvm.session import (
    BuildOptions,
    LayerCaches,
    Session,
    begin,
    fetch_fresh,
    gate_variant,
    lock_variant,
    need_lock,
    refuse_contradictions,
)
from dsvm.store import megabytes

if TYPE_CHECKING:  # a command loads the rooms that it uses, and no others
    from dsvm.audit import AuditOptions, Evidence
    from dsvm.cloud import PublishOptions
    from dsvm.container import Baked
    from dsvm.model import answers
    from dsvm.nightly import NightlyOptions
    from dsvm.release import (
        Candidate,
        Checked,
        CheckedDisk,
        Claim,
        Destination,
        Doomed,
        Home,
        Keep,
        Published,
        Signer,
        Surroundings,
        Switch,
        Verifier,
    )
    from dsvm.report import Asked
    from dsvm.sbom import Bill

__all__ = ["build", "clean", "fetch", "lock", "publish", "render", "start", "stop", "verify"]

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
        session.echo(f"{write_plan(session, variant)[1]}")
    else:
        cloud.prepare(session, variant, cloud.format_of_cloud(session, variant, format), plugins=not old_packer)


def write_plan(session: Session, variant: str) -> tuple[Plan, Path]:
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


def audit(session: Session, variant: str | None, options: AuditOptions) -> list[Audit]:
    """What is known of a locked variant, or of all, and what the policy makes of it; nothing is built or locked."""
    found = []
    shared: dict[str, object] = {}
    with scratch("audit") as work:
        for lock in _locked(session, variant).values():
            evidence = audits.Evidence(
                session.catalog,
                lock,
                session.store,
                options.today,
                options.advisories,
                options.vex,
                online=not session.offline,
                echo=session.note,
                host=None if session.offline else session.host,
                work=None if session.offline else work,
                cache=shared,
            )
            more = _image_findings(session, evidence, alone=variant is not None) if options.image else None
            found.append(audits.auditing.audit(evidence, more, fail_on=options.fail_on))
    return audits.settle(found, session.catalog.policy)


def _locked(session: Session, variant: str | None) -> dict[str, Lock]:
    """The lock of a variant, or of all that have one. Raises LockError, with every lock that is none."""
    found: dict[str, Lock] = {}
    faults: list[LockError] = []
    for name in [variant] if variant is not None else sorted(session.catalog.variants):
        try:
            lock = locks.find(session.catalog, name)
        except LockError as error:
            faults.append(error)
            continue
        if lock is not None:
            found[name] = lock
        elif variant is not None:
            raise LockError(f"{name} has no lock", hint=f"Run: invoke lock --variant {name}")
    if faults:
        raise LockError("\n".join(fault.message for fault in faults), hint=faults[0].hint)
    return found


def _image_findings(session: Session, evidence: Evidence, *, alone: bool) -> Iterator[Finding]:
    """What the image of a variant has; of several variants, one without an image of ours is a finding itself."""
    variant = evidence.lock.variant
    name = container.image_name(variant)
    try:
        _need_image(session, name, evidence.lock)
    except DsvmError as error:
        if alone:
            raise
        return iter([audits.no_image(name, error)])
    plan = make_plan(session.catalog, evidence.lock)
    return audits.image_findings(name, plan, evidence, session.engine, session.folder(variant))


def _need_image(session: Session, name: str, lock: Lock) -> None:
    """Raise InputError when there is no image of ours, and say when it was built from another lock."""
    digest, present = container.need_ours(name, lock.variant, session.engine), lock.of("docker").digest
    if digest != present:
        ours = f"{lock.variant}'s present one, {present[:12]}"
        session.warn(f"{name} was built from lock {digest[:12]}, and is compared with {ours}")


def diff(
    session: Session, variant: str | None, old: str | None, new: str | None, *, advisories: Sequence[str] = ()
) -> Difference:
    """What differs between two locks, images or machines, as people name them; nothing is built, locked or asked."""
    options = audits.AuditOptions.of(fail_on=None, advisories=advisories)
    before, after = diffs.both_sides(session, variant, old, new)
    found = diffs.difference(before, after)
    return diffs.further(found, before, after, session, advisories=options.advisories, today=options.today)


def sbom(session: Session, variant: str, *, image: bool = False) -> Bill:
    """The bill of materials of a locked variant, or of what is in its built `image`.

    Nothing is built, locked or fetched, and nothing of the image runs.
    """
    lock = locks.find(session.catalog, variant)
    if lock is None:
        raise LockError(f"{variant} has no lock", hint=f"Run: invoke lock --variant {variant}")
    bill = bills.bill_of(session.catalog, lock, session.store, _licenses(session, lock))
    if not image:
        return bill
    name = container.image_name(variant)
    _need_image(session, name, lock)
    plan = make_plan(session.catalog, lock)
    found = ledger.inventory(name, plan, session.store, session.engine, echo=session.note)
    return bills.bill_of_image(bill, found, plan)


def _licenses(session: Session, lock: Lock) -> Mapping[str, str]:
    """SHA-256 of what is locked -> its license, where that is known."""
    today = datetime.datetime.now(datetime.UTC).date()
    return audits.licenses_by_digest(audits.Evidence(session.catalog, lock, session.store, today, echo=session.note))


def report(session: Session, variant: str | None, asked: Asked) -> list[Path]:
    """Write the page of a locked variant, or of all, and the overview; returns where they are, the overview last."""
    chosen = _locked(session, variant)
    of_image = partial(_image_findings, session, alone=variant is not None) if asked.image else None
    found = [reports.look(session, lock, asked, of_image) for lock in chosen.values()]
    found += [reports.look(session, lock, asked) for lock in _other_locks(session, chosen)]
    paths = []
    for one in (looked := reports.settled(found, session.catalog.policy))[: len(chosen)]:
        page = reports.page_of(session, one, asked)
        paths.append(session.folder(one.lock.variant) / reports.PAGE)
        write_whole(paths[-1], reports.page_html(page))
    overview = reports.overview_of(session, sorted(looked, key=lambda one: one.lock.variant))
    paths.append(session.folder(reports.OVERVIEW) / "index.html")
    write_whole(paths[-1], reports.overview_html(overview))
    return paths


def _other_locks(session: Session, chosen: Collection[str]) -> Iterator[Lock]:
    """The locks of the other variants; one that is none is said."""
    for name in sorted({*session.catalog.variants} - {*chosen}):
        try:
            if (lock := locks.find(session.catalog, name)) is not None:
                yield lock
        except LockError as error:
            session.warn(error.message)


def keygen(prefix: Path, kind: str, password_file: Path | None) -> tuple[Path, Path]:
    """Make a key that signs releases: the files of its private and its public half."""
    known = next((one for one in releases.KINDS if one == kind), None)
    if known is None:
        raise InputError(f"--kind: '{kind}' is no kind of key", hint=f"There are: {', '.join(releases.KINDS)}")
    password = releases.read_password(os.environ, password_file)
    if password is None:
        hint = "Set COSIGN_PASSWORD, to nothing where it is to have none, or name a file: --password-file FILE"
        raise InputError("a key has a password, and nobody says it", hint=hint)
    return releases.make_pair(prefix, known, password)


def signer(
    session: Session, *, key: Path | None, password_file: Path | None, keyless: bool, trust_config: Path | None
) -> Signer | None:
    """What signs releases: the private key in a file, or the identity that this runs with; None for neither.

    Raises InputError where one of them is not at hand: now, and not when all else is done.
    """
    if keyless and key is not None:
        raise InputError(
            "--keyless and --key: one of them signs", hint="Without a key an identity does: docs/release.md"
        )
    if trust_config is not None and not keyless:
        raise InputError("--trust-config says whom --keyless signs with, and that is missing")
    if key is not None:
        return releases.KeySigner(releases.read_signing_key(key, releases.read_password(os.environ, password_file)))
    if not keyless:
        return None
    releases.identity_token()
    return releases.IdentitySigner(releases.Signing(releases.Instance.of(trust_config), session.note))


def release(
    session: Session,
    variants: Sequence[str],
    registry: str,
    *,
    channels: Sequence[str],
    alone: bool,
    signer: Signer | None = None,
) -> Published:
    """Publish verified images as one release, signed by `signer`, and have `channels` name it; nothing is built.

    Raises PolicyError for what the policy forbids, RegistryError when the registry fails: no channel has moved then.
    """
    sessions = dict.fromkeys(variants, session)
    return _release(_home(session, registry), sessions, channels=channels, alone=alone, signer=signer)


def _release(
    home: Home,
    sessions: Mapping[str, Session],
    *,
    channels: Sequence[str],
    alone: bool = False,
    signer: Signer | None = None,
) -> Published:
    """Publish the images that variants have, each in a session of its own, as one release."""
    around = releases.Surroundings.of(os.environ)
    found = [_candidate(session, variant, around) for variant, session in sessions.items()]
    session = next(iter(sessions.values()))
    seal = releases.Sealer(
        signer, {candidate.variant: claims for candidate, claims in found}, around, channels, note=session.note
    )
    candidates = [candidate for candidate, _ in found]
    return home.publish(candidates, session.engine, channels=channels, alone=alone, seal=seal)


def _candidate(session: Session, variant: str, around: Surroundings) -> tuple[Candidate, Sequence[Claim]]:
    """The verified image of a variant with what is known and to be said of it; nothing that the policy forbids."""
    with session.working_on(variant):
        locked = locks.find(session.catalog, variant)
        if locked is None:
            raise LockError(f"{variant} has no lock", hint=f"Run: invoke lock --variant {variant}")
        plan = make_plan(session.catalog, locked)
        container.need_verified(session, plan)
        session.note(f"release: {variant}: looking into the image")
        audited = audit(session, variant, audits.AuditOptions.of(fail_on=None, advisories=(), image=True))
        refuse_forbidden(audited)
        bill = sbom(session, variant, image=True)
        candidate = releases.candidate_of(session, plan, locked, bill, audited)
        return candidate, releases.claims_of(session, plan, locked, candidate, around)


def release_disk(session: Session, variant: str, format: str, signer: Signer | None = None) -> list[Path]:
    """Write all that belongs to the verified disk of a variant beside it, signed by `signer`; returns these files.

    Raises PolicyError for what the policy forbids.
    """
    known = cloud.disk_format(session, variant, format)
    with session.working_on(variant):
        lock = need_lock(session, variant, locked=True)
        disk = releases.disk_of(session, variant, known, lock)
        audited = audit(session, variant, audits.AuditOptions.of(fail_on=None, advisories=()))
        refuse_forbidden(audited)
        bill = bills.bill_of(session.catalog, lock, session.store, _licenses(session, lock), format=known)
        page, *_ = report(session, variant, reports.Asked.of(image=False, advisories=()))
        return releases.release_disk(session, disk, bill, audited, page, signer, releases.Surroundings.of(os.environ))


def promote(
    session: Session, registry: str, to: str, channels: Sequence[str], signer: Signer | None = None
) -> list[Switch]:
    """Have channels name a release that is in the registry, of a day or of another channel; signed by `signer`."""
    around = releases.Surroundings.of(os.environ)
    seal = partial(releases.sign_promotion, signer=signer, around=around, channels=channels) if signer else None
    return _home(session, registry).promote(to, channels, seal)


def verifier(
    *, keys: Sequence[Path], identity: str | None, issuer: str | None, trust_config: Path | None
) -> Verifier | None:
    """Who is to have signed a release: the owner of one of the keys, or an identity; None for nobody."""
    named = [bool(identity), bool(issuer)]
    if keys and (any(named) or trust_config is not None):
        raise InputError("--key and --identity: a release is verified by one of them at a time")
    if any(named) != all(named) or (trust_config is not None and not any(named)):
        hint = "Who has signed, and the URL of who says so: releasing with --keyless prints both"
        raise InputError("--identity and --issuer: both are wanted", hint=hint)
    if identity and issuer:
        return releases.IdentityVerifier(releases.Instance.of(trust_config), releases.Identity(identity, issuer))
    return releases.KeyVerifier([releases.read_public_key(path) for path in keys]) if keys else None


def verify_release(session: Session, reference: str, verifier: Verifier | None) -> Checked | CheckedDisk:
    """Compare a release, one image, or a disk with what was published and signed; nothing of it is kept."""
    if releases.is_disk(reference):
        return releases.verify_disk(Path(reference), verifier)
    place = releases.Reference.of(reference)
    return releases.verify(releases.Registry(place, session.host), place.what, verifier, note=session.note)


def refuse_altered(checked: Checked | CheckedDisk) -> None:
    """Raise AlteredError when something of a release is not as it was published."""
    if checked.faults:
        hint = "Nothing of it can be relied on: ask those who published it, and go back to a release that is whole"
        raise AlteredError("\n".join(checked.faults), hint=hint)


def rollback(session: Session, variant: str, registry: str, to: str | None, channels: Sequence[str]) -> list[Switch]:
    """Have channels name an older release again, with all its variants; nothing is built or sent."""
    return _home(session, registry).rollback(variant, to, channels)


def collect(session: Session, registry: str, keep: Keep, *, delete: bool) -> Doomed:
    """What of a registry may go; with `delete` it does."""
    home = _home(session, registry)
    return home.collect(keep) if delete else home.doomed(keep)


def pull_size(session: Session, old: str, new: str, variant: str | None) -> answers.PullAnswer:
    """What a machine with the image `old` fetches for `new`, by what the registry says of them."""
    return releases.pull_size(old, new, session.host, variant)


def _home(session: Session, registry: str) -> Home:
    return releases.Home.of(registry, session.host, session.store.root, note=session.note, warn=session.warn)


def nightly(
    session: Session,
    variants: Sequence[str],
    options: NightlyOptions,
    *,
    advisories: Sequence[str] = (),
    signer: Signer | None = None,
) -> tuple[Night, DsvmError | None]:
    """Lock anew, build, verify, audit and release; what breaks is found and held back. The error of a red night too."""

    def auditor(staged: Session, variant: str, image: bool) -> Audit:
        (found,) = audit(staged, variant, audits.AuditOptions.of(fail_on=None, advisories=advisories, image=image))
        return found

    if options.registry is None:
        return nights.nightly(session, variants, options, auditor, nights.Here(session, variants))
    home = _home(session, options.registry)
    publish = partial(_release, home, channels=options.channels, signer=signer)
    publisher = nights.InRegistry(home, options.channels, publish)
    return nights.nightly(session, variants, options, auditor, publisher)


def refuse_forbidden(audited: Sequence[Audit]) -> None:
    """Raise PolicyError when the policy forbids to ship one of the audited variants."""
    faults = [
        f"{one.variant}: the policy forbids it: {len(one.forbidden)} findings" for one in audited if one.forbidden
    ]
    if faults:
        hint = "Mend what is named above, or waive it in a policy.yaml of your own: docs/audit.md"
        raise PolicyError("\n".join(faults), hint=hint)


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


def clean(session: Session, *, everything: bool) -> None:
    """Remove build folders, and artefacts and images that no lock needs; with `everything`, the whole store.

    What another run is using stays, and is said; so does, without `everything`, what is remembered of earlier builds.
    """
    _clean_build_folders(session, everything=everything)
    files, size = clean_store(session, everything=everything)
    session.echo(f"removed {files} artefacts, {megabytes(size)}, and the build folders")
    try:
        engine = session.engine
    except EngineError:
        return
    found = {name: locks.find(session.catalog, name) for name in session.catalog.variants}
    for name, lock in found.items():
        with claims.if_free(claims.folder(), name) as who:
            digests = {name: lock.of("docker").digest} if lock is not None and who is None else {}
            for gone in container.remove_old(digests, engine) if digests else ():
                session.echo(f"removed image {gone}")


def _clean_build_folders(session: Session, *, everything: bool) -> None:
    """What is in them goes, but what is remembered of builds only with `everything`."""
    with session.store.faults(session.store.root):
        for folder in sorted((ROOT / "build").glob("*")):
            with claims.if_free(claims.folder(), folder.name) as who:
                if who is None:
                    kept = folder / container.history.HISTORY
                    for path in [folder] if everything or not kept.is_dir() else {*folder.iterdir()} - {kept}:
                        _remove(path)
                else:
                    session.echo(f"{folder.name}: its build folder and image stay: {who}")


def new(session: Session, kind: str, name: str, *, package: str, like: str) -> None:
    """Begin a tool or a variant, and say what is to be filled in."""
    path = begin(session, kind, name, package=package, like=like)
    session.echo(f"new {kind} {name}: {path}")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if (words := line.strip()).startswith("# fill in: "):
            session.echo(f"  line {number + 1}: {words.removeprefix('# fill in: ')}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def clean_store(session: Session, *, everything: bool = False) -> tuple[int, int]:
    """Remove what no lock needs from the store; returns how many files and bytes went."""
    root = session.store.root
    keep: set[str] = set()
    if not everything:
        for catalog in session.catalog.folders:
            for path in (catalog / "locks").glob("*.json"):
                keep |= {pin.sha256 for section in locks.read(path).sections for pin in section.pins}
    with session.store.faults(root), claims.to_clean(root) as alone:
        if not alone:
            session.echo(f"{root}: another run is using it, so all its artefacts stay")
            return 0, 0
        return session.store.prune(keep)
