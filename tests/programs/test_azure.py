"""Publishing to Azure by the real `az`, against Azurite and a Resource Manager that tests/unit/azurite.py plays."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azurite
import pytest
from azurite import GALLERY, GROUP, Cloud
from test_publish import SETTINGS, plan_for, write_vhd

from dsvm.cloud import publishing as publish
from dsvm.model import PublishError
from dsvm.plan import Release

pytestmark = pytest.mark.skipif(not azurite.installed(), reason="az and Azurite could not be installed")


@dataclass
class World:
    """A storage account and a gallery with nothing in them, settings, and a disk."""

    folder: Path
    cloud: Cloud
    said: list[str] = field(default_factory=list)
    # a step -> what is done when it is said
    at: dict[str, Callable[[], object]] = field(default_factory=dict)

    @property
    def disk(self) -> Path:
        return self.folder / "disk.vhd"

    @property
    def settings(self) -> Path:
        return self.folder / "publish.yaml"

    @property
    def blob(self) -> str:
        return f"dsvm-images/{self.release().name}.vhd"

    def publish(self, version: str = "2026.1.1") -> list[str]:
        settings = publish.read_settings(self.settings, "azure")
        return publish.publish(settings, self.release(version), logs=self.folder / "logs", echo=self._echo)

    def release(self, version: str = "2026.1.1") -> Release:
        return publish.release(plan_for("azure"), "azure", version=version, disk=self.disk)

    def without_gallery(self) -> None:
        lines = SETTINGS["azure"].splitlines(keepends=True)
        self.settings.write_text("azure:" + "".join(one for one in lines if not one.startswith("  gallery:")))

    def made(self) -> dict[str, Any]:
        """What is there beside the account and the gallery."""
        given = (GALLERY, f"{GROUP}/Microsoft.Storage/storageAccounts/{azurite.ACCOUNT}")
        return {path: one for path, one in self.cloud.resources.items() if path not in given}

    def _echo(self, line: str) -> None:
        self.said.append(line)
        for step, action in self.at.items():
            if line.startswith(f"publish: {step}"):
                action()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with azurite.running(tmp_path_factory.mktemp("azure")) as found:
        yield found


@pytest.fixture
def world(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    cloud.reset()
    for name in [name for name in os.environ if name.startswith(("AZURE_", "ARM_"))]:
        monkeypatch.delenv(name)
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{azurite.AZ.parent}:{os.environ['PATH']}")
    here = World(tmp_path, cloud)
    here.settings.write_text(f"azure:{SETTINGS['azure']}")
    write_vhd(here.disk)
    content = bytearray(here.disk.read_bytes())
    for start in (0, 512 * 700, (1 << 20) + 512):  # `az` passes over pages of zeros
        content[start : start + 4096] = random.Random(start).randbytes(4096)
    here.disk.write_bytes(content)
    return here


def test_an_image_is_published_from_the_disk_and_once(world: World) -> None:
    image, version = made = world.publish()
    name = world.release().name
    assert image == f"{GROUP}/Microsoft.Compute/images/{name}"
    assert version == f"{GALLERY}/images/tiny-machine/versions/2026.1.1"
    assert {*world.made()} == {image, version, f"{GALLERY}/images/tiny-machine"}
    assert world.cloud.disks == {image: world.disk.read_bytes()}
    assert world.cloud.containers() == ["dsvm-images"] and world.cloud.blobs() == {}, "the uploaded disk is gone"
    for one in (image, version):
        tags = world.made()[one]["tags"]
        assert tags["dsvm-lock"] == world.release().tags["dsvm-lock"] and tags["team"] == "data science"
    assert world.made()[image]["properties"]["hyperVGeneration"] == "V2"
    assert world.made()[version]["properties"]["storageProfile"]["source"] == {"id": image}
    regions = world.made()[version]["properties"]["publishingProfile"]["targetRegions"]
    assert [one["name"] for one in regions] == ["westeurope", "northeurope"]
    world.cloud.changes.clear()
    assert world.publish() == made
    assert world.said[-1] == f"publish: {name} is there already"
    assert not world.cloud.changes and world.cloud.blobs() == {}


@pytest.mark.slow
def test_a_gallery_gets_a_version_of_the_disk_itself(world: World) -> None:
    world.settings.write_text(world.settings.read_text().replace("managed_image: true", "managed_image: false"))
    (version,) = world.publish()
    assert world.cloud.disks == {version: world.disk.read_bytes()}
    assert world.cloud.blobs() == {}


@pytest.mark.slow
def test_only_the_newest_are_kept(world: World) -> None:
    for number in (1, 2, 10):
        world.publish(f"2026.1.{number}")
    kept = {path.rpartition("/")[2] for path in world.made() if "/versions/" in path}
    assert kept == {"2026.1.2", "2026.1.10"}


@pytest.mark.slow
def test_another_lock_under_the_same_version_is_refused(world: World) -> None:
    for one in world.publish():
        world.cloud.resources[one]["tags"]["dsvm-lock"] = "0" * 40
    with pytest.raises(PublishError, match=f"was made from lock {'0' * 40}"):
        world.publish()


def test_a_failure_after_the_upload_leaves_nothing(world: World) -> None:
    """In a container that is there already, over a blob that an earlier run has left, and beside one of others."""
    world.without_gallery()
    world.cloud.ask("PUT", "/dsvm-images?restype=container")
    for name in (world.blob, "dsvm-images/another.vhd"):
        world.cloud.put(name, 512)
    seen: list[bytes] = []
    world.at["managed image"] = lambda: seen.append(world.cloud.blobs()[world.blob])
    world.cloud.failing["images"] = "before"
    with pytest.raises(PublishError, match=r"(?s)managed image .*: az ended with exit code 1:.*it broke") as caught:
        world.publish()
    assert "Left behind" not in caught.value.message
    assert seen == [world.disk.read_bytes()]
    assert [*world.cloud.blobs()] == ["dsvm-images/another.vhd"] and not world.made()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("kind", ["images", "galleries/images", "galleries/images/versions"])
def test_a_failure_in_the_middle_leaves_nothing(kind: str, how: str, world: World) -> None:
    """Refused, or done without an answer: what was begun goes, and a second run succeeds."""
    world.cloud.failing[kind] = how
    with pytest.raises(PublishError, match="it broke") as caught:
        world.publish()
    assert "Left behind" not in caught.value.message
    assert not world.made() and world.cloud.blobs() == {}
    world.cloud.failing.clear()
    assert len(world.publish()) == 2


@pytest.mark.parametrize(
    ("lifetime", "audience"),
    [(-60, None), pytest.param(azurite.HOUR, azurite.FOR_MANAGER, marks=pytest.mark.slow)],
    ids=["expired", "for somebody else"],
)
def test_a_login_that_storage_refuses_uploads_nothing(world: World, lifetime: int, audience: str | None) -> None:
    world.without_gallery()
    world.cloud.lifetime, world.cloud.audience = lifetime, audience
    with pytest.raises(PublishError, match=r"(?s)^container: az ended .* 1:.*Authentication failure") as caught:
        world.publish()
    assert "Authentication failure" in Path(caught.value.hint.removeprefix("Full output: ")).read_text()
    assert world.cloud.containers() == [] and not world.made()
    assert not [one for one in world.said if "uploading" in one or "taking back" in one]


@pytest.mark.slow
def test_somebody_who_has_not_logged_in_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(world.folder / "nobody"))
    with pytest.raises(PublishError, match=r"(?s)az is not logged in: .*Please run 'az login'") as caught:
        world.publish()
    assert caught.value.hint.startswith("Log in: az login")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        (f"{GROUP}/Microsoft.Storage/storageAccounts/{azurite.ACCOUNT}", "no storage account ourimages",
         "az storage account create --name ourimages"),
        (GALLERY, "no gallery ours", "az sig create --resource-group images --gallery-name ours"),
    ],
)  # fmt: skip
def test_a_missing_account_or_gallery_says_how_to_make_it(world: World, path: str, message: str, hint: str) -> None:
    del world.cloud.resources[path]
    with pytest.raises(PublishError, match=f"there is {message}") as caught:
        world.publish()
    assert hint in caught.value.hint and not world.cloud.changes


@pytest.mark.slow
def test_what_cannot_be_removed_is_named(world: World) -> None:
    """Nobody may, for the login has ended in the meantime, or it is refused."""
    world.without_gallery()
    world.cloud.failing |= {"images": "after", "no images": "before"}
    with pytest.raises(PublishError, match=r"(?s)Left behind:\n *managed image dsvm-tiny-machine-2026-1-1: .*it broke"):
        world.publish()
    world.cloud.reset()

    def end() -> None:
        world.cloud.lifetime = -60

    world.at["removing the uploaded disk"] = end
    world.publish()
    assert "left behind, to be removed by hand:\n    the uploaded disk " in world.said[-1]
    assert [*world.cloud.blobs()] == [world.blob]


@pytest.mark.slow
def test_nothing_is_left_behind_where_nothing_arrived(world: World) -> None:
    """The container goes before the upload: `az` then finds nothing to delete, which is no failure."""
    world.without_gallery()
    world.at["uploading"] = lambda: world.cloud.ask("DELETE", "/dsvm-images?restype=container")
    with pytest.raises(PublishError, match=r"uploading .*: az ended with exit code 3") as caught:
        world.publish()
    assert "Left behind" not in caught.value.message
    world.at.clear()
    assert world.publish()


@pytest.mark.slow
def test_half_a_disk_goes_too(world: World) -> None:
    """The line breaks in the middle of the upload, however often `az` tries: it does so for a minute and a half."""
    world.without_gallery()
    world.cloud.enough = 8192
    with pytest.raises(PublishError, match=r"uploading .*: az ended with exit code") as caught:
        world.publish()
    assert "Left behind" not in caught.value.message
    assert world.cloud.blobs() == {}
