"""The commands: what each takes, and no logic. `invoke build --variant cpu-debian` does all that is missing."""

from __future__ import annotations

import atexit
import os
import sys
from functools import partial
from gc import freeze, set_threshold
from pathlib import Path
from typing import TYPE_CHECKING

import invoke.tasks
from invoke.context import Context

from dsvm.screen import given, names, number, plain_errors, say_what_was_meant

if TYPE_CHECKING:
    from dsvm.release import Signer
    from dsvm.session import LayerCaches, Session

# A command makes much and drops little: by the usual threshold all of it is looked through again and again, and once
# more at its end.
set_threshold(1_000_000, 20, 20)
atexit.register(freeze)

# No one-letter options: invoke would give each command its own, and -c another meaning in each.
task = partial(invoke.tasks.task, auto_shortflags=False)

# A variant is never left out, yet has a default: invoke takes the `--help` after a command for what it lacks.
VARIANT = "image definition, for example cpu-debian (see: invoke list)"
FORMAT = "what comes out: docker, or a virtual machine's qcow2, vhd or vmdk"
SHOWN = "table or json"
ANY_FORMAT = f"{FORMAT}, or in a cloud azure, ami or gcp"
CATALOG = "DIR: a folder with manifests of your own, on top of the project's (repeatable; DSVM_CATALOG names more)"
GPU = "GPUs that it must run on, in place of the variant's: v100,a100"
REGISTRY = "HOST/PATH: a repository of a registry; who is logged in, docker and podman know"
KEY = "FILE: sign it with this private key, cosign.key; its password is in COSIGN_PASSWORD"
PASSWORD_FILE = "FILE: its first line is the key's password, in place of COSIGN_PASSWORD"  # noqa: S105 - a help text
KEYLESS = "sign it without a key, as whoever a CI run is: by sigstore, which logs that in public (docs/release.md)"
TRUST = "FILE: the services of an own sigstore instance (ClientTrustConfig, JSON), in place of the public one"
CACHE_FROM = "HOST/PATH[:TAG]: take layers from this cache in a registry (repeatable; a tag per variant by default)"
CACHE_TO = "HOST/PATH[:TAG]: write all layers to this cache, for builds on other machines"
DRIVER = "NVIDIA driver branch of its machines, in place of the variant's: 580"


def _session(
    catalog: list[str] | None,
    *,
    offline: bool = False,
    gpu: str | None = None,
    driver: str | None = None,
    caches: LayerCaches | None = None,
) -> Session:
    from dsvm import screen
    from dsvm.host import scratch_folders
    from dsvm.session import NO_CACHES, Session

    scratch_folders.sweep_usual()  # of runs that were killed
    gpus = names("gpu", gpu) if gpu is not None else None
    return Session(
        screen.echo,
        screen.warn,
        overlays=_folders(catalog),
        offline=offline,
        views=screen.Terminal(),
        note=screen.note,
        gpus=gpus,
        driver=driver,
        caches=caches or NO_CACHES,
    )


def _signer(
    session: Session, key: str | None, password_file: str | None, keyless: bool, trust_config: str | None
) -> Signer | None:
    from dsvm import pipeline

    files = {"key": _path(key), "password_file": _path(password_file), "trust_config": _path(trust_config)}
    return pipeline.signer(session, keyless=keyless, **files)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _folders(catalog: list[str] | None) -> list[Path]:
    """The folders of DSVM_CATALOG and then those of --catalog, which win."""
    always = os.environ.get("DSVM_CATALOG", "").split(os.pathsep)
    return [Path(folder).resolve() for folder in (*filter(None, always), *(catalog or ()))]


# --- make an image -----------------------------------------------------------------------------------------


