"""Ubuntu's archive: a small image and the big one, and virtual machines. Not in the ordinary run: scripts/test slow

Where the archive does not answer, or Ubuntu's keyring is not there, these tests are skipped with the reason. An image
whose artefacts are in the store already needs neither.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from workbench import CUT_OFF, ROOT, Catalog, Invoke, docker, forget, run

from dsvm.catalog import load
from dsvm.host import Host
from dsvm.model import DsvmError, Report

pytestmark = pytest.mark.slow

BASE = "ubuntu-24.04"
NAME, BIG = "e2e-ubuntu", "cpu-ubuntu"


@pytest.fixture(scope="module")
def archive() -> str:
    """Where this host finds Ubuntu's archive."""
    bootstrap = load().bases[BASE].bootstrap
    assert bootstrap is not None
    assert bootstrap.keyring is not None
    if not Path(bootstrap.keyring).is_file():
        pytest.skip(f"Ubuntu's archive cannot be trusted here: no {bootstrap.keyring} (scripts/base-tools)")
    machine = Host.detect()
    distribution, _, suite = bootstrap.suites[0].partition("/")
    try:
        place = machine.apt_mirrors(distribution)[0]
        fault = machine.unreachable(f"{place}/dists/{suite}/InRelease")
    except DsvmError as error:
        fault = error.message
    if fault:
        pytest.skip(f"Ubuntu's archive does not answer here: {fault}")
    return place


@pytest.fixture
def ubuntu(archive: str, tmp_path: Path) -> Iterator[Catalog]:
    """A user's own catalog: the tools of the small image, on Ubuntu."""
    folder = tmp_path / "catalog"
    shutil.copytree(Path(__file__).with_name("manifests"), folder)
    small = folder / "variants/e2e-small.yaml"
    text = small.read_text().replace("e2e-small", NAME).replace("Debian 12", "Ubuntu").replace("debian-12", BASE)
    (folder / f"variants/{NAME}.yaml").write_text(text)
    for other in (folder / "variants").glob("*.yaml"):
        if other.stem != NAME:
            other.unlink()
    try:
        yield Catalog(folder, NAME)
    finally:
        forget(NAME)


def test_a_small_image_is_locked_built_and_verified(ubuntu: Catalog, archive: str, invoke: Invoke) -> None:
    invoke("build", *ubuntu.words, "--update-stale").passed()
    lock = ubuntu.read()
    packages = [pin for one in lock["sections"] if one["ecosystem"] == "apt" for pin in one["pins"]]
    assert {pin["registry"] for pin in packages} <= {"ubuntu", "docker"}
    assert archive not in ubuntu.lock.read_text(), "a lock names no place"
    inside = ("run", "--rm", "--entrypoint", "/bin/bash", f"dsvm/{NAME}:latest", "-c")
    said = docker(*inside, '. /etc/os-release; echo "$ID $VERSION_ID"; /opt/envs/base/bin/python -V; id -un')
    assert said.splitlines()[0] == "ubuntu 24.04"
    assert said.splitlines()[1].startswith("Python 3.12.")
    assert said.splitlines()[2] == "ds"
    # what was fetched is enough: no archive, no network
    invoke("build", *ubuntu.words, "--offline", "--no-cache", under=tuple(CUT_OFF)).passed()


def test_an_archive_of_one_s_own_takes_its_place(ubuntu: Catalog, invoke: Invoke, tmp_path: Path) -> None:
    """The way for a machine that knows no mirror: a wrong one is asked, and no other."""
    config = tmp_path / "config.yaml"
    config.write_text(f"sources:\n  ubuntu: file://{tmp_path}/nowhere\n")
    done = invoke("lock", *ubuntu.words, env={"DSVM_CONFIG": str(config)})
    done.refused(3, "archive cannot be read", f"{tmp_path}/nowhere")
    assert not ubuntu.lock.exists()


def test_the_big_image_passes_every_check(archive: str, invoke: Invoke) -> None:
    invoke("build", "--variant", BIG, "--update-stale").passed()
    report = json.loads((ROOT / "build" / BIG / "report.json").read_text())
    assert {result["outcome"] for result in report["results"]} <= {"passed", "not exercised"}
    assert len(report["results"]) > 150
    lock = json.loads((ROOT / "manifests/locks" / f"{BIG}.json").read_text())
    shown = run(["docker", "run", "--rm", f"dsvm/{BIG}:latest", "dsvm-info"]).passed().out
    assert [one["tool"] for one in lock["left_out"] if one["tool"] not in shown] == []


@pytest.mark.parametrize("variant", ["e2e-ubuntu-machine", "e2e-gpu-machine"])
def test_a_machine_is_built_booted_and_verified(variant: str, archive: str, invoke: Invoke, tmp_path: Path) -> None:
    """A small one, and one with NVIDIA's driver that starts where there is no GPU."""
    catalog = Catalog(tmp_path / "catalog", variant)
    shutil.copytree(Path(__file__).with_name("manifests"), catalog.folder)
    try:
        invoke("build", *catalog.words, "--format", "qcow2").passed()
        report = Report.model_validate_json((ROOT / "build" / variant / "machine" / "report.json").read_bytes())
        assert report.count("failed") == 0
        found = {f"{one.tool}: {one.check}": (one.outcome, one.output) for one in report.results}
        assert found["machine: is up again after a restart, no unit failed"][0] == "passed"
        if variant == "e2e-gpu-machine":
            assert found["nvidia-driver: nvidia_driver.sh"][0] == "passed"
            assert found["fabric-manager: fabric_manager.sh"][0] == "passed"
            assert found["xgboost: xgboost_train.py"][0] == "passed"
            if not Path("/dev/nvidiactl").exists():
                assert found["nvidia-driver: nvidia_smi.sh"] == ("not exercised", "no GPU")
    finally:
        forget(variant)
