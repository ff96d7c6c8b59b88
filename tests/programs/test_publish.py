"""Publishing, against programs that check every call and keep a cloud in a file."""

from __future__ import annotations

import gzip
import io
import json
import os
import shlex
import struct
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import fake_cloud
import pytest
import tiny

from dsvm.cloud import publishing as publish
from dsvm.cloud.providers.gcp import label
from dsvm.model import Format, InputError, Plan, PublishError
from dsvm.plan import Release, make_plan, version_of

SETTINGS: dict[Format, str] = {
    "azure": """
  resource_group: images
  location: westeurope
  storage_account: ourimages
  managed_image: true
  gallery: {name: ours, regions: [northeurope], keep: 2, end_of_life_days: 365}
  tags: {team: data science}
""",
    "ami": """
  region: eu-central-1
  bucket: our-images
  regions: [eu-west-1]
  keep: 2
  share: ["210987654321"]
  deprecate_after_days: 90
  tags: {team: data science}
""",
    "gcp": """
  project: our-project
  bucket: our-images
  location: eu
  keep: 2
  labels: {team: data}
""",
}
FORMATS = sorted(SETTINGS)
# what is there before anything was published
GIVEN = {
    "azure": {"gallery ours": {"name": "ours"}, "account ourimages": {
        "id": "/subscriptions/s/account", "primaryEndpoints": {"blob": "https://ourimages.blob.core.windows.net/"}}},
    "ami": {},
    "gcp": {},
}  # fmt: skip


class World:
    """A cloud, settings for it, and a disk."""

    def __init__(self, folder: Path, format: Format) -> None:
        self.folder, self.format = folder, format
        self.state = folder / "cloud.json"
        self.state.write_text(json.dumps({"things": GIVEN[format]}))
        self.settings = folder / "publish.yaml"
        self.settings.write_text(f"{format}:{SETTINGS[format]}")
        self.disk = folder / {"azure": "disk.vhd", "ami": "disk.vmdk", "gcp": "disk.tar.gz"}[format]
        writers: dict[Format, Callable[[Path], None]] = {"azure": write_vhd, "ami": write_vmdk, "gcp": write_tar}
        writers[format](self.disk)
        self.said: list[str] = []

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.state.read_text()))

    @property
    def things(self) -> set[str]:
        return set(self.data["things"])

    def calls(self, *words: str) -> list[list[str]]:
        """The calls that have all `words`, which change nothing and answer nothing wrong so far."""
        assert not self.data.get("bad"), self.data["bad"]
        return [call for call in self.data.get("calls", []) if set(words) <= set(call)]

    def break_at(self, command: str, how: str = "it broke") -> None:
        self.state.write_text(json.dumps({**self.data, "failing": {command: how}}))

    def mend(self) -> None:
        self.state.write_text(json.dumps({**self.data, "failing": {}}))

    def publish(self, version: str = "2026.1.1", *, dry_run: bool = False, image: str | None = None) -> list[str]:
        return publish.publish(
            publish.read_settings(self.settings, self.format),
            self.release(version, image),
            logs=self.folder / "logs",
            echo=self.said.append,
            dry_run=dry_run,
        )

    def release(self, version: str = "2026.1.1", image: str | None = None) -> Release:
        disk = None if image else self.disk
        return publish.release(plan_for(self.format), self.format, version=version, disk=disk, image=image)


@cache
def plan_for(format: Format) -> Plan:
    catalog = tiny.machine_catalog()
    return make_plan(catalog, tiny.lock(catalog, "tiny-machine"), format)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Format], World]:
    def make(format: Format) -> World:
        found = World(tmp_path, format)
        fake_cloud.install(tmp_path / "bin", found.state)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        return found

    return make


def write_vhd(path: Path, *, size: int = 2 << 20, kind: int = 2, cookie: bytes = b"conectix") -> None:
    """A fixed VHD of zeros: https://www.loc.gov/preservation/digital/formats/fdd/fdd000555.shtml (hard disk footer)"""
    footer = struct.pack(">8sIIQI4sI4sQQIII16sB427x", cookie, 2, 0x10000, 2**64 - 1, 0, b"dsvm", 1, b"Wi2k",
                         size, size, 0, kind, 0, b"\0" * 16, 0)  # fmt: skip
    path.write_bytes(b"\0" * size + footer)