@task(
    iterable=["catalog", "cache_from"],
    help={
        "variant": VARIANT,
        "format": ANY_FORMAT,
        "verify": "check every tool before the image gets its name (--no-verify: leave it unnamed)",
        "offline": "use nothing but lock and store",
        "locked": "never resolve: stop when the lock does not fit the manifests",
        "update-stale": "resolve again at once what mirrors have dropped",
        "cache": "use BuildKit's cache (--no-cache: run every stage again)",
        "builder": "buildx builder to use, of any driver; the image comes back here to be verified",
        "push": "HOST/PATH[:TAG]: push the image there once it is verified; who is logged in, docker and podman know",
        "cache-from": CACHE_FROM,
        "cache-to": CACHE_TO,
        "gpu": GPU,
        "driver": DRIVER,
        "catalog": CATALOG,
    },
)
@plain_errors
def build(c: Context, variant: str = "", format: str = "docker", verify: bool = True, offline: bool = False,
          locked: bool = False, update_stale: bool = False, cache: bool = True, builder: str | None = None,
          cache_from: list[str] | None = None, cache_to: str | None = None, push: str | None = None,
          gpu: str | None = None, driver: str | None = None,
          catalog: list[str] | None = None) -> None:  # fmt: skip
    """Build and verify an image: lock, fetch, render, build, verify, whatever of it is missing."""
    from dsvm import pipeline
    from dsvm.session import BuildOptions

    options = BuildOptions(format, verify, locked, update_stale, no_cache=not cache, builder=builder, push=push)
    caches = pipeline.layer_caches(cache_from or (), cache_to)
    session = _session(catalog, offline=offline, gpu=gpu, driver=driver, caches=caches)
    pipeline.build(session, variant, options)


@task(
    iterable=["catalog", "variant", "cache_from"],
    help={
        "variant": f"{VARIANT}; repeatable",
        "registry": "HOST/PATH: builders push each image there, as VARIANT-unverified; without, they load it",
        "output": "FILE: docker-bake.json by default",
        "locked": "never resolve: stop when the lock does not fit the manifests",
        "cache-from": CACHE_FROM,
        "cache-to": CACHE_TO,
        "catalog": CATALOG,
    },
)
@plain_errors
def bake(c: Context, variant: list[str] | None = None, registry: str | None = None, output: str = "docker-bake.json",
         locked: bool = False, cache_from: list[str] | None = None, cache_to: str | None = None,
         catalog: list[str] | None = None) -> None:  # fmt: skip
    """Write docker-bake.json: `docker buildx bake` builds these variants by it, on one builder or many."""
    from dsvm import pipeline, screen

    session = _session(catalog, caches=pipeline.layer_caches(cache_from or (), cache_to))
    file, variants = Path(output), given("variant", variant)
    screen.show_baked(pipeline.bake(session, variants, file, registry=registry, locked=locked), file)


@task(
    iterable=["catalog", "leave_out", "put_back"],
    help={
        "variant": VARIANT,
        "only": "resolve this ecosystem again, whatever its state: apt, pypi, ...",
        "upgrade": "resolve everything again, to the newest versions that the manifests allow",
        "leave-out": "TOOL: leave it out, recorded in the lock and shown in every report (repeatable)",
        "leave-out-unreachable": "leave out every tool that cannot be had now, until it can be, and those that need it",
        "put-back": "TOOL: take it in again (repeatable)",
        "gpu": GPU,
        "driver": DRIVER,
        "catalog": CATALOG,
    },
)
@plain_errors
def lock(c: Context, variant: str = "", only: str | None = None, upgrade: bool = False,
         leave_out: list[str] | None = None, put_back: list[str] | None = None, leave_out_unreachable: bool = False,
         gpu: str | None = None, driver: str | None = None,
         catalog: list[str] | None = None) -> None:  # fmt: skip
    """Pin every artefact of a variant; says what moved."""
    from dsvm import pipeline

    session = _session(catalog, gpu=gpu, driver=driver)
    pipeline.lock(
        session,
        variant,
        only=only,
        upgrade=upgrade,
        leave_out=leave_out or (),
        put_back=put_back or (),
        leave_out_unreachable=leave_out_unreachable,
    )


