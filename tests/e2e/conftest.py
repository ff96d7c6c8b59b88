"""End-to-end tests: real builds by the real commands, on the engine that DOCKER_HOST names."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parent))

from workbench import BIG, CUT_OFF, INVOKE, SMALL, Catalog, Done, Invoke, forget, run, small_catalog

# Files that use the same image, and so run one after the other; groups run side by side. The big image is built first
# of all, by the command that a newcomer types; an emulated machine starts when that is done, as it has to answer in
# time. The last two of the small image's files take its name away.
GROUPS = (
    ("test_quickstart", "test_start", "test_running", "test_broken_images", "test_every_file"),
    (
        "test_small_bill",
        "test_release",
        "test_bad_luck",
        "test_reproducible",
        "test_another_user",
        "test_repository",
        "test_registry_base",
    ),
    ("test_outside_image",),
    ("test_nightly",),
    ("test_start_page",),
    ("test_sharing",),
    ("test_two_engines", "test_remote_builder"),
    ("test_virtual_machine",),
    # in the slow run alone
    ("test_vendor_machine",),
    ("test_source_package",),
    ("test_conda_image",),
    ("test_r_and_julia",),
    ("test_ubuntu",),
    ("test_gpu",),
    ("test_further_tools",),
)
FILES = {file: (number, place) for number, files in enumerate(GROUPS) for place, file in enumerate(files)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.engine)
    items.sort(key=lambda item: FILES[item.path.stem])


class ByImage(LoadScopeScheduling):
    """Tests of one group go to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        group, _ = FILES[Path(nodeid.partition("::")[0]).stem]
        return GROUPS[group][0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByImage:
    return ByImage(config, log)


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
    """A catalog of a user's own with a small variant, locked, built and verified."""
    catalog = small_catalog(tmp_path_factory.mktemp("catalog"), SMALL)
    try:
        invoke("build", *catalog.words, "--update-stale").passed()
        yield catalog
    finally:
        forget(SMALL)


@pytest.fixture
def own(small: Catalog, tmp_path: Path) -> Catalog:
    """A copy of the small catalog and its lock, for a test to spoil."""
    shutil.copytree(small.folder, tmp_path / "catalog")
    return Catalog(tmp_path / "catalog")
