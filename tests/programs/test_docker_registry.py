"""Releases in a registry that others have written: Debian's, which lists no referrers."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from docker_registry import DockerRegistry, docker_registry
from release_world import World, days
from saved_images import saved
from test_seals import checked, flipped, image, sealer

from dsvm.model import RegistryError
from dsvm.release import Attachment, Candidate, Keep, make_pair, read_signing_key

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system: needs root")
PASSWORD = "hunter2-is-no-password"
HTPASSWD = "ci:$2y$05$thFBWaKr0JbFcJ0GpBM2Ducu6ArJhnLX3.MzVF04eBSNS9OcQdg.K"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path / "registry") as one:
        yield one


@pytest.fixture
def real(registry: DockerRegistry, world: World) -> World:
    """The world of unit tests, with the real registry in the place of ours."""
    world.elsewhere = registry.host
    return world


def test_a_release_and_all_that_is_done_with_it(real: World) -> None:
    made = days(real, "a", "b", "c")
    registry = real.home.registry
    assert real.names("nightly") == made[2].release.digests == real.names("latest")
    for digest in made[2].release.digests.values():
        kinds = {one.artifact_type for one in registry.referrers(digest)}
        assert kinds == {"application/vnd.cyclonedx+json", "application/vnd.dsvm.lock.v1+json"}
    assert made[1].sent < made[1].size, "the base is sent once"
    begun = time.monotonic()
    real.home.rollback("cpu", "2026-11-27")
    assert time.monotonic() - begun < 5
    assert real.names("latest") == made[1].release.digests
    real.home.promote("20261128", ["nightly"])
    assert real.home.doomed(Keep(1, 0, 0)).releases == ("20261126",)
    real.home.collect(Keep(1, 0, 0))
    assert real.home.names() == ["20261127", "20261128"]
    for channel in ("nightly", "latest"):
        registry.compare(channel)
    assert real.home.doomed(Keep(1, 0, 0)).documents == ()
    assert registry.find(made[0].release.digests["cpu"]) is None


def test_a_reader_sees_the_old_set_or_the_new_one(real: World) -> None:
    """Fifty releases and rollbacks; who goes by the index always finds all of one release."""
    sets = [one.release.digests for one in days(real, "a", "b")]
    seen: list[Mapping[str, str]] = []
    faults: list[str] = []
    done = threading.Event()

    def read() -> None:
        home = real.home
        while not done.is_set():
            try:
                release = home.release("nightly")
                assert release is not None
                for digest in release.digests.values():
                    home.registry.compare(digest)
                seen.append(release.digests)
                time.sleep(0.01)
            except Exception as error:
                faults.append(repr(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(50):
            if number % 5 == 0:
                sets.append(real.publish(real.candidate("cpu", f"new {number}")).release.digests)
            else:
                names = real.home.names()
                real.home.rollback("cpu", names[number % len(names)])
    finally:
        done.set()
        reader.join()
    assert not faults
    assert all(one in sets for one in seen) and len({tuple(one.items()) for one in seen}) > 2


def test_it_is_written_to_by_who_is_logged_in(world: World, tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD + "\n")
    auth = {"htpasswd": {"realm": "of tests", "path": str(tmp_path / "htpasswd")}}
    with docker_registry(tmp_path / "registry", auth=auth) as registry:
        world.elsewhere = registry.host
        config = Path(world.host.environ["HOME"]) / ".docker/config.json"
        config.parent.mkdir()
        for password in ("wrong", PASSWORD):
            word = base64.b64encode(f"ci:{password}".encode()).decode()
            config.write_text(json.dumps({"auths": {registry.host: {"auth": word}}}))
            if password != PASSWORD:
                with pytest.raises(RegistryError, match="it refuses the login") as caught:
                    days(world, "a")
                assert word not in str(caught.value) and "docker login" in caught.value.hint
        days(world, "a")
        assert PASSWORD not in registry.log.read_text() and not any(PASSWORD in line for line in world.said)


def test_a_registry_that_may_only_be_read_is_said(real: World, registry: DockerRegistry) -> None:
    (first,) = days(real, "a")
    registry.restart(maintenance={"readonly": {"enabled": True}})
    with pytest.raises(RegistryError, match="HTTP 405") as caught:
        days(real, "b")
    assert "may it be written to" in caught.value.hint
    assert real.names("latest") == first.release.digests


@ROOT_ONLY
def test_a_registry_whose_disk_is_full_is_said_and_nothing_moves(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    (folder / "data").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "dsvm-test", folder / "data"], check=True)
    try:
        with docker_registry(folder) as registry:
            world.elsewhere = registry.host
            (first,) = days(world, "a")
            large = saved([{"noise": os.urandom(1 << 20)} for _ in range(6)])
            world.fake.saved[large.id] = large.archive
            with pytest.raises(RegistryError, match="its disk is full") as caught:
                world.publish(Candidate("cpu", large.id, "0" * 64, "0" * 64))
            assert "Make room there" in caught.value.hint
            assert world.names("latest") == first.release.digests
            world.home.registry.compare("latest")
    finally:
        subprocess.run(["umount", "--lazy", folder / "data"], check=True)


@pytest.mark.parametrize("after", [2, 12])
def test_a_registry_that_is_killed_in_mid_push_and_comes_back(
    after: int, real: World, registry: DockerRegistry
) -> None:
    """Once for good, and once for a moment: then nobody notices."""
    (first,) = days(real, "a")
    layers = [{"noise": os.urandom(100_000)} for _ in range(20)]
    large = saved(layers)
    real.fake.saved[large.id] = large.archive
    candidate = Candidate("cpu", large.id, "1" * 64, "1" * 64, (Attachment("application/x", "x", b"x"),))

    def kill_after_uploads() -> None:
        stored = registry.folder / "data/docker/registry/v2/blobs/sha256"
        before = len(list(stored.glob("*/*")))
        while len(list(stored.glob("*/*"))) < before + after:
            time.sleep(0.002)
        registry.kill()

    killer = threading.Thread(target=kill_after_uploads)
    killer.start()
    with pytest.raises(RegistryError) as caught:
        real.publish(candidate)
    killer.join()
    assert "Run it again" in caught.value.hint
    registry.start()
    assert real.names("latest") == first.release.digests
    threading.Timer(0.05, registry.restart).start()
    done = real.publish(candidate)
    assert real.names("latest") == done.release.digests and done.release.digests["cpu"] == large.id
    real.home.registry.compare("latest")


def test_no_file_of_it_can_be_altered_unseen(real: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte of each of its files, in turn: a signed release is not good any more."""
    key = read_signing_key(make_pair(tmp_path / "cosign", "ecdsa", b"")[0], b"")
    made = image(real)
    real.publish(made.candidate, seal=sealer(key, made))
    assert checked(real, key).faults == []
    monkeypatch.setattr("dsvm.release.wire.ATTEMPTS", 1)
    # lists of what refers to what, of now and of before, only lead to it
    files = [one for one in sorted((tmp_path / "registry").rglob("blobs/**/data")) if not is_a_list(one.read_bytes())]
    assert len(files) > 10
    for file in files:
        data = file.read_bytes()
        file.write_bytes(flipped(data, len(data) // 2))
        try:
            assert checked(real, key).faults, file
        except RegistryError as error:  # what it does not understand any more it does not hand out
            assert error.status == 500, error
        file.write_bytes(data)
    assert checked(real, key).faults == []


def is_a_list(data: bytes) -> bool:
    return data.startswith(b"{") and (said := json.loads(data)).get("manifests", 0) != 0 and "artifactType" not in said