@task(
    iterable=["catalog"],
    help={
        "variant": VARIANT,
        "jobs": "downloads at a time, 8 by default",
        "update-stale": "resolve again at once what mirrors have dropped",
        "catalog": CATALOG,
    },
)
@plain_errors
def fetch(c: Context, variant: str = "", jobs: str = "8", update_stale: bool = False,
          catalog: list[str] | None = None) -> None:  # fmt: skip
    """Bring every locked artefact into the store; afterwards a build needs no network."""
    from dsvm import pipeline

    pipeline.fetch(_session(catalog), variant, update_stale=update_stale, jobs=number("jobs", jobs))


@task(
    iterable=["catalog"],
    help={
        "variant": VARIANT,
        "format": "docker, or azure, ami, gcp: the Packer template, and the archive that it installs",
        "old-packer": "a template for Packer before 1.7",
        "offline": "use nothing but lock and store",
        "catalog": CATALOG,
    },
)
@plain_errors
def render(c: Context, variant: str = "", format: str = "docker", old_packer: bool = False, offline: bool = False,
           catalog: list[str] | None = None) -> None:  # fmt: skip
    """Write what a locked variant is built from, Dockerfile or PowerShell, or what a cloud builds it from."""
    from dsvm import pipeline

    pipeline.render(_session(catalog, offline=offline), variant, format, old_packer=old_packer)


@task(
    iterable=["catalog", "tool"],
    help={
        "variant": VARIANT,
        "format": FORMAT,
        "tool": "TOOL: check only this one (repeatable); gives the image no name",
        "catalog": CATALOG,
    },
)
@plain_errors
def verify(c: Context, variant: str = "", format: str = "docker", tool: list[str] | None = None,
           catalog: list[str] | None = None) -> None:  # fmt: skip
    """Check every tool of a built image; a full pass gives the image its name."""
    from dsvm import pipeline

    pipeline.verify(_session(catalog), variant, format, only=tool or ())


@task(
    iterable=["catalog"],
    help={
        "variant": VARIANT,
        "format": "azure, ami or gcp",
        "disk": "FILE: publish this disk: a fixed VHD (azure), a VMDK (ami), a tar.gz with disk.raw (gcp)",
        "image": "NAME: publish an image that is in the cloud already, as packer build has made it",
        "version": "MAJOR.MINOR.PATCH; the time of the lock by default",
        "settings": "FILE: where images go (~/.config/dsvm/publish.yaml by default)",
        "dry-run": "say what would be run, and run nothing",
        "catalog": CATALOG,
    },
)
@plain_errors
def publish(c: Context, variant: str = "", format: str = "", disk: str | None = None, image: str | None = None,
            version: str | None = None, settings: str | None = None, dry_run: bool = False,
            catalog: list[str] | None = None) -> None:  # fmt: skip
    """Publish a machine's image to a cloud: upload, register, copy to regions, retire old ones."""
    from dsvm import pipeline
    from dsvm.cloud import PublishOptions

    disk_path, settings_path = (Path(one) if one else None for one in (disk, settings))
    options = PublishOptions(version, disk_path, image, settings_path, dry_run)
    pipeline.publish(_session(catalog), variant, format, options)