def write_vmdk(path: Path, kind: str = "streamOptimized") -> None:
    path.write_bytes(b"KDMV" + b"\0" * 508 + f'# Disk DescriptorFile\nversion=1\ncreateType="{kind}"\n'.encode())


def write_tar(path: Path, *, name: str = "disk.raw", size: int = 1 << 30) -> None:
    with gzip.open(path, "wb", compresslevel=1) as stream:
        member = tarfile.TarInfo(name)
        member.size = size
        stream.write(member.tobuf())
        for _ in range(min(size, 1 << 20) >> 20):  # a check need not read on
            stream.write(b"\0" * (1 << 20))


@pytest.mark.parametrize("format", FORMATS)
def test_an_image_is_published_with_what_it_was_made_from(world: Callable[[Format], World], format: Format) -> None:
    here = world(format)
    before = here.things
    made = here.publish()
    text = json.dumps(here.data["things"])
    assert made
    assert here.release().tags["dsvm-lock"] in text
    assert not here.data.get("bad")
    new = {one.split()[0] for one in here.things - before}
    kept = {
        "azure": {"container", "image", "definition", "version"},
        "ami": {"ami", "snapshot", "task"},
        "gcp": {"image"},
    }
    assert new == kept[format], "the uploaded disk is gone, all else stays"


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_there_is_not_published_again(world: Callable[[Format], World], format: Format) -> None:
    here = world(format)
    first = here.publish()
    things, calls = here.things, len(here.calls())
    assert here.publish() == first
    assert here.things == things
    assert f"publish: {here.release().name} is there already" in here.said
    changing = {"upload", "create", "cp", "import-snapshot", "register-image", "copy-image", "delete", "rm"}
    assert not [call for call in here.data["calls"][calls:] if changing & set(call)]


@pytest.mark.parametrize("format", FORMATS)
def test_another_lock_under_the_same_version_is_refused(world: Callable[[Format], World], format: Format) -> None:
    here = world(format)
    here.publish()
    things = here.things
    text = here.state.read_text().replace(here.release().tags["dsvm-lock"], "0" * 40)
    here.state.write_text(text)
    with pytest.raises(PublishError, match=f"was made from lock {'0' * 40}") as caught:
        here.publish()
    assert "--version" in caught.value.hint
    assert here.things == things


STEPS: dict[Format, tuple[str, ...]] = {
    "azure": (
        "storage container create", "storage blob upload", "image create", "sig image-definition create",
        "sig image-version create",
    ),
    "ami": (
        "s3 cp", "ec2 import-snapshot", "ec2 wait snapshot-imported", "ec2 describe-import-snapshot-tasks",
        "ec2 register-image", "ec2 wait image-available", "ec2 create-tags", "ec2 copy-image",
        "ec2 modify-image-attribute", "ec2 enable-image-deprecation",
    ),
    "gcp": ("storage cp", "compute images create"),
}  # fmt: skip
# AWS's answer has the ID of what was made: where it is lost nobody knows what to take back
NAMED_BY_THE_ANSWER = ("ec2 register-image", "ec2 copy-image", "ec2 import-snapshot")


