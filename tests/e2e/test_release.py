"""The small image, really built and verified, goes to Debian's registry and back, by commands as people type them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from docker_registry import DockerRegistry, docker_registry
from workbench import ROOT, SMALL, Catalog, Done, Invoke, docker, image

from dsvm.host import Host
from dsvm.release import Registry

NAME, KEPT = f"dsvm/{SMALL}:latest", "dsvm-e2e/before-release:latest"
REPORT = ROOT / "build" / SMALL / "report.json"
PASSWORD = {"COSIGN_PASSWORD": "hunter2-is-no-password"}


@dataclass
class World:
    """A user's catalog, a key, and a registry."""

    invoke: Invoke
    catalog: Catalog
    registry: DockerRegistry
    key: Path

    @property
    def place(self) -> str:
        return f"{self.registry.host}/team/images"

    def release(self, *words: str) -> Done:
        signed = ("--registry", self.place, "--key", f"{self.key}.key", "--offline")
        return self.invoke("release", *self.catalog.words, *signed, *words, env=PASSWORD)

    def verify(self, what: str = "latest") -> Done:
        return self.invoke("verify-release", f"{self.place}:{what}", "--key", f"{self.key}.pub")

    def index(self, done: Done) -> str:
        """The digest of the index of what was released."""
        return done.out.partition(f"index: {self.place}@")[2].split()[0]


@pytest.fixture(scope="module")
def world(small: Catalog, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The small image of the other files is there afterwards as before."""
    folder = tmp_path_factory.mktemp("release")
    shutil.copytree(small.folder, folder / "catalog")
    # what is known of a small catalog's own end is none of these tests
    policy = {"levels": {"end-of-life": "note", "vulnerability": "note", "license": "note", "unknown": "note"}}
    (folder / "catalog/policy.yaml").write_text(yaml.safe_dump(policy))
    report = REPORT.read_bytes()
    docker("tag", NAME, KEPT)
    invoke("keygen", "--output", str(folder / "cosign"), env=PASSWORD).passed()
    try:
        with docker_registry(folder / "registry") as registry:
            yield World(invoke, Catalog(folder / "catalog"), registry, folder / "cosign")
    finally:
        docker("tag", KEPT, NAME)
        docker("image", "rm", KEPT)
        REPORT.write_bytes(report)


@pytest.fixture(scope="module")
def first(world: World) -> Done:
    return world.release().passed()


@pytest.fixture(scope="module")
def second(world: World, first: Done) -> Done:
    """Another image of the same files: its labels say another summary."""
    path = world.catalog.folder / f"variants/{SMALL}.yaml"
    path.write_text(path.read_text().replace("built in seconds", "released in seconds"))
    world.invoke("build", *world.catalog.words).passed()
    return world.release().passed()


def test_a_release_is_what_the_engine_has(world: World, first: Done) -> None:
    done = world.verify().passed()
    assert "all of it is as it was published and signed" in done.out
    (row,) = (line for line in done.out.splitlines() if line.startswith(SMALL))
    assert " - " not in row, "bill and provenance are there, and were read"
    name = f"{world.place}:{SMALL}-latest"
    docker("pull", "--quiet", name)
    try:
        pulled, built = image(name), image(NAME)
        assert pulled is not None and built is not None
        assert pulled["RootFS"] == built["RootFS"] and pulled["Config"]["Labels"] == built["Config"]["Labels"]
    finally:
        docker("image", "rm", name)


def test_every_layer_is_compressed(world: World, first: Done) -> None:
    """That of the base too, which lies in the store as a plain tar."""
    digest = first.out.partition(f"{world.place}@")[2].split()[0]
    found = Registry.of(f"{world.place}@{digest}", Host(environ={}, etc=world.key.parent)).image(digest)[1]
    assert {one.media_type.rpartition("+")[2] for one in found.layers} == {"zstd"}
    built = [layer["size"] for layer in json.loads((REPORT.parent / "build.json").read_text())["layers"]]
    assert found.layers[0].size < built[0] / 2


def test_the_same_image_is_no_second_release(world: World, first: Done) -> None:
    again = world.release().passed()
    assert world.index(again) == world.index(first)
    assert "sent 0.0 MB" in again.out or "sent 0 " in again.out, again.out


def test_a_channel_goes_on_and_back(world: World, first: Done, second: Done) -> None:
    old, new = world.index(first), world.index(second)
    assert old != new
    size = world.invoke("pull-size", f"{world.place}@{old}", f"{world.place}@{new}", "--format", "json").passed()
    found = json.loads(size.out)
    assert found["layers"] <= 1 and found["bytes"] < found["all_bytes"] / 100, found
    back = world.invoke("rollback", "--variant", SMALL, "--registry", world.place).passed()
    assert "latest: " in back.out and back.seconds < 20
    assert old in world.verify().passed().out
    name = second.out.partition("Release ")[2].split()[0]
    words = ("--registry", world.place, "--to", name, "--key", f"{world.key}.key")
    world.invoke("promote", *words, env=PASSWORD).passed()
    assert new in world.verify().passed().out


def test_what_is_altered_in_the_registrys_own_storage_is_found(world: World, second: Done) -> None:
    (found,) = json.loads(docker("image", "inspect", NAME))
    blobs = [path for path in (world.registry.folder / "data").rglob("data") if path.stat().st_size > 1_000_000]
    assert blobs, found["Id"]
    path = max(blobs, key=lambda path: path.stat().st_size)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    try:
        world.verify().refused(9, "it hands out something else")
    finally:
        path.write_bytes(data)
    world.verify().passed()


def test_what_no_channel_names_may_go(world: World, first: Done, second: Done) -> None:
    words = ("gc", "--registry", world.place, "--daily", "1", "--weekly", "1", "--monthly", "1")
    said = world.invoke(*words).passed()
    assert "nothing was deleted" in said.out
    world.invoke("verify-release", f"{world.place}@{world.index(first)}").passed()
    world.invoke(*words, "--delete").passed()
    gone = world.invoke("verify-release", f"{world.place}@{world.index(first)}")
    assert gone.code == 9 and "Traceback" not in gone.text
    world.verify().passed()


def spoil_lock(world: World) -> None:
    path = world.catalog.folder / f"variants/{SMALL}.yaml"
    path.write_text(path.read_text().replace("released in seconds", "never built"))


def spoil_report(world: World) -> None:
    REPORT.write_text(REPORT.read_text().replace('"passed"', '"failed"', 1))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(spoil_report, "no report of a verification without failures"), (spoil_lock, "was built from another lock")],
)
def test_what_is_not_verified_is_not_released(
    spoil: Callable[[World], None], said: str, world: World, second: Done
) -> None:
    before = {path: path.read_bytes() for path in (REPORT, world.catalog.folder / f"variants/{SMALL}.yaml")}
    spoil(world)
    try:
        world.release().refused(2, said)
    finally:
        for path, data in before.items():
            path.write_bytes(data)