@task(
    iterable=["catalog", "advisories", "vex"],
    help={
        "variant": VARIANT,
        "all": "every variant that has a lock",
        "image": "the built image too: every file of it, accounted for by the artefacts of the lock",
        "format": "table, json, markdown or sarif",
        "fail-on": "error, warning, unknown or note: findings of this level, or a worse one, end with exit code 7",
        "advisories": "DIR or FILE.zip: advisories in OSV form, in place of those of a service (repeatable)",
        "vex": "DIR or FILE: VEX statements, beside those in manifests/vex (repeatable)",
        "offline": "ask no registry and no service: what they would say is unknown",
        "catalog": CATALOG,
    },
)
@plain_errors
def audit(c: Context, variant: str = "", all: bool = False, image: bool = False, format: str = "table",
          fail_on: str | None = None,
          advisories: list[str] | None = None, vex: list[str] | None = None, offline: bool = False,
          catalog: list[str] | None = None) -> None:  # fmt: skip
    """Say what is known of a locked variant: left out, ended, vulnerable, and what the policy makes of it."""
    from dsvm import pipeline, screen
    from dsvm.audit import AuditOptions

    shown_as, session = screen.known_format(format, screen.AUDIT_FORMATS), _session(catalog, offline=offline)
    options = AuditOptions.of(fail_on=fail_on, advisories=advisories or (), image=image, vex=vex or ())
    audits = pipeline.audit(session, None if all else variant, options)
    screen.show_audits(audits, shown_as)
    pipeline.refuse_forbidden(audits)


@task(
    iterable=["catalog", "advisories"],
    help={
        "variant": "whose lock revisions and days are of, where neither side says it",
        "old": "a lock file, a variant, VARIANT@REVISION, a revision or a day (2026-11-20) of git, an image "
        "(NAME:TAG), or a machine's disk (build/VARIANT/VARIANT.qcow2); the lock in HEAD by default",
        "new": "the same; the present lock by default",
        "format": "text, markdown or json",
        "advisories": "DIR or FILE.zip: advisories in OSV form, in place of those that the store keeps (repeatable)",
        "catalog": CATALOG,
    },
)
@plain_errors
def diff(c: Context, variant: str | None = None, old: str | None = None, new: str | None = None,
         format: str = "text", advisories: list[str] | None = None,
         catalog: list[str] | None = None) -> None:  # fmt: skip
    """Say what differs between two locks, of today or of git, built images, or machines."""
    from dsvm import pipeline, screen

    shown_as, session = screen.known_format(format, screen.DIFF_FORMATS), _session(catalog)
    screen.show_difference(pipeline.diff(session, variant, old, new, advisories=advisories or ()), shown_as)


@task(
    iterable=["catalog"],
    help={
        "variant": VARIANT,
        "image": "of what is in the built image, by its own records, instead of what is in the lock",
        "format": "cyclonedx (1.6) or spdx (2.3), both JSON",
        "output": "FILE: write it there instead of to standard output",
        "catalog": CATALOG,
    },
)
@plain_errors
def sbom(c: Context, variant: str = "", image: bool = False, format: str = "cyclonedx", output: str | None = None,
         catalog: list[str] | None = None) -> None:  # fmt: skip
    """Write the bill of materials of a variant: every package, where it comes from and what needs it."""
    from dsvm import pipeline, screen

    shown_as, session = screen.known_format(format, [*screen.BILL_FORMATS]), _session(catalog)
    screen.show_bill(pipeline.sbom(session, variant, image=image), shown_as, output)


@task(
    iterable=["catalog", "advisories"],
    help={
        "variant": VARIANT,
        "all": "every variant that has a lock",
        "image": "account for every file of the built images too, as invoke audit --image does",
        "advisories": "DIR or FILE.zip: advisories in OSV form, in place of those that the store keeps (repeatable)",
        "open": "show it in a browser",
        "catalog": CATALOG,
    },
)
@plain_errors
def report(c: Context, variant: str = "", all: bool = False, image: bool = False, advisories: list[str] | None = None,
           open: bool = False, catalog: list[str] | None = None) -> None:  # fmt: skip
    """Write a page about an image, for a browser: verdict, tools, sizes, layers, build, findings, changes."""
    from dsvm import pipeline, screen
    from dsvm.report import Asked

    session = _session(catalog, offline=True)
    asked = Asked.of(image=image, advisories=advisories or ())
    screen.show_pages(pipeline.report(session, None if all else variant, asked), open=open)


