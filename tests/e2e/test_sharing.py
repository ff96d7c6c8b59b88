"""Variants that share: what one does not need otherwise stays as another one has it, and so do its layers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import test_pypi
import yaml
from workbench import Catalog, Invoke, forget, image, small_catalog

PARENT, CHILD, BESIDE = "e2e-parent", "e2e-child", "e2e-beside"
PACKAGES = ("sa", "sb", "sc")


def _layers(variant: str) -> list[str]:
    found = image(f"dsvm/{variant}:latest")
    assert found is not None
    return [str(one) for one in found["RootFS"]["Layers"]]


def _tool(name: str) -> dict[str, Any]:
    return {
        "tool": name, "summary": "s", "homepage": "https://example.invalid", "license": "MIT", "group": "g",
        "env": "shared", "sources": [{"pypi": [name], "index": "shared"}],
        "checks": [
            {"version": f'/opt/envs/shared/bin/python -c "import {name}; print({name}.__version__)"'},
            {"run": f'/opt/envs/shared/bin/python -c "import {name}; print(6 * 7)"', "expect": "^42$"},
        ],
    }  # fmt: skip


class World:
    """A catalog of variants whose Python packages come from an index in a folder."""

    def __init__(self, folder: Path, invoke: Invoke) -> None:
        self.catalog, self.invoke, self.index = small_catalog(folder / "catalog", PARENT), invoke, folder / "index"
        self.wheels: dict[str, bytes] = {}
        url = (self.index / "simple").as_uri()
        self.write("indexes/shared.yaml", {"index": "shared", "url": url, "packages": list(PACKAGES)})
        for name in PACKAGES:
            self.write(f"tools/{name}.yaml", _tool(name))
            self.publish(name, "1.0")
        tools = ["sa", "sb", "tini"]
        self.write(
            f"variants/{PARENT}.yaml", {"variant": PARENT, "base": "debian-12", "accelerator": "cpu", "tools": tools}
        )
        self.write(f"variants/{CHILD}.yaml", {"variant": CHILD, "extends": PARENT, "tools": ["sc"]})
        beside = {"variant": BESIDE, "base": "debian-12", "accelerator": "cpu", "tools": ["sa", "sc", "tini"]}
        self.write(f"variants/{BESIDE}.yaml", beside)

    def write(self, name: str, data: object) -> None:
        path = self.catalog.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(data))

    def publish(self, name: str, version: str) -> None:
        file, data = test_pypi.wheel(name, version, files={f"{name}.py": f"__version__ = '{version}'\n"})
        self.wheels[file] = data
        shutil.rmtree(self.index, ignore_errors=True)
        test_pypi.index(self.index, *self.wheels.items())

    def of(self, variant: str) -> Catalog:
        return Catalog(self.catalog.folder, variant)

    def locked(self, variant: str) -> dict[str, str]:
        pins = (pin for section in self.of(variant).read()["sections"] for pin in section["pins"])
        return {pin["name"]: pin["version"] for pin in pins if pin["name"] in PACKAGES}

    def others(self, variant: str) -> list[Any]:
        """All that is locked but the environment of these packages, as it stands in the lock."""
        return [one for one in self.of(variant).read()["sections"] if one["id"] != "env-shared"]


@pytest.fixture(scope="module")
def world(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("sharing"), invoke)
    try:
        invoke("build", *world.catalog.words).passed()
        for name in PACKAGES:
            world.publish(name, "2.0")
        yield world
    finally:
        for variant in (PARENT, CHILD, BESIDE):
            forget(variant)


def test_a_variant_that_extends_another_moves_nothing_of_it_and_shares_its_layers(world: World) -> None:
    done = world.invoke("build", *world.of(CHILD).words)
    done.passed()
    assert f"lock: {CHILD} starts from the lock of {PARENT}" in done.out
    assert world.locked(CHILD) == {"sa": "1.0", "sb": "1.0", "sc": "2.0"}
    assert world.others(CHILD) == world.others(PARENT)
    own, shared = _layers(CHILD), set(_layers(PARENT))
    assert len([one for one in own if one not in shared]) <= 2, "the environment, and what the image says of itself"


def test_a_variant_beside_another_starts_from_its_lock(world: World) -> None:
    world.invoke("lock", *world.of(BESIDE).words).passed()
    assert world.locked(BESIDE) == {"sa": "1.0", "sc": "2.0"}
    assert world.others(BESIDE) == world.others(PARENT)


def test_a_manifest_that_asks_for_more_moves_no_more(world: World) -> None:
    beside = world.of(BESIDE)
    variant = beside.folder / f"variants/{BESIDE}.yaml"
    before = variant.read_text()
    variant.write_text(json.dumps(yaml.safe_load(before) | {"tools": ["sa", "sb", "sc", "tini"]}))
    done = world.invoke("lock", *beside.words)
    done.passed()
    assert world.locked(BESIDE) == {"sa": "1.0", "sb": "2.0", "sc": "2.0"}, "its own lock, which has no sb, counts"
    variant.write_text(before)
    world.invoke("lock", "--upgrade", *beside.words).passed()
    assert world.locked(BESIDE) == {"sa": "2.0", "sc": "2.0"}
