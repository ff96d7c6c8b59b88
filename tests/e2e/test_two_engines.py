"""Two engines that share nothing but a registry on loopback: what one has built, the other takes from there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from docker_registry import DockerRegistry, docker_registry
from workbench import (
    ROOT,
    ROOT_ONLY,
    Catalog,
    Done,
    Invoke,
    Private,
    docker,
    image,
    private_engine,
    short_folder,
    small_catalog,
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
    catalog = small_catalog(folder / "catalog", SHARED)
    text = (catalog.folder / "variants/e2e-small.yaml").read_text()
    (catalog.folder / f"variants/{SHARED}.yaml").write_text(text.replace("e2e-small", SHARED))
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
            names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"dsvm/{SHARED}").split()
            if names:
                docker("image", "rm", "--force", *names)
            shutil.rmtree(ROOT / "build" / SHARED, ignore_errors=True)


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