@task(
    help={
        "output": "PREFIX: writes PREFIX.key, for its owner alone, and PREFIX.pub, for everybody",
        "kind": "ecdsa (P-256, as cosign makes them) or ed25519",
        "password-file": PASSWORD_FILE,
    },
)
@plain_errors
def keygen(c: Context, output: str = "cosign", kind: str = "ecdsa", password_file: str | None = None) -> None:
    """Make a key that signs releases, in cosign's form; nothing is overwritten."""
    from dsvm import pipeline, screen

    screen.show_files(pipeline.keygen(Path(output), kind, _path(password_file)))


@task(
    iterable=["variant", "channel", "advisories", "catalog", "cache_from"],
    help={
        "variant": "image definition (repeatable): all of them are released together, or none",
        "registry": f"{REGISTRY}; without it, images stay in the engine",
        "channel": "latest or nightly: names that go on to the release (repeatable; both by default)",
        "hold": "hold back what breaks, and release the rest (--no-hold: a red night ends)",
        "budget": "minutes after which the search for what broke ends",
        "cache-from": CACHE_FROM,
        "cache-to": CACHE_TO,
        "key": KEY,
        "password-file": PASSWORD_FILE,
        "keyless": KEYLESS,
        "trust-config": TRUST,
        "record": "FILE: the record of the night, JSON (build/night.json by default)",
        "summary": "FILE: a summary in Markdown is put at its end, for the page of a CI run",
        "advisories": "DIR or FILE.zip: advisories in OSV form, in place of those of a service (repeatable)",
        "catalog": CATALOG,
    },
)
@plain_errors
def nightly(c: Context, variant: list[str] | None = None, registry: str | None = None,
            channel: list[str] | None = None, hold: bool = True, budget: str | None = None,
            key: str | None = None, password_file: str | None = None, keyless: bool = False,
            trust_config: str | None = None, record: str | None = None,
            summary: str | None = None, advisories: list[str] | None = None,
            cache_from: list[str] | None = None, cache_to: str | None = None,
            catalog: list[str] | None = None) -> None:  # fmt: skip
    """Lock anew, build, verify, audit, release; hold back what breaks, and say which change it was."""
    from dsvm import ROOT, pipeline, screen
    from dsvm.nightly import NightlyOptions

    options = NightlyOptions(
        may_hold=hold,
        budget=number("budget", budget, least=0) if budget is not None else None,
        registry=registry,
        **({"channels": channel} if channel else {}),
    )
    session = _session(catalog, caches=pipeline.layer_caches(cache_from or (), cache_to))
    signer = _signer(session, key, password_file, keyless, trust_config)
    night, error = pipeline.nightly(session, variant or (), options, advisories=advisories or (), signer=signer)
    screen.write_night(night, Path(record or ROOT / "build" / "night.json"), Path(summary) if summary else None)
    screen.show_night(night)
    if error is not None:
        raise error


# --- publish images to a registry --------------------------------------------------------------------------


