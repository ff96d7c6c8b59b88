"""Google Cloud: a compressed raw disk in a bucket, from it an image in a family; by `gcloud`.

https://cloud.google.com/sdk/gcloud/reference/compute/images/create
https://cloud.google.com/compute/docs/import/import-existing-image (the archive's form)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from dsvm.cloud.providers.cli import Cli, same_image
from dsvm.model import InputError, Model, PublishError
from dsvm.plan import Release

PROGRAM = "gcloud"
LOGIN = "Log in: gcloud auth login, or gcloud auth activate-service-account --key-file FILE"
ARCHITECTURES = {"amd64": "X86_64", "arm64": "ARM64"}
FEATURES = {"linux": "UEFI_COMPATIBLE,VIRTIO_SCSI_MULTIQUEUE,GVNIC", "windows": "UEFI_COMPATIBLE,WINDOWS,GVNIC"}

Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{0,63}$")]


class Gcp(Model):
    """Where images go in Google Cloud. Project and bucket exist already."""

    project: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")]
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$")]
    location: Annotated[str, StringConstraints(pattern=r"^[a-z]+(-[a-z]+[0-9]+)?$")] | None = Field(
        None, description="region or multi-region that keeps the image, such as us or europe-west1"
    )
    zone: Annotated[str, StringConstraints(pattern=r"^[a-z]+-[a-z]+[0-9]+-[a-z]$")] | None = Field(
        None, description="where images are built: what is published from here needs none"
    )
    family: Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")] | None = Field(
        None, description="its newest image is what users get; dsvm-VARIANT by default"
    )
    keep: int | None = Field(None, ge=1, description="newest images of the family to keep; all when empty")
    labels: dict[Label, LabelValue] = Field(default_factory=dict)


def publish(cli: Cli, settings: Gcp, release: Release) -> list[str]:
    """Publish `release`; returns image and family. What is there already is left as it is."""
    cli.always = ("--project", settings.project, "--quiet", "--format", "json")
    cli.identify("auth", "list", "--filter", "status:ACTIVE")
    family = settings.family or f"dsvm-{release.variant.replace('.', '-')}"[:63].rstrip("-")
    with cli.all_or_nothing():
        if _existing(cli, release):
            cli.echo(f"publish: {release.name} is there already")
        else:
            _create(cli, settings, release, family)
    _retire(cli, settings, release, family)
    return [f"projects/{settings.project}/global/images/{release.name}", f"family {family}"]


def packer_values(settings: Gcp, release: Release) -> dict[str, Any]:
    """The variables of templates/packer/googlecompute.pkr.hcl.j2 that these settings answer."""
    if settings.zone is None:
        raise InputError("gcp: an image is built in a zone, and the settings name none: zone: europe-west1-b")
    return {
        "project": settings.project,
        "zone": settings.zone,
        "storage_locations": [settings.location] if settings.location else [],
        "tags": settings.labels,
    }


def _existing(cli: Cli, release: Release) -> bool:
    found = cli.ask("compute", "images", "list", "--no-standard-images", "--filter", f"name={release.name}", dry=[])
    if not found:
        return False
    labels = found[0].get("labels")
    same_image(release, f"image {release.name}", labels, "dsvm-lock")
    if found[0].get("status", "READY") != "READY":
        raise PublishError(
            f"image {release.name} is {found[0]['status']}",
            hint=f"When nobody makes it any more: gcloud compute images delete {release.name}",
        )
    return True


def _create(cli: Cli, settings: Gcp, release: Release, family: str) -> None:
    url = f"gs://{settings.bucket}/{release.name}.tar.gz"
    if release.image is None:
        cli.later(f"the uploaded disk {url}", partial(_remove, cli, url))
        cli.do(f"uploading {release.disk}", "storage", "cp", str(release.disk), url)
        source = ("--source-uri", url)
    else:
        source = ("--source-image", release.image)
    labels = {label(key): label(value) for key, value in release.tags.items()} | settings.labels
    delete = ("compute", "images", "delete", release.name)
    cli.undo(f"image {release.name}", partial(_delete_if_there, cli, release, delete))
    cli.do(
        f"image {release.name} in family {family}",
        *("compute", "images", "create", release.name, *source, "--family", family),
        *("--description", release.summary, "--architecture", ARCHITECTURES[release.arch]),
        *("--guest-os-features", FEATURES[release.platform]),
        *("--labels", ",".join(f"{key}={value}" for key, value in sorted(labels.items()))),
        *(("--storage-location", settings.location) if settings.location else ()),
    )


def _remove(cli: Cli, url: str) -> None:
    try:
        cli.do("", "storage", "rm", url)
    except PublishError as error:
        # an upload that failed has left nothing
        if "matched no objects" not in error.message:
            raise


def _delete_if_there(cli: Cli, release: Release, delete: tuple[str, ...]) -> None:
    if cli.ask("compute", "images", "list", "--no-standard-images", "--filter", f"name={release.name}", dry=[]):
        cli.do("", *delete)


def label(text: str) -> str:
    """`text` as a label's key or value: https://cloud.google.com/compute/docs/labeling-resources#requirements"""
    return "".join(letter if letter.isalnum() or letter in "_-" else "-" for letter in text.lower())[:63]


def _retire(cli: Cli, settings: Gcp, release: Release, family: str) -> None:
    """Deprecate what came before in the family; delete what is beyond those to keep."""
    words = ("compute", "images", "list", "--no-standard-images", "--show-deprecated", "--filter", f"family={family}")
    found: list[Mapping[str, Any]] = cli.ask(*words, dry=[])
    older = sorted(
        (one for one in found if one["name"] != release.name),
        key=lambda one: str(one["creationTimestamp"]),
        reverse=True,
    )
    for place, image in enumerate(older, 2):
        if settings.keep is not None and place > settings.keep:
            cli.do(f"deleting {image['name']}", "compute", "images", "delete", image["name"])
        elif not image.get("deprecated"):
            cli.do(
                f"{image['name']} is deprecated",
                *(
                    "compute",
                    "images",
                    "deprecate",
                    image["name"],
                    "--state",
                    "DEPRECATED",
                    "--replacement",
                    release.name,
                ),
            )
