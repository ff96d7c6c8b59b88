"""A builder on another machine: BuildKit of an engine that shares nothing with ours, by buildx's driver `remote`."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest
from engine_as_builder import serving
from workbench import (
    ROOT,
    ROOT_ONLY,
    Catalog,
    Invoke,
    Private,
    docker,
    forget,
    image,
    private_engine,
    short_folder,
    small_variant,
)

pytestmark = ROOT_ONLY
VARIANT = "e2e-remote"
NAME = f"dsvm/{VARIANT}:unverified"


@contextlib.contextmanager
def builder(name: str, address: str) -> Iterator[str]:
    """A builder that buildx knows."""
    docker("buildx", "create", "--name", name, "--driver", "remote", address)
    try:
        yield name
    finally:
        docker("buildx", "rm", "--force", name)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    try:
        yield small_variant(tmp_path_factory.mktemp("remote") / "catalog", VARIANT)
    finally:
        forget(VARIANT)


@pytest.fixture(scope="module")
def other() -> Iterator[Private]:
    with short_folder() as place, private_engine(place, cut_off=False) as found:
        yield found


def test_what_another_machine_builds_is_verified_and_named_here(
    catalog: Catalog, other: Private, invoke: Invoke
) -> None:
    with serving(other.folder / "docker.sock") as address, builder("dsvm-e2e-remote", address) as name:
        done = invoke("build", *catalog.words, "--builder", name, "--update-stale").passed()
    assert f"image: dsvm/{VARIANT}:latest" in done.text
    built = json.loads((ROOT / "build" / VARIANT / "build.json").read_text())
    assert {"base", "system"} <= {one["stage"] for one in built["layers"]}
    here = image(f"dsvm/{VARIANT}:latest")
    assert here is not None and here["Id"] == built["image"]
    assert docker("image", "ls", "--quiet", env=other.env) == "", "the builder is BuildKit and no place of images"


def test_the_layers_are_those_of_our_own_engine(catalog: Catalog, invoke: Invoke) -> None:
    there = image(f"dsvm/{VARIANT}:latest")
    invoke("build", *catalog.words, "--no-verify", "--no-cache").passed()
    here = image(NAME)
    assert there is not None and here is not None and here["RootFS"]["Layers"] == there["RootFS"]["Layers"]


def test_a_builder_that_does_not_answer_is_named(catalog: Catalog, invoke: Invoke) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with builder("dsvm-e2e-gone", address) as name:
        invoke("build", *catalog.words, "--no-cache", "--builder", name).refused(
            4, f"builder '{name}' does not answer at {address}", "Is BuildKit up there?"
        )