@task(
    iterable=["catalog", "variant", "channel"],
    help={
        "variant": f"{VARIANT}; repeatable: all of them are one release",
        "registry": REGISTRY,
        "format": "docker; or qcow2, vhd (azure), vmdk (ami): what belongs to a machine is written beside its disk",
        "channel": "latest or nightly: names that go on to this release (repeatable; latest by default)",
        "promote": "move the channel (--no-promote: the release is there under its day, and no channel names it yet)",
        "alone": "the release has these variants alone; else the channel's others stay in it",
        "offline": "ask no registry and no service what is known of the packages in it",
        "key": KEY,
        "password-file": PASSWORD_FILE,
        "keyless": KEYLESS,
        "trust-config": TRUST,
        "catalog": CATALOG,
    },
)
@plain_errors
def release(c: Context, variant: list[str] | None = None, registry: str = "", format: str = "docker",
            channel: list[str] | None = None, promote: bool = True, alone: bool = False, offline: bool = False,
            key: str | None = None, password_file: str | None = None, keyless: bool = False,
            trust_config: str | None = None, catalog: list[str] | None = None) -> None:  # fmt: skip
    """Publish verified images to a registry as one release, or machines, with bills, lock, audit and report."""
    from dsvm import pipeline, screen

    channels = (channel or ["latest"]) if promote else []
    session, variants = _session(catalog, offline=offline), given("variant", variant)
    if format != "docker":
        of_registries = {"registry": registry, "channel": channel, "no-promote": not promote, "alone": alone}
        screen.not_given(of_registries, f"{format}: what belongs to it lies beside its disk, and in no registry")
    signer = _signer(session, key, password_file, keyless, trust_config)
    if format != "docker":
        for one in variants:
            screen.show_files(pipeline.release_disk(session, one, format, signer))
        return
    place = given("registry", registry)
    published = pipeline.release(session, variants, place, channels=channels, alone=alone, signer=signer)
    screen.show_published(published, registry)


@task(
    iterable=["channel"],
    help={
        "registry": REGISTRY,
        "to": "the release: its day (2026-11-26), its name (20261126-2), or a channel that names it",
        "channel": "latest or nightly: names that go on to it (repeatable; latest by default)",
        "key": KEY,
        "password-file": PASSWORD_FILE,
        "keyless": KEYLESS,
        "trust-config": TRUST,
    },
)
@plain_errors
def promote(c: Context, registry: str = "", to: str = "", channel: list[str] | None = None, key: str | None = None,
            password_file: str | None = None, keyless: bool = False,
            trust_config: str | None = None) -> None:  # fmt: skip
    """Have a channel name a release that is in the registry already."""
    from dsvm import pipeline, screen

    session = _session(None)
    signer = _signer(session, key, password_file, keyless, trust_config)
    channels = channel or ["latest"]
    screen.show_switched(pipeline.promote(session, given("registry", registry), given("to", to), channels, signer))


@task(
    iterable=["channel"],
    help={
        "variant": "one of the release that is to be taken back; all others go back with it",
        "registry": REGISTRY,
        "to": "the day of the release to go back to, 2026-11-25, or its name; the one before by default",
        "channel": "latest or nightly (repeatable; all that name the variant by default)",
    },
)
@plain_errors
def rollback(c: Context, variant: str = "", registry: str = "", to: str | None = None,
             channel: list[str] | None = None) -> None:  # fmt: skip
    """Have channels name an older release again, with all its variants; nothing is built or sent."""
    from dsvm import pipeline, screen

    switched = pipeline.rollback(
        _session(None), given("variant", variant), given("registry", registry), to, channel or []
    )
    screen.show_switched(switched)


@task(
    help={
        "registry": REGISTRY,
        "daily": "keep the last release of so many days, 14 by default",
        "weekly": "and of so many weeks, 8 by default",
        "monthly": "and of so many months, 12 by default",
        "delete": "do it; without it, nothing is deleted",
    },
)
@plain_errors
def gc(c: Context, registry: str = "", daily: str = "14", weekly: str = "8", monthly: str = "12",
       delete: bool = False) -> None:  # fmt: skip
    """Say which releases of a registry may go, or delete them; never what an index still names."""
    from dsvm import pipeline, screen
    from dsvm.release import Keep

    keep = Keep(number("daily", daily), number("weekly", weekly), number("monthly", monthly))
    screen.show_doomed(pipeline.collect(_session(None), given("registry", registry), keep, delete=delete), delete)