@pytest.mark.parametrize(
    ("how", "format", "command"),
    [
        (how, format, command)
        for how in ("it broke", "after")
        for format, commands in STEPS.items()
        for command in commands
        if how != "after" or command not in NAMED_BY_THE_ANSWER
    ],
)
def test_a_failure_in_the_middle_leaves_nothing(
    world: Callable[[Format], World], format: Format, command: str, how: str
) -> None:
    """Wherever a step fails, before it did its work or after it: what was begun goes, and a second run succeeds."""
    here = world(format)
    before = here.things
    here.break_at(command, how)
    with pytest.raises(PublishError) as caught:
        here.publish()
    assert "it broke" in caught.value.message
    assert "Left behind" not in caught.value.message or command == "ec2 describe-import-snapshot-tasks"
    log = Path(caught.value.hint.removeprefix("Full output: "))
    assert "it broke" in log.read_text(), "the message names the log of the step"
    # a container without blobs, and an import that has ended, are nothing
    left = {one for one in here.things - before if one.split()[0] not in ("container", "task")}
    if command == "ec2 describe-import-snapshot-tasks":  # the only one that tells which snapshot was made
        left = {one for one in left if not one.startswith("snapshot ")}
    assert not left
    if how == "after":
        here.mend()
        assert here.publish()
        assert not here.data.get("bad")


@pytest.mark.parametrize("format", FORMATS)
def test_only_the_newest_are_kept(world: Callable[[Format], World], format: Format) -> None:
    here = world(format)
    for number in (1, 2, 10):
        here.publish(f"2026.1.{number}")
    for number, kept in {1: False, 2: True, 10: True}.items():
        name = f"dsvm-tiny-machine-2026-1-{number}"
        found = {
            "azure": f"version tiny-machine 2026.1.{number}" in here.things,
            "ami": f'"Name": "{name}"' in json.dumps(here.data["things"]),
            "gcp": f"image {name}" in here.things,
        }
        assert found[format] == kept, name
    if format == "gcp":
        assert here.data["things"]["image dsvm-tiny-machine-2026-1-2"]["deprecated"] == {"state": "DEPRECATED"}
        assert "deprecated" not in here.data["things"]["image dsvm-tiny-machine-2026-1-10"]
    if format == "ami":
        assert len([one for one in here.things if one.startswith("snapshot ")]) == 4, "those of what is kept, twice"


def test_regions_and_dates_are_as_the_settings_say(world: Callable[[Format], World]) -> None:
    here = world("azure")
    here.publish()
    (call,) = here.calls("image-version", "create")
    place = call.index("--target-regions")
    assert call[place + 1 : place + 3] == ["westeurope=1=standard_lrs", "northeurope=1=standard_lrs"]
    assert call[call.index("--end-of-life-date") + 1] == "2026-10-09T00:00:00Z", "a year after the lock's own date"
    assert "team=data science" in call


def test_other_accounts_may_start_it(world: Callable[[Format], World]) -> None:
    here = world("ami")
    here.publish()
    shared = [one["Shared"] for key, one in here.data["things"].items() if key.startswith("ami ")]
    assert shared == [["210987654321"]] * 2
    here.settings.write_text(here.settings.read_text().replace("keep: 2", "encrypt: true"))
    with pytest.raises(InputError, match="nobody else can start: 'share' or 'encrypt'"):
        here.publish("2026.1.2")


def test_a_gallery_gets_a_version_without_a_managed_image(world: Callable[[Format], World]) -> None:
    here = world("azure")
    here.settings.write_text(here.settings.read_text().replace("managed_image: true", "managed_image: false"))
    here.publish()
    (call,) = here.calls("image-version", "create")
    assert call[call.index("--os-vhd-uri") + 1].startswith("https://ourimages.blob.core.windows.net/dsvm-images/dsvm-")
    assert not here.calls("image", "create")


@pytest.mark.parametrize(
    ("format", "image"),
    [("azure", "/subscriptions/s/image/x"), ("ami", "ami-00000001"), ("gcp", "packers-image")],
)
def test_an_image_that_packer_made_goes_to_regions_without_an_upload(
    world: Callable[[Format], World], format: Format, image: str
) -> None:
    here = world(format)
    if format == "ami":
        ami = {"ImageId": image, "Name": "x", "Region": "eu-central-1", "State": "available", "CreationDate": "0"}
        here.state.write_text(json.dumps({"next": 9, "things": {f"ami eu-central-1 {image}": ami}}))
    assert here.publish(image=image)
    assert not here.calls("upload")
    assert not here.calls("cp")
    assert here.calls({"azure": "--managed-image", "ami": "copy-image", "gcp": "--source-image"}[format])


