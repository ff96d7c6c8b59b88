"""Two engines that share nothing but a registry on loopback: what one has built, the other takes from there."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from docker_registry import DockerRegistry, docker_registry
from workbench import (
    ROOT,
    ROOT_ONLY,
    Catalog,
    Done,
    Invoke,
    Private,
    docker,
    forget,
    image,
    private_engine,
    short_folder,
    small_variant,
)

from dsvm.release import Registry

pytestmark = ROOT_ONLY
SHARED = "e2e-shared"
NAME = f"dsvm/{SHARED}:unverified"


@dataclass(frozen=True)
class World:
    catalog: Catalog
    registry: DockerRegistry
    other: Private
    invoke: Invoke

    @property
    def cache(self) -> str:
        return f"{self.registry.host}/team/cache"

    def build(self, *words: str, env: Mapping[str, str | None] | None = None) -> Done:
        return self.invoke("build", *self.catalog.words, "--no-verify", *words, env=env)


@pytest.fixture(scope="module")
def world(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("shared")
    catalog = small_variant(folder / "catalog", SHARED)
    with (
        docker_registry(folder / "registry") as registry,
        short_folder() as place,
        private_engine(place, cut_off=False) as other,
    ):
        world = World(catalog, registry, other, invoke)
        try:
            world.build("--update-stale", "--no-cache", "--cache-to", world.cache).passed()
            yield world
        finally:
            forget(SHARED)


def ran() -> list[str]:
    """The stages of which a step ran in the last build: all others came from a cache."""
    log = (ROOT / "build" / SHARED / "build.log").read_text()
    found = re.findall(r"^\[([\w-]+)\] \[[\w-]+ \d+/\d+\] RUN .*: [\d.]+ s$", log, re.MULTILINE)
    return sorted(set(found))


def manifest(world: World, tag: str) -> dict[str, Any]:
    return dict(json.loads(Registry.of(world.cache).pull(tag).data))


def test_the_first_build_runs_its_stages_and_writes_them_as_the_image_has_them(world: World) -> None:
    assert {"system", "runtime-python"} <= set(ran())
    kinds = {one["mediaType"].rpartition(".")[2] for one in manifest(world, f"cache-{SHARED}")["layers"]}
    assert kinds <= {"tar+zstd", "tar"}, "what is compressed anew is made twice"


def test_another_engine_runs_no_stage(world: World) -> None:
    there = image(NAME)
    world.build("--cache-from", world.cache, env=world.other.env).passed()
    assert ran() == []
    here = image(NAME, env=world.other.env)
    assert there is not None and here is not None and here["Id"] == there["Id"]


def test_a_package_that_moved_costs_its_own_stage_there(world: World) -> None:
    hold = {
        "section": "env-base", "package": "idna", "version": "3.10", "reason": "a test of ours moves it",
        "owner": "tests", "expires": datetime.date.today() + datetime.timedelta(days=9),
    }  # fmt: skip
    holds = world.catalog.lock.with_name(f"{SHARED}.holds.yaml")
    before = world.catalog.lock.read_bytes()
    holds.write_text(yaml.safe_dump({"holds": [hold]}))
    try:
        world.invoke("lock", *world.catalog.words, "--only", "pypi").passed()
        world.build("--cache-from", world.cache, env=world.other.env).passed()
        (part,) = {one for one in ran() if one.startswith("env-")}
        assert ran() == [part]
    finally:
        holds.unlink()
        world.catalog.lock.write_bytes(before)


# --- bake -----------------------------------------------------------------------------------------------------


def test_bake_builds_the_same_image(world: World) -> None:
    there = image(NAME)
    file = world.catalog.folder / "docker-bake.json"
    said = world.invoke("bake", *world.catalog.words, "--output", str(file), "--cache-from", world.cache).passed().out
    assert f"docker buildx bake --builder BUILDER --file {file}" in said
    assert f"invoke verify --variant {SHARED}" in said
    printed = json.loads(docker("buildx", "bake", "--file", file, "--print"))
    assert printed["group"]["default"]["targets"] == [SHARED]
    docker("image", "rm", "--force", NAME)
    docker("buildx", "bake", "--file", file)
    here = image(NAME)
    assert there is not None and here is not None and here["Id"] == there["Id"]


def test_bake_on_another_engine_pushes_the_same_layers(world: World) -> None:
    file = world.catalog.folder / "docker-bake.json"
    place = f"{world.registry.host}/team/baked"
    words = ("--registry", place, "--cache-from", world.cache)
    said = world.invoke("bake", *world.catalog.words, "--output", str(file), *words).passed().out
    tag = f"{SHARED}-unverified"
    assert f"docker pull {place}:{tag} && docker tag {place}:{tag} {NAME} && invoke verify" in said
    docker("buildx", "bake", "--file", file, env=world.other.env)
    known = image(NAME)
    assert known is not None and Registry.of(place).digest_of(tag) == known["Id"]


# --- push -----------------------------------------------------------------------------------------------------


def test_what_is_verified_is_pushed_under_its_tag(world: World) -> None:
    place = f"{world.registry.host}/team/pushed:mine"
    done = world.invoke("build", *world.catalog.words, "--push", place).passed()
    known = image(f"dsvm/{SHARED}:latest")
    assert known is not None and Registry.of(place).digest_of("mine") == known["Id"]
    assert f"pushed {SHARED}: {place}@{known['Id']}" in done.text
    again = world.invoke("build", *world.catalog.words, "--push", place).passed()
    assert " 0 MB of " in again.text or "0 MB of" in again.text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--push", "PLACE/x", "--no-verify"), 2, "--push is for what was verified"),
        (("--push", "PLACE/x", "--offline"), 2, "--offline asks no registry"),
        (("--push", "PLACE/x", "--format", "qcow2"), 2, "qcow2 goes to no registry"),
        (("--push", "nowhere"), 2, "--push: 'nowhere' names nothing in a registry"),
        (("--push", f"PLACE/x@sha256:{'0' * 64}"), 2, "an image's digest is what comes of it"),
        (("--push", "127.0.0.1:1/x"), 8, "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_pushed_is_said_before_anything_is_built(
    words: tuple[str, ...], code: int, said: str, world: World
) -> None:
    named = [word.replace("PLACE", world.registry.host) for word in words]
    done = world.invoke("build", *world.catalog.words, *named)
    assert done.code == code and said in done.err and "Building" not in done.text