@task(
    positional=["old", "new"],
    help={
        "old": "HOST/PATH with :TAG or @DIGEST: the image that a machine has",
        "new": "the same: the image that it wants",
        "variant": "which image of a release is meant, where OLD or NEW is one with several",
        "format": SHOWN,
    },
)
@plain_errors
def pull_size(c: Context, old: str, new: str, variant: str | None = None, format: str = "table") -> None:
    """Say how many bytes a machine with the image OLD fetches for NEW, from their manifests alone."""
    from dsvm import pipeline, screen

    shown_as = screen.known_format(format, ("table", "json"))
    screen.show_pull_size(pipeline.pull_size(_session(None), old, new, variant), shown_as)


@task(
    positional=["reference"],
    iterable=["key"],
    help={
        "reference": "HOST/PATH with :TAG or @DIGEST: a release, or one image; latest where neither is said; "
        "or a FILE: the disk of a machine, with what was released beside it",
        "key": "FILE: a public key, cosign.pub, whose owner may have signed it (repeatable)",
        "identity": "who is to have signed it without a key, as releasing has printed it: a workflow's URL, an address",
        "issuer": "URL of who says that of them, such as https://gitlab.com",
        "trust-config": TRUST,
    },
)
@plain_errors
def verify_release(c: Context, reference: str, key: list[str] | None = None, identity: str | None = None,
                   issuer: str | None = None, trust_config: str | None = None) -> None:  # fmt: skip
    """Read a release back: every digest, its signatures, and whether what is said of its images agrees with them."""
    from dsvm import pipeline, screen

    verifier = pipeline.verifier(
        keys=[Path(one) for one in key or ()], identity=identity, issuer=issuer, trust_config=_path(trust_config)
    )
    checked = pipeline.verify_release(_session(None), reference, verifier)
    screen.show_checked(checked, signed=verifier is not None)
    pipeline.refuse_altered(checked)


# --- use an image ------------------------------------------------------------------------------------------


@task(
    iterable=["catalog", "mount"],
    help={
        "variant": VARIANT,
        "format": FORMAT,
        "mount": "DIR or DIR:/PLACE: a folder of this host, in the container at /home/ds/work or PLACE (repeatable)",
        "timeout": "seconds to wait until it answers, 180 by default, for a machine as its accelerator needs",
        "catalog": CATALOG,
    },
)
@plain_errors
def start(c: Context, variant: str = "", format: str = "docker", mount: list[str] | None = None,
          timeout: str | None = None, catalog: list[str] | None = None) -> None:  # fmt: skip
    """Start an image with a token of its own, on loopback ports; prints the addresses."""
    from dsvm import pipeline

    seconds = number("timeout", timeout) if timeout is not None else None
    pipeline.start(_session(catalog), variant, format, timeout=seconds, mounts=mount or ())


@task(
    iterable=["catalog"],
    help={
        "variant": VARIANT,
        "format": FORMAT,
        "forget": "remove the home, or a machine's disk, too, with all that was saved there",
        "catalog": CATALOG,
    },
)
@plain_errors
def stop(c: Context, variant: str = "", format: str = "docker", forget: bool = False,
         catalog: list[str] | None = None) -> None:  # fmt: skip
    """Stop and remove the running container or virtual machine of a variant; its home, or disk, stays."""
    from dsvm import pipeline

    pipeline.stop(_session(catalog), variant, format, forget=forget)


# --- look around -------------------------------------------------------------------------------------------


@task(
    name="list",
    iterable=["catalog"],
    help={"format": SHOWN, "sizes": "how much each group of tools is in each variant", "catalog": CATALOG},
)
@plain_errors
def list_(c: Context, format: str = "table", sizes: bool = False, catalog: list[str] | None = None) -> None:
    """Variants and tools: what is in which image, what is locked and built."""
    from dsvm.screen import show_list

    show_list(_session(catalog), format, sizes=sizes)


@task(iterable=["catalog"], help={"variant": VARIANT, "format": SHOWN, "catalog": CATALOG})
@plain_errors
def show(c: Context, variant: str = "", format: str = "table", catalog: list[str] | None = None) -> None:
    """Stages, tools and versions of one variant, from its lock."""
    from dsvm.screen import show_variant

    show_variant(_session(catalog), variant, format)


