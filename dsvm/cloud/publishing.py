"""Publish a verified virtual-machine image to a cloud, as a user's own settings say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import Field

from dsvm.catalog import load_model
from dsvm.cloud.providers import aws, azure, gcp
from dsvm.cloud.providers.aws import Aws
from dsvm.cloud.providers.azure import Azure
from dsvm.cloud.providers.cli import Cli
from dsvm.cloud.providers.gcp import Gcp
from dsvm.host import config_path
from dsvm.model import Format, InputError, Model, Plan, PublishError
from dsvm.plan import Release, tags_of, version_of
from dsvm.vm import FAULTS


class Settings(Model):
    """publish.yaml: where images go, by format. It holds no secret: the providers' own programs are logged in."""

    azure: Azure | None = None
    ami: Aws | None = Field(None, description="AWS")
    gcp: Gcp | None = Field(None, description="Google Cloud")


class Cloud(Protocol):
    """What a module of dsvm.cloud.providers offers."""

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
    settings: Any, what: Release, *, logs: Path, echo: Callable[[str], None], dry_run: bool = False
) -> list[str]:
    """Publish a release; returns what users name to get it.

    Raises PublishError when the provider's program is missing, not logged in or fails; what was begun is taken back.
    """
    cloud = CLOUDS[what.format]
    if what.disk is not None and not dry_run:
        check_disk(what.disk, what.format)
    return cloud.publish(Cli(cloud.PROGRAM, cloud.LOGIN, logs, echo, dry_run), settings, what)


def packer_values(settings: Any, what: Release) -> dict[str, Any]:
    """The variables of a Packer template that build `what` where the settings say."""
    return {"version": what.version, **CLOUDS[what.format].packer_values(settings, what)}


def check_disk(path: Path, format: Format) -> None:
    """Raise PublishError unless `path` is a disk as the cloud of `format` wants it, InputError when there is none."""
    try:
        fault = FAULTS[format](path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if fault:
        hint = "Without --disk the right one is made from the verified machine"
        raise PublishError(f"{path} cannot be published: {fault}", hint=hint)
