"""AWS: a disk in S3, imported as a snapshot and registered as an AMI, copied to other regions; by `aws`.

https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-import-snapshot.html
https://docs.aws.amazon.com/cli/latest/reference/ec2/register-image.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from dsvm.cloud.providers.cli import Cli, same_image
from dsvm.model import Model, PublishError
from dsvm.plan import Release

PROGRAM = "aws"
LOGIN = "Log in: aws sso login, aws configure, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}
# A waiter of the CLI gives up after ten minutes. Importing or copying a large disk takes longer.
PATIENCE = 24

Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
AccountId = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
TagKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+=._:/@-]{1,128}$")]


class Aws(Model):
    """Where images go in AWS. The bucket, and the role that lets EC2 read it, exist already."""

    region: Region = Field(description="where the disk is imported; the bucket is there too")
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    role: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+=,.@_-]{1,64}$")] = "vmimport"
    regions: tuple[Region, ...] = Field((), description="regions that get a copy")
    share: tuple[AccountId, ...] = Field((), description="accounts that may start machines of the image")
    encrypt: bool = Field(False, description="encrypt snapshots with the account's default key")
    keep: int | None = Field(None, ge=1, description="newest images of a variant to keep; all when empty")
    deprecate_after_days: int | None = Field(None, ge=1, le=3650, description="days from the image's own date")
    tags: dict[TagKey, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _shareable(self) -> Self:
        if self.share and self.encrypt:
            raise ValueError("what the account's default key encrypts nobody else can start: 'share' or 'encrypt'")
        return self


def publish(cli: Cli, settings: Aws, release: Release) -> list[str]:
    """Publish `release`; returns REGION: AMI for every region. What is there already is left as it is."""
    cli.always = ("--output", "json")
    cli.identify("sts", "get-caller-identity", "--region", settings.region)
    account = _Account(cli, settings, release)
    with cli.all_or_nothing():
        made = account.fill()
    for region in made:
        account.retire(region)
    return [f"{region}: {image}" for region, image in made.items()]


def packer_values(settings: Aws, release: Release) -> dict[str, Any]:
    """The variables of templates/packer/amazon-ebs.pkr.hcl.j2 that these settings answer."""
    return {
        "region": settings.region,
        "copy_regions": [region for region in settings.regions if region != settings.region],
        "encrypt": settings.encrypt,
        "tags": settings.tags,
    }


class _Account:
    def __init__(self, cli: Cli, settings: Aws, release: Release) -> None:
        self.cli, self.settings, self.release = cli, settings, release
        self.tags = [{"Key": key, "Value": value} for key, value in (settings.tags | dict(release.tags)).items()]

    def fill(self) -> dict[str, str]:
        """The AMI of each region, made where it is missing."""
        home = self.settings.region
        made: dict[str, str] = {}
        first = self._existing(home) if self.release.image is None else self.release.image
        if first is None:
            first = self._register(self._import())
            made[home] = first
        images = {home: first}
        for region in dict.fromkeys(self.settings.regions):
            if region != home:
                found = self._existing(region)
                images[region] = found or self._copy(first, region)
                made |= {} if found else {region: images[region]}
        for region, image in made.items():
            self._share(region, image)
            self._deprecate(region, image)
        if not made:
            self.cli.echo(f"publish: {self.release.name} is there already")
        return images

    def _existing(self, region: str) -> str | None:
        found = self._describe(region, f"Name=name,Values={self.release.name}")
        if not found:
            return None
        (image,) = found
        where = f"{self.release.name} in {region}, {image['ImageId']},"
        same_image(self.release, where, _tags(image), "dsvm-lock")
        if image["State"] != "available":
            raise PublishError(
                f"{where} is {image['State']}",
                hint=f"When nobody makes it any more: aws ec2 deregister-image --region {region} "
                f"--image-id {image['ImageId']}",
            )
        return str(image["ImageId"])

    def _describe(self, region: str, *filters: str) -> list[Mapping[str, Any]]:
        words = ("ec2", "describe-images", "--owners", "self", "--filters", *filters, "--region", region)
        return list(self.cli.ask(*words, dry={"Images": []})["Images"])

    def _import(self) -> str:
        """The disk as a snapshot; returns its ID."""
        cli, home, bucket = self.cli, self.settings.region, self.settings.bucket
        disk = self.release.disk
        assert disk is not None  # noqa: S101 - for the type checker
        key = f"{self.release.name}{disk.suffix}"
        remove = ("s3", "rm", f"s3://{bucket}/{key}", "--only-show-errors", "--region", home)
        cli.later(f"the uploaded disk {key}", partial(cli.do, "", *remove))
        cli.do(
            f"uploading {disk}", "s3", "cp", str(disk), f"s3://{bucket}/{key}", "--only-show-errors", "--region", home
        )
        container = {"Format": disk.suffix.removeprefix(".").upper(), "UserBucket": {"S3Bucket": bucket, "S3Key": key}}
        task = cli.make(
            "importing it as a snapshot",
            *("ec2", "import-snapshot", "--region", home, "--role-name", self.settings.role),
            *("--description", self.release.name, "--disk-container", json.dumps(container)),
            *(["--encrypted"] if self.settings.encrypt else []),
            *("--tag-specifications", json.dumps([{"ResourceType": "import-snapshot-task", "Tags": self.tags}])),
            dry={"ImportTaskId": "IMPORT-TASK"},
        )["ImportTaskId"]
        cli.undo(f"import {task}", partial(self._cancel, task))
        self._wait("snapshot-imported", "--import-task-ids", task, region=home)
        return str(self._task(task).get("SnapshotId") or "SNAPSHOT")

    def _task(self, task: str) -> Mapping[str, Any]:
        words = ("ec2", "describe-import-snapshot-tasks", "--region", self.settings.region, "--import-task-ids", task)
        found = self.cli.ask(*words, dry={"ImportSnapshotTasks": [{"SnapshotTaskDetail": {"Status": "completed"}}]})
        detail: Mapping[str, Any] = found["ImportSnapshotTasks"][0]["SnapshotTaskDetail"]
        return detail

    def _cancel(self, task: str) -> None:
        """End an import that is under way; of one that has ended, delete the snapshot."""
        home, detail = self.settings.region, self._task(task)
        if detail.get("Status") == "active":
            self.cli.do("", "ec2", "cancel-import-task", "--region", home, "--import-task-id", task)
        elif snapshot := detail.get("SnapshotId"):
            self.cli.do("", "ec2", "delete-snapshot", "--region", home, "--snapshot-id", str(snapshot))

    def _wait(self, waiter: str, *words: str, region: str) -> None:
        for attempt in range(PATIENCE):
            try:
                self.cli.do(f"waiting: {waiter}", "ec2", "wait", waiter, *words, "--region", region)
                return
            except PublishError as error:
                if "Max attempts exceeded" not in error.message or attempt == PATIENCE - 1:
                    raise

    def _register(self, snapshot: str) -> str:
        cli, home = self.cli, self.settings.region
        device = {
            "DeviceName": "/dev/xvda",
            "Ebs": {"SnapshotId": snapshot, "VolumeType": "gp3", "DeleteOnTermination": True},
        }
        image = cli.make(
            f"registering {self.release.name} in {home}",
            *("ec2", "register-image", "--region", home, "--name", self.release.name),
            *("--description", self.release.summary, "--architecture", ARCHITECTURES[self.release.arch]),
            *("--virtualization-type", "hvm", "--ena-support", "--boot-mode", "uefi", "--imds-support", "v2.0"),
            *("--root-device-name", "/dev/xvda", "--block-device-mappings", json.dumps([device])),
            dry={"ImageId": "AMI"},
        )["ImageId"]
        words = ("ec2", "deregister-image", "--region", home, "--image-id", image)
        cli.undo(f"{image} in {home}", partial(cli.do, "", *words))
        self._wait("image-available", "--image-ids", image, region=home)
        self._tag(home, str(image))
        return str(image)

    def _copy(self, image: str, region: str) -> str:
        copy = self.cli.make(
            f"copying to {region}",
            *("ec2", "copy-image", "--source-image-id", image, "--source-region", self.settings.region),
            *("--region", region, "--name", self.release.name, "--description", self.release.summary),
            *(["--encrypted"] if self.settings.encrypt else []),
            dry={"ImageId": f"AMI-OF-{region}"},
        )["ImageId"]
        self.cli.undo(f"{copy} in {region}", partial(self._remove, region, str(copy)))
        self._wait("image-available", "--image-ids", copy, region=region)
        self._tag(region, str(copy))
        return str(copy)

    def _share(self, region: str, image: str) -> None:
        if accounts := self.settings.share:
            allowed = json.dumps({"Add": [{"UserId": one} for one in accounts]})
            words = ("ec2", "modify-image-attribute", "--region", region, "--image-id", image)
            self.cli.do(f"{image} is for {', '.join(accounts)} too", *words, "--launch-permission", allowed)

    def _deprecate(self, region: str, image: str) -> None:
        if end := self.release.end_after(self.settings.deprecate_after_days):
            words = ("ec2", "enable-image-deprecation", "--region", region, "--image-id", image, "--deprecate-at", end)
            self.cli.do(f"{image} is deprecated from {end[:10]}", *words)

    def _tag(self, region: str, image: str) -> None:
        things = (image, *self._snapshots(region, image))
        words = ("ec2", "create-tags", "--region", region, "--resources", *things, "--tags", json.dumps(self.tags))
        self.cli.do(f"tags of {image}", *words)

    def _snapshots(self, region: str, image: str) -> list[str]:
        words = ("ec2", "describe-images", "--region", region, "--image-ids", image)
        found = self.cli.ask(*words, dry={"Images": []})["Images"]
        disks = [disk.get("Ebs", {}) for one in found for disk in one.get("BlockDeviceMappings", [])]
        return [str(disk["SnapshotId"]) for disk in disks if "SnapshotId" in disk]

    def _remove(self, region: str, image: str) -> None:
        """Deregister an image of ours and delete its snapshots, which would stay."""
        snapshots = self._snapshots(region, image)
        self.cli.do(f"deregistering {image}", "ec2", "deregister-image", "--region", region, "--image-id", image)
        for snapshot in snapshots:
            words = ("ec2", "delete-snapshot", "--region", region, "--snapshot-id", snapshot)
            self.cli.do(f"deleting {snapshot}", *words)

    def retire(self, region: str) -> None:
        """Remove older images of this variant beyond those to keep."""
        if self.settings.keep is None:
            return
        found = self._describe(region, f"Name=tag:dsvm-variant,Values={self.release.variant}")
        for image in sorted(found, key=lambda one: str(one["CreationDate"]))[: -self.settings.keep]:
            if image.get("Name") != self.release.name:
                self._remove(region, str(image["ImageId"]))


def _tags(image: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