@pytest.mark.parametrize("format", FORMATS)
def test_a_dry_run_says_the_commands_and_runs_none(world: Callable[[Format], World], format: Format) -> None:
    here = world(format)
    here.publish(dry_run=True)
    assert not here.data.get("calls")
    program = {"azure": "az", "ami": "aws", "gcp": "gcloud"}[format]
    assert all(line.startswith(f"{program} ") for line in here.said)
    # words where only a real run knows the value
    known = {"IMPORT-TASK": "import-snap-1", "SNAPSHOT": "snap-1", "AMI-OF-eu-west-1": "ami-1", "AMI": "ami-1"}
    for line in here.said:
        for word, value in known.items():
            line = line.replace(word, value)
        line = line.replace("ID-OF-", "/subscriptions/s/")
        fake_cloud.parse(program, shlex.split(line)[1:])


@pytest.mark.parametrize("format", FORMATS)
def test_a_program_that_is_missing_or_logged_out_is_named(
    world: Callable[[Format], World], format: Format, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = world(format)
    who = {"azure": "account show", "ami": "sts get-caller-identity", "gcp": "auth list"}[format]
    here.break_at(who, "please log in")
    with pytest.raises(PublishError, match="is not logged in") as caught:
        here.publish()
    assert caught.value.hint.startswith("Log in: ")
    assert caught.value.exit_code == 8
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(PublishError, match="not installed, or not on PATH") as caught:
        here.publish()
    assert "Try: " in caught.value.hint


def test_what_cannot_be_taken_back_is_named(world: Callable[[Format], World]) -> None:
    here = world("azure")
    here.state.write_text(json.dumps({**here.data, "failing": {"image create": "after", "image delete": "no right"}}))
    with pytest.raises(PublishError, match="Left behind:\n    managed image dsvm-tiny-machine-2026-1-1"):
        here.publish()


def test_a_missing_gallery_or_account_says_how_to_make_it(world: Callable[[Format], World]) -> None:
    here = world("azure")
    here.state.write_text(json.dumps({"things": {}}))
    with pytest.raises(PublishError, match="there is no gallery ours") as caught:
        here.publish()
    assert "az sig create --resource-group images --gallery-name ours" in caught.value.hint
    here.state.write_text(json.dumps({"things": {"gallery ours": {}}}))
    with pytest.raises(PublishError, match="there is no storage account ourimages"):
        here.publish()


# --- settings ----------------------------------------------------------------------------------------------


def test_settings_are_strict_and_every_fault_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "publish.yaml"
    path.write_text(
        "azure:\n  resource_group: images\n  location: West Europe\n  storage_account: ours\n"
        "  client_secret: hush\n  gallery: {name: ours, keep: 0}\n"
    )
    with pytest.raises(InputError) as caught:
        publish.read_settings(path, "azure")
    text = caught.value.message
    assert f"{path}:5: unknown key 'client_secret'" in text, "a secret has no place in it"
    assert f"{path}:3: azure.location" in text
    assert f"{path}:6: azure.gallery.keep" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ami: {region: eu-central-1, bucket: our-images}\n", "it has no 'azure'"),
        ("azure: {resource_group: a, location: b1b, storage_account: abc}\n", "nothing would come out"),
    ],
)
def test_settings_that_lead_nowhere(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "publish.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        publish.read_settings(path, "azure")


def test_no_settings(tmp_path: Path) -> None:
    path = publish.settings_path({"XDG_CONFIG_HOME": str(tmp_path)})
    assert path == tmp_path / "dsvm" / "publish.yaml"
    with pytest.raises(InputError, match="no such file"):
        publish.read_settings(path, "gcp")


# --- names, versions, disks --------------------------------------------------------------------------------


def test_versions_come_from_the_lock_and_grow_with_time() -> None:
    assert version_of(1795329005) == "2026.1122.63005"
    days = [version_of(epoch) for epoch in (1767225599, 1767225600, 1770000000, 1795329005)]
    numbers = [tuple(map(int, version.split("."))) for version in days]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    "version", ["1.2", "1.2.3.4", "01.2.3", "1.2.x", "1.2.2147483648", "1.2.３", " 1.2.3", "1.2.-3"]
)
def test_versions_that_are_none(version: str) -> None:
    with pytest.raises(InputError, match=r"MAJOR\.MINOR\.PATCH"):
        publish.release(plan_for("azure"), "azure", version=version)


