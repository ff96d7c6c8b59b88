"""DSVM's commands. `invoke build --variant cpu-debian` does all that is missing; the others are its single steps."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import invoke.tasks
from invoke.context import Context

from dsvm.console import names, number, plain_errors, say, say_what_was_meant

if TYPE_CHECKING:
    from dsvm.pipeline import Workshop

# No one-letter options: invoke would give each command its own, and -c another meaning in each.
task = partial(invoke.tasks.task, auto_shortflags=False)

# A variant is never left out, yet has a default: invoke takes the `--help` after a command for what it lacks.
VARIANT = "image definition, for example cpu-debian (see: invoke list)"
FORMAT = "what comes out: docker, or a virtual machine's qcow2, vhd or vmdk"
ANY_FORMAT = f"{FORMAT}, or in a cloud azure, ami or gcp"
CATALOG = "DIR: a folder with manifests of your own, on top of the project's (repeatable; DSVM_CATALOG names more)"
GPU = "GPUs that it must run on, in place of the variant's: v100,a100"
DRIVER = "NVIDIA driver branch of its machines, in place of the variant's: 580"


def _shop(
    catalog: list[str] | None, *, offline: bool = False, gpu: str | None = None, driver: str | None = None
) -> Workshop:
    from dsvm import scratch
    from dsvm.pipeline import Workshop

    scratch.sweep_usual()  # of runs that were killed
    gpus = names("gpu", gpu) if gpu is not None else None
    return Workshop(overlays=_folders(catalog), offline=offline, say=say, gpus=gpus, driver=driver)


def _folders(catalog: list[str] | None) -> list[Path]:
    """The folders of DSVM_CATALOG and then those of --catalog, which win."""
    always = os.environ.get("DSVM_CATALOG", "").split(os.pathsep)
    return [Path(folder).resolve() for folder in (*filter(None, always), *(catalog or ()))]


# --- make an image -----------------------------------------------------------------------------------------


@task(
    iterable=["catalog"],
    help={
        "variant": VARIANT,
        "format": ANY_FORMAT,
        "verify": "check every tool before the image gets its name (--no-verify: leave it unnamed)",
        "offline": "use nothing but lock and store",
        "locked": "never resolve: stop when the lock does not fit the manifests",
        "update-stale": "resolve again at once what mirrors have dropped",
        "cache": "use BuildKit's cache (--no-cache: run every stage again)",
        "builder": "buildx builder to use",
        "gpu": GPU,
        "driver": DRIVER,
        "catalog": CATALOG,
    },
)
@plain_errors
def build(c: Context, variant: str = "", format: str = "docker", verify: bool = True, offline: bool = False,
          locked: bool = False, update_stale: bool = False, cache: bool = True, builder: str | None = None,
          gpu: str | None = None, driver: str | None = None,
          catalog: list[str] | None = None) -> None:  # fmt: skip
    """Build and verify an image: lock, fetch, render, build, verify, whatever of it is missing."""
    from dsvm import roads
    from dsvm.pipeline import BuildOptions

    options = BuildOptions(format, verify, locked, update_stale, no_cache=not cache, builder=builder)
    roads.build(_shop(catalog, offline=offline, gpu=gpu, driver=driver), variant, options)


@task(
    iterable=["catalog", "leave_out", "put_back"],
    help={
        "variant": VARIANT,
        "only": "resolve this ecosystem again, whatever its state: apt, pypi, ...",
        "upgrade": "resolve everything again, to the newest versions that the manifests allow",
        "leave-out": "TOOL: leave it out, recorded in the lock and shown in every report (repeatable)",
        "leave-out-unreachable": "leave out every tool that cannot be had now, and those that need it",
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
    from dsvm.pipeline import lock as make_lock

    shop = _shop(catalog, gpu=gpu, driver=driver)
    make_lock(
        shop,
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
    from dsvm.pipeline import fetch_all

    fetch_all(_shop(catalog), variant, update_stale=update_stale, jobs=number("jobs", jobs))


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
    from dsvm import roads

    roads.render(_shop(catalog, offline=offline), variant, format, old_packer=old_packer)


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
    from dsvm import roads

    roads.verify(_shop(catalog), variant, format, only=tool or ())


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
    from dsvm import cloud

    disk_path, settings_path = (Path(one) if one else None for one in (disk, settings))
    options = cloud.PublishOptions(version, disk_path, image, settings_path, dry_run)
    shop = _shop(catalog)
    cloud.publish(shop, variant, cloud.of_name(shop, variant, format), options)


# --- use an image ------------------------------------------------------------------------------------------


@task(
    iterable=["catalog", "mount"],
    help={
        "variant": VARIANT,
        "format": FORMAT,
        "mount": "DIR or DIR:/PLACE: a folder of this machine, in the container at /home/ds/work or PLACE (repeatable)",
        "timeout": "seconds to wait until it answers, 180 by default, for a machine as its accelerator needs",
        "catalog": CATALOG,
    },
)
@plain_errors
def start(c: Context, variant: str = "", format: str = "docker", mount: list[str] | None = None,
          timeout: str | None = None, catalog: list[str] | None = None) -> None:  # fmt: skip
    """Start an image with a token of its own, on loopback ports; prints the addresses."""
    from dsvm import roads

    seconds = number("timeout", timeout) if timeout is not None else None
    roads.start(_shop(catalog), variant, format, timeout=seconds, mounts=mount or ())


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
    from dsvm import roads

    roads.stop(_shop(catalog), variant, format, forget=forget)


# --- look around -------------------------------------------------------------------------------------------


@task(name="list", iterable=["catalog"], help={"catalog": CATALOG})
@plain_errors
def list_(c: Context, catalog: list[str] | None = None) -> None:
    """Variants and tools: what is in which image, what is locked and built."""
    from dsvm.overview import show_list

    show_list(_shop(catalog))


@task(iterable=["catalog"], help={"variant": VARIANT, "catalog": CATALOG})
@plain_errors
def show(c: Context, variant: str = "", catalog: list[str] | None = None) -> None:
    """Stages, tools and versions of one variant, from its lock."""
    from dsvm.overview import show_variant

    show_variant(_shop(catalog), variant)


@task(
    iterable=["catalog"],
    help={
        "explain": "VARIANT: every rule, what it looked at and what it found; fails where the gate would",
        "gpu": GPU,
        "driver": DRIVER,
        "catalog": CATALOG,
    },
)
@plain_errors
def compat(c: Context, explain: str | None = None, gpu: str | None = None, driver: str | None = None,
           catalog: list[str] | None = None) -> None:  # fmt: skip
    """What fits together: drivers, CUDA, frameworks, Python, GPUs and ends of life, with sources."""
    from dsvm.overview import show_compat, show_reasoning

    shop = _shop(catalog, gpu=gpu, driver=driver)
    if explain is None:
        show_compat(shop)
    else:
        show_reasoning(shop, explain)


@task(iterable=["catalog"], help={"variant": "also check the disk for this variant", "catalog": CATALOG})
@plain_errors
def doctor(c: Context, variant: str | None = None, catalog: list[str] | None = None) -> None:
    """Say what this machine has, what is missing or slow, and how to mend it."""
    from dsvm.overview import show_doctor

    show_doctor(_shop(catalog), variant)


@task(
    iterable=["catalog"],
    help={"everything": "empty the whole store, not only what no lock needs", "catalog": CATALOG},
)
@plain_errors
def clean(c: Context, everything: bool = False, catalog: list[str] | None = None) -> None:
    """Remove build folders, and artefacts and images that no lock needs."""
    from dsvm.cleaning import clean_up

    clean_up(_shop(catalog), everything=everything)


@task(iterable=["catalog"], help={"catalog": CATALOG})
@plain_errors
def schema(c: Context, catalog: list[str] | None = None) -> None:
    """Write the JSON Schemas of the manifests, for editors, to `schema` in manifests or in a folder of your own."""
    from dsvm.overview import write_schemas

    write_schemas(_folders(catalog))


say_what_was_meant(sys.argv, [task.name for task in globals().values() if isinstance(task, invoke.tasks.Task)])
