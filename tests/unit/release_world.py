"""A registry, an engine, and images to release: all in this process."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from registries import Registries, Repository, registry_server
from saved_images import Saved, saved

from dsvm.host import Engine, Host, find_engine
from dsvm.model import ImageIndex, digest_of_bytes
from dsvm.release import Attachment, Candidate, Home, Published

DAY = datetime.date(2026, 11, 26)
BASE = {"etc/debian_version": b"12\n" * 4000}
REPOSITORY = "team/images"


@dataclass
class World:
    """A registry, an engine, and images to publish."""

    server: Registries
    fake: FakeEngine
    engine: Engine
    host: Host
    folder: Path
    said: list[str] = field(default_factory=list)
    # HOST:PORT of another registry in the place of `server`
    elsewhere: str = ""

    @property
    def home(self) -> Home:
        place = f"{self.elsewhere or self.server.host}/{REPOSITORY}"
        return Home.of(place, self.host, self.folder, note=self.said.append, warn=self.said.append)

    def image(self, *texts: str, how: str = "containerd") -> Saved:
        """An image with a layer for each text on top of the base."""
        made = saved([BASE, *({"text": text.encode() * 1000} for text in texts)], how=how)
        self.fake.saved[made.id] = made.archive
        return made

    def candidate(self, variant: str, *texts: str, bill: bytes = b"{}", how: str = "containerd") -> Candidate:
        made = self.image(*texts, how=how)
        lock = digest_of_bytes("".join(texts).encode())[7:]
        attachments = (
            Attachment("application/vnd.cyclonedx+json", "sbom.cdx.json", bill),
            Attachment("application/vnd.dsvm.lock.v1+json", "lock.json", lock.encode()),
        )
        return Candidate(variant, made.id, lock, lock, attachments)

    def publish(self, *candidates: Candidate, **how: Any) -> Published:
        return self.home.publish(candidates, self.engine, today=how.pop("today", DAY), **how)

    @property
    def tags(self) -> dict[str, str]:
        return {tag: digest for tag, digest in self.server[REPOSITORY].tags.items() if not tag.startswith("sha256-")}

    def state(self) -> dict[str, Any]:
        """All that anybody can see of the repository."""
        referrers = {
            digest: sorted(one.digest for one in self.home.registry.referrers(digest))
            for digest in set(self.tags.values())
        }
        return {"tags": self.tags, "referrers": referrers}

    def remembered(self) -> Repository:
        one = self.server[REPOSITORY]
        return Repository(dict(one.blobs), dict(one.manifests), dict(one.tags))

    def restore(self, before: Repository) -> None:
        """Put the repository back, and end all trouble."""
        self.server.repositories[REPOSITORY] = Repository(dict(before.blobs), dict(before.manifests), dict(before.tags))
        self.server.troubles.clear()

    def names(self, channel: str) -> dict[str, str]:
        release = self.home.release(channel)
        return release.digests if release is not None else {}


@pytest.fixture
def world(
    host: Host, engines: Callable[..., FakeEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    fake = engines()
    monkeypatch.setenv("DOCKER_HOST", fake.url)
    with registry_server() as server:
        yield World(server, fake, find_engine(), host, tmp_path / "store")


@pytest.fixture(params=[True, False], ids=["listed", "by-tag"])
def either(request: pytest.FixtureRequest, world: World) -> World:
    """For what depends on how referrers are found."""
    world.server.referrers = request.param
    return world


def days(world: World, *texts: str) -> list[Published]:
    """A release of two variants on each of some days."""
    return [
        world.publish(
            world.candidate("cpu", text),
            world.candidate("gpu", text, text),
            today=DAY + datetime.timedelta(days=number),
        )
        for number, text in enumerate(texts)
    ]


def needed(world: World) -> None:
    """Everything that any tag names is there, with what belongs to it."""
    for tag in world.tags:
        pulled = world.home.registry.compare(tag)
        if isinstance(pulled.document, ImageIndex):
            for image in pulled.document.manifests:
                assert len(world.home.registry.referrers(image.digest)) == 2, f"{tag} has lost its bills"
