"""Publishing to AWS by the real `aws`, against moto's server; tests/programs/aws/moto_server.py says what is moto's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from newcomer import ROOT
from test_publish import SETTINGS, plan_for, write_vmdk

from dsvm.cloud import publishing as publish
from dsvm.model import PublishError
from dsvm.plan import Release

PLACE = ROOT / ".venv" / "aws"
HOME, OTHER = "eu-central-1", "eu-west-1"
pytestmark = pytest.mark.skipif(not (PLACE / "bin/aws").exists(), reason="aws and moto could not be installed")


@dataclass
class World:
    """An account with a bucket, settings, and a disk."""

    folder: Path
    failing: Path
    said: list[str] = field(default_factory=list)

    def aws(self, *words: str) -> Any:
        done = subprocess.run(["aws", *words, "--output", "json"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def publish(self, version: str = "2026.1.1") -> list[str]:
        settings = publish.read_settings(self.folder / "publish.yaml", "ami")
        return publish.publish(settings, self.release(version), logs=self.folder / "logs", echo=self.said.append)

    def release(self, version: str = "2026.1.1") -> Release:
        return publish.release(plan_for("ami"), "ami", version=version, disk=self.folder / "disk.vmdk")

    def fail(self, **actions: str) -> None:
        self.failing.write_text(json.dumps(actions))

    def images(self, region: str) -> dict[str, dict[str, Any]]:
        found = self.aws("ec2", "describe-images", "--owners", "self", "--region", region)["Images"]
        return {one["Name"]: one for one in found}

    def snapshots(self, region: str) -> set[str]:
        words = ("ec2", "describe-snapshots", "--owner-ids", "self", "--region", region)
        return {one["SnapshotId"] for one in self.aws(*words)["Snapshots"]}

    def objects(self) -> list[str]:
        found = self.aws("s3api", "list-objects-v2", "--bucket", "our-images", "--region", HOME) or {}
        return [one["Key"] for one in found.get("Contents", [])]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """moto's server, and the file that says what fails."""
    failing = tmp_path_factory.mktemp("aws") / "failing.json"
    failing.write_text("{}")
    program = [str(PLACE / "bin/python"), "-P", str(Path(__file__).with_name("aws") / "moto_server.py"), str(failing)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            port = process.stdout.readline().strip()
            assert port, process.stderr.read()
            yield f"http://127.0.0.1:{port}", failing
        finally:
            process.kill()


@pytest.fixture
def world(server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    url, failing = server
    failing.write_text("{}")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "NO_PROXY": "127.0.0.1",
        "PATH": f"{PLACE / 'bin'}:{os.environ['PATH']}",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    subprocess.run(["curl", "--silent", "--fail", "--request", "POST", f"{url}/moto-api/reset"], check=True)
    here = World(tmp_path, failing)
    here.aws("s3api", "create-bucket", "--bucket", "our-images", "--region", HOME,
             "--create-bucket-configuration", f"LocationConstraint={HOME}")  # fmt: skip
    write_vmdk(tmp_path / "disk.vmdk")
    (tmp_path / "publish.yaml").write_text(f"ami:{SETTINGS['ami']}")
    return here


def test_an_image_is_published_to_both_regions_and_once(world: World) -> None:
    made = world.publish()
    name = world.release().name
    for region, one in zip((HOME, OTHER), made, strict=True):
        (image,) = world.images(region).values()
        assert (image["Name"], f"{region}: {image['ImageId']}") == (name, one)
        tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
        assert tags["dsvm-lock"] == world.release().tags["dsvm-lock"] and tags["team"] == "data science"
        words = ("--attribute", "launchPermission", "--image-id", image["ImageId"], "--region", region)
        assert world.aws("ec2", "describe-image-attribute", *words)["LaunchPermissions"] == [{"UserId": "210987654321"}]
        (device,) = image["BlockDeviceMappings"]
        assert world.snapshots(region) == {device["Ebs"]["SnapshotId"]}
    assert world.images(HOME)[name]["Architecture"] == "x86_64"
    assert world.objects() == [], "the uploaded disk is gone"
    world.fail(PutObject="before", RegisterImage="before", CopyImage="before", CreateTags="before")
    assert world.publish() == made
    assert world.said[-1] == f"publish: {name} is there already"


@pytest.mark.slow
def test_only_the_newest_are_kept(world: World) -> None:
    for number in (1, 2, 10):
        world.publish(f"2026.1.{number}")
    for region in (HOME, OTHER):
        assert {*world.images(region)} == {"dsvm-tiny-machine-2026-1-2", "dsvm-tiny-machine-2026-1-10"}
        assert len(world.snapshots(region)) == 2, "those of what is kept"


@pytest.mark.slow
def test_another_lock_under_the_same_version_is_refused(world: World) -> None:
    first = world.publish()
    image = first[0].removeprefix(f"{HOME}: ")
    tag = ("--tags", f"Key=dsvm-lock,Value={'0' * 40}")
    world.aws("ec2", "create-tags", "--region", HOME, "--resources", image, *tag)
    with pytest.raises(PublishError, match=f"was made from lock {'0' * 40}"):
        world.publish()


# Action of AWS's -> when it fails there, and what of it is left. The answer to RegisterImage, CopyImage and
# ImportSnapshot has the ID of what was made: where it is lost nobody knows what to take back.
FAILURES = {
    "PutObject": ("before", "after"),
    "ImportSnapshot": ("before", "error", "deleted"),
    "DescribeImportSnapshotTasks": ("before",),
    "RegisterImage": ("before",),
    "CreateTags": ("before", "after"),
    "CopyImage": ("before",),
    "ModifyImageAttribute": ("before", "after"),
    "EnableImageDeprecation": ("before", "after"),
}


ORDINARY = ("ImportSnapshot", "error")  # a publication in which each call starts a program takes half a minute


@pytest.mark.parametrize(
    ("action", "how"),
    [
        pytest.param(action, how, marks=() if (action, how) == ORDINARY else pytest.mark.slow)
        for action, hows in FAILURES.items()
        for how in hows
    ],
)
def test_a_failure_in_the_middle_leaves_nothing(action: str, how: str, world: World) -> None:
    """Refused, or done without an answer: what was begun goes, and a second run succeeds."""
    world.fail(**{action: how})
    with pytest.raises(PublishError) as caught:
        world.publish()
    log = Path(caught.value.hint.removeprefix("Full output: "))
    assert ("it broke" if how in ("before", "after") else "terminal failure state") in log.read_text()
    world.fail()
    assert world.objects() == [] and not world.images(HOME) and not world.images(OTHER)
    assert not world.snapshots(OTHER) and not world.snapshots(HOME)
    assert "Left behind" not in caught.value.message or action == "DescribeImportSnapshotTasks"
    assert len(world.publish()) == 2
