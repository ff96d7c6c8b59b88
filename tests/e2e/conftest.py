"""End-to-end tests: real builds by the real commands, on the engine that DOCKER_HOST names."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parent))

from workbench import BIG, CUT_OFF, INVOKE, ROOT, SMALL, Catalog, Done, Invoke, docker, run

# The big image is built first, by the command that a newcomer types; what disturbs it least comes next. The last
# two take the small image's name away.
FILES = (
    "test_quickstart",
    "test_start",
    "test_broken_images",
    "test_virtual_machine",
    "test_bad_luck",
    "test_reproducible",
    "test_r_and_julia",
    "test_registry_base",
    "test_ubuntu",
    "test_gpu",
    "test_vendor_machine",
    "test_repository",
    "test_conda_image",
    "test_outside_image",
    "test_source_package",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.engine)
    items.sort(key=lambda item: FILES.index(item.path.stem))


@pytest.fixture(scope="session")
def invoke() -> Invoke:
    """Runs an invoke command to its end."""

    def command(*words: str, env: Mapping[str, str | None] | None = None, under: tuple[str, ...] = ()) -> Done:
        return run([*under, INVOKE, *words], env=env)

    return command


@pytest.fixture(scope="session")
def cpu_debian(invoke: Invoke) -> Done:
    """The big image, built and verified without a network after `fetch`, or up to date."""
    invoke("fetch", "--variant", BIG, "--update-stale").passed()
    return run([*CUT_OFF, INVOKE, "build", "--variant", BIG, "--offline"]).passed()


@pytest.fixture(scope="session")
def small(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A catalog of a user's own with a small variant, locked, built and verified.

    Its base is locked as that of the big variant, so that it need not be made anew.
    """
    catalog = Catalog(tmp_path_factory.mktemp("catalog"))
    shutil.copytree(Path(__file__).with_name("manifests"), catalog.folder, dirs_exist_ok=True)
    big = json.loads((ROOT / "manifests" / "locks" / f"{BIG}.json").read_text())
    shared = [section for section in big["sections"] if not section["tools"] and section["id"] != "system"]
    catalog.lock.parent.mkdir()
    catalog.lock.write_text(json.dumps({**big, "variant": SMALL, "choices": [], "sections": shared}))
    try:
        invoke("build", *catalog.words, "--update-stale").passed()
        yield catalog
    finally:
        names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"dsvm/{SMALL}").split()
        if names:
            docker("image", "rm", "--force", *names)
        shutil.rmtree(ROOT / "build" / SMALL, ignore_errors=True)


@pytest.fixture
def own(small: Catalog, tmp_path: Path) -> Catalog:
    """A copy of the small catalog and its lock, for a test to spoil."""
    shutil.copytree(small.folder, tmp_path / "catalog")
    return Catalog(tmp_path / "catalog")