@task(
    iterable=["catalog"],
    help={
        "explain": "VARIANT: every rule, what it looked at and what it found; fails where the gate would",
        "gpu": GPU,
        "driver": DRIVER,
        "format": SHOWN,
        "catalog": CATALOG,
    },
)
@plain_errors
def compat(c: Context, explain: str | None = None, gpu: str | None = None, driver: str | None = None,
           format: str = "table", catalog: list[str] | None = None) -> None:  # fmt: skip
    """What fits together: drivers, CUDA, frameworks, Python, GPUs and ends of life, with sources."""
    from dsvm.screen import show_compat, show_reasoning

    session = _session(catalog, gpu=gpu, driver=driver)
    if explain is None:
        show_compat(session, format)
    else:
        show_reasoning(session, explain, format)


@task(
    iterable=["catalog"],
    help={"variant": "also check the disk for this variant", "format": SHOWN, "catalog": CATALOG},
)
@plain_errors
def doctor(c: Context, variant: str | None = None, format: str = "table", catalog: list[str] | None = None) -> None:
    """Say what this host has, what is missing or slow, and how to mend it."""
    from dsvm.screen import show_doctor

    show_doctor(_session(catalog), variant, format)


@task(
    iterable=["catalog"],
    help={
        "everything": "empty the whole store, not only what no lock needs, and forget earlier builds",
        "catalog": CATALOG,
    },
)
@plain_errors
def clean(c: Context, everything: bool = False, catalog: list[str] | None = None) -> None:
    """Remove build folders, and artefacts and images that no lock needs."""
    from dsvm import pipeline

    pipeline.clean(_session(catalog), everything=everything)


@task(iterable=["catalog"], help={"catalog": CATALOG})
@plain_errors
def schema(c: Context, catalog: list[str] | None = None) -> None:
    """Write the JSON Schemas of the manifests, for editors, to `schema` in manifests or in a folder of your own.

    Without a folder of your own, those of what `--format json` prints too, to docs/schema.
    """
    from dsvm.screen import write_schemas

    write_schemas(_folders(catalog))


@task(
    iterable=["catalog"],
    help={
        "kind": "tool or variant",
        "name": "what it will be called, and its file",
        "package": "of PyPI, where that is called otherwise than the tool",
        "like": "variant that it extends, or on whose base a tool's package is looked for",
        "catalog": CATALOG,
    },
)
@plain_errors
def new(c: Context, kind: str, name: str, package: str = "", like: str = "cpu-minimal",
        catalog: list[str] | None = None) -> None:  # fmt: skip
    """Begin a tool or a variant: a manifest that passes, with what the registry knows, and what is to be filled in."""
    from dsvm import pipeline

    pipeline.new(_session(catalog), kind, name, package=package, like=like)


# --- work on DSVM itself -----------------------------------------------------------------------------------


def _become(program: str, *words: str) -> None:
    """Go on as a program of scripts/: its exit code and signals are this command's."""
    path = Path(__file__).with_name("scripts") / program
    os.execv(path, [str(path), *words])  # noqa: S606 -- of ours, as with subprocess


@task(help={"which": "unit, e2e or slow; by default all but the slow ones"})
@plain_errors
def test(c: Context, which: str = "all") -> None:
    """Run the tests of DSVM itself, after setting this host up for them: scripts/test."""
    _become("test", which)


@task(help={"only": "run this one: ruff-check, ruff-format, mypy, shellcheck, hadolint or workflows"})
@plain_errors
def lint(c: Context, only: str | None = None) -> None:
    """Run the static checks of DSVM itself: scripts/lint."""
    _become("lint", *filter(None, [only]))


say_what_was_meant(
    sys.argv,
    {
        task.name.replace("_", "-"): bool(task.positional)
        for task in globals().values()
        if isinstance(task, invoke.tasks.Task)
    },
)