def test_names_fit_all_clouds(tmp_path: Path) -> None:
    release = World(tmp_path, "gcp").release("2147483647.2147483647.2147483647")
    long = replace(release, variant="a" + "-long.name" * 10)
    assert len(long.name) <= 63 + 11  # versions as long as that come from no lock
    assert len(replace(long, version="9999.1231.235959").name) <= 63
    assert "." not in long.name


def test_labels_of_google() -> None:
    assert label("ubuntu-24.04") == "ubuntu-24-04"
    assert len(label("x" * 100)) == 63


def test_disks_are_looked_at_before_anything_is_uploaded(world: Callable[[Format], World]) -> None:
    here = world("azure")
    write_vhd(here.disk, size=(2 << 20) + 512)
    with pytest.raises(PublishError, match="no whole number of MiB"):
        here.publish()
    assert not here.data.get("calls")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": 3}, "dynamic VHD"),
        ({"cookie": b"conectiX"}, "it is no VHD"),
        ({"size": 1 << 20 | 512}, "no whole number of MiB"),
    ],
)
def test_vhds_that_azure_would_not_take(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_vhd(tmp_path / "disk.vhd", **change)
    with pytest.raises(PublishError, match=message):
        publish.check_disk(tmp_path / "disk.vhd", "azure")


def test_a_disk_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhd"
    write_vhd(path)
    publish.check_disk(path, "azure")
    path.write_bytes(path.read_bytes()[1 << 20 :])
    with pytest.raises(PublishError, match="cut off"):
        publish.check_disk(path, "azure")
    path.write_bytes(b"")
    with pytest.raises(PublishError, match="it is no VHD"):
        publish.check_disk(path, "azure")
    with pytest.raises(InputError, match="No such file"):
        publish.check_disk(tmp_path / "nothing.vhd", "azure")


def test_disks_for_aws_and_google(tmp_path: Path) -> None:
    path = tmp_path / "disk.vmdk"
    write_vmdk(path, "monolithicSparse")
    with pytest.raises(PublishError, match="another kind than streamOptimized"):
        publish.check_disk(path, "ami")
    path.write_bytes(b"QFI\xfb")
    with pytest.raises(PublishError, match="it is no VMDK"):
        publish.check_disk(path, "ami")
    path = tmp_path / "disk.tar.gz"
    write_tar(path, name="disk.img")
    with pytest.raises(PublishError, match=r"not disk\.raw"):
        publish.check_disk(path, "gcp")
    write_tar(path, size=(1 << 30) + 512)
    with pytest.raises(PublishError, match="whole number of GiB"):
        publish.check_disk(path, "gcp")
    path.write_bytes(b"\0" * 1024)
    with pytest.raises(PublishError, match="no gzipped tar"):
        publish.check_disk(path, "gcp")
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("disk.raw"), io.BytesIO(b""))
    with pytest.raises(PublishError, match="whole number of GiB"):
        publish.check_disk(path, "gcp")


def test_the_fake_programs_refuse_what_the_real_ones_refuse(world: Callable[[Format], World]) -> None:
    here = world("azure")

    def call(*words: str) -> int:
        return subprocess.run([here.folder / "bin" / words[0], *words[1:]], capture_output=True, check=False).returncode

    assert call("az", "image", "show", "--resource-group", "a", "--name", "b") == 3
    assert call("az", "image", "show", "--resource-group", "a") == 2
    assert call("az", "image", "show", "--resource-group", "a", "--name", "b", "--bogus", "c") == 2
    assert call("az", "image", "shew", "--resource-group", "a", "--name", "b") == 2
    assert call("aws", "ec2", "copy-image", "--region", "eu-west-1") == 2
