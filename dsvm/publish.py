"""Publish a verified virtual-machine image to a cloud, as a user's own settings say."""

from __future__ import annotations

import gzip
import re
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import Field

from dsvm.catalog import load_model
from dsvm.clouds import Cli, aws, azure, gcp
from dsvm.clouds.aws import Aws
from dsvm.clouds.azure import Azure
from dsvm.clouds.gcp import Gcp
from dsvm.config import config_path
from dsvm.errors import InputError, PublishError
from dsvm.model import Format, Model, Plan
from dsvm.release import Release, tags_of, version_of

MIB = 1 << 20
GIB = 1 << 30


class Settings(Model):
    """publish.yaml: where images go, by format. It holds no secret: the providers' own programs are logged in."""

    azure: Azure | None = None
    ami: Aws | None = Field(None, description="AWS")
    gcp: Gcp | None = Field(None, description="Google Cloud")


class Cloud(Protocol):
    """What a module of dsvm.clouds offers."""

    PROGRAM: str
    LOGIN: str

    def publish(self, cli: Cli, settings: Any, release: Release) -> list[str]: ...

    def packer_values(self, settings: Any, release: Release) -> dict[str, Any]: ...


CLOUDS: Mapping[Format, Cloud] = {
    "azure": cast(Cloud, azure),
    "ami": cast(Cloud, aws),
    "gcp": cast(Cloud, gcp),
}


def settings_path(environ: Mapping[str, str]) -> Path:
    """publish.yaml beside the user's configuration of DSVM."""
    return config_path(environ).with_name("publish.yaml")


def read_settings(path: Path, format: Format) -> Any:
    """The settings for one format. Raises InputError with file and line of every fault, and when there are none."""
    example = "docs/cloud.md shows an example"
    if not path.is_file():
        raise InputError(f"{path}: no such file: where images are published stands there", hint=example)
    faults: list[str] = []
    found = load_model(path, Settings, faults)
    if found is None:
        raise InputError(faults)
    one = getattr(found, format)
    if one is None:
        raise InputError(f"{path}: it has no '{format}'", hint=example)
    return one


def release(
    plan: Plan, format: Format, *, version: str | None = None, disk: Path | None = None, image: str | None = None
) -> Release:
    """What `plan` is published as. Raises InputError for a version that is none."""
    if version is not None:
        numbers = version.split(".")
        good = re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version, re.ASCII)
        if not good or any(int(one) >= 1 << 31 for one in numbers):
            raise InputError(f"--version: '{version}' is not MAJOR.MINOR.PATCH, three whole numbers")
    version = version or version_of(plan.epoch)
    tags = tags_of(plan) | {"dsvm-version": version}
    return Release(
        variant=plan.variant,
        format=format,
        version=version,
        platform=plan.base.platform,
        arch=plan.base.arch,
        summary=plan.summary,
        tags=tags,
        disk=disk,
        image=image,
        epoch=plan.epoch,
    )


def publish(
    settings: Any, what: Release, *, logs: Path, say: Callable[[str], None], dry_run: bool = False
) -> list[str]:
    """Publish a release; returns what users name to get it.

    Raises PublishError when the provider's program is missing, not logged in or fails; what was begun is taken back.
    """
    cloud = CLOUDS[what.format]
    if what.disk is not None and not dry_run:
        CHECKS[what.format](what.disk)
    return cloud.publish(Cli(cloud.PROGRAM, cloud.LOGIN, logs, say, dry_run), settings, what)


def packer_values(settings: Any, what: Release) -> dict[str, Any]:
    """The variables of a Packer template that build `what` where the settings say."""
    return {"version": what.version, **CLOUDS[what.format].packer_values(settings, what)}


# --- disks as the clouds want them -------------------------------------------------------------------------


def check_vhd(path: Path) -> None:
    """Raise PublishError unless `path` is a fixed VHD of whole mebibytes, which is all that Azure takes.

    https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic
    """
    size = _size(path)
    with path.open("rb") as stream:
        stream.seek(max(0, size - 512))
        footer = stream.read(512)
    if footer[:8] != b"conectix":
        raise _unfit(path, "it is no VHD")
    (virtual, kind) = struct.unpack(">48xQ4xI", footer[:64])
    if kind != 2:
        raise _unfit(path, "it is a dynamic VHD, and Azure takes fixed ones")
    if virtual % MIB or virtual + 512 != size:
        raise _unfit(path, f"its disk of {virtual} bytes is no whole number of MiB, or is cut off")


def check_vmdk(path: Path) -> None:
    """Raise PublishError unless `path` is a stream-optimised VMDK, or a fixed VHD, by which AWS imports disks.

    https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-image-import.html
    """
    if path.suffix == ".vhd":
        check_vhd(path)
        return
    _size(path)
    with path.open("rb") as stream:
        header = stream.read(512)
        descriptor = stream.read(20 * 512)
    if header[:4] != b"KDMV":
        raise _unfit(path, "it is no VMDK")
    if b'createType="streamOptimized"' not in descriptor:
        raise _unfit(path, "it is a VMDK of another kind than streamOptimized")


def check_tar(path: Path) -> None:
    """Raise PublishError unless `path` is a gzipped tar of one disk.raw of whole gibibytes.

    https://cloud.google.com/compute/docs/import/import-existing-image
    """
    _size(path)
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            first = tar.next()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise _unfit(path, f"it is no gzipped tar: {error}") from error
    if first is None or first.name != "disk.raw":
        raise _unfit(path, "its first file is not disk.raw")
    if first.size == 0 or first.size % GIB:
        raise _unfit(path, f"its disk of {first.size} bytes is no whole number of GiB")


CHECKS: Mapping[Format, Callable[[Path], None]] = {"azure": check_vhd, "ami": check_vmdk, "gcp": check_tar}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _unfit(path: Path, why: str) -> PublishError:
    return PublishError(f"{path} cannot be published: {why}", hint="Build it anew: invoke build --format FORMAT")
