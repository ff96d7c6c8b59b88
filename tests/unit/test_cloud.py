"""The road to a cloud: which disk is published, what is refused, and what Packer is given."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from dsvm import lock as locks
from dsvm import vm
from dsvm.cloud import publishing as publish
from dsvm.cloud import target as cloud
from dsvm.host import run
from dsvm.model import BuildError, InputError, canonical_json
from dsvm.plan import make_plan
from dsvm.session import BuildOptions, Session
from dsvm.store import Store
from dsvm.vm.disk_image import MachineImage

VARIANT = "tiny-machine"
QEMU = pytest.mark.skipif(not shutil.which("qemu-img"), reason="no qemu-img here: apt-get install qemu-utils")


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A workshop whose build folder is the test's, with the lock of a variant that has all formats."""
    monkeypatch.setattr("dsvm.session.session.ROOT", tmp_path)
    said: list[str] = []
    session = Session(said.append, said.append, offline=True)
    catalog = tiny.machine_catalog()
    (tmp_path / "mine").mkdir()
    session.catalog = replace(catalog, folders=(*catalog.folders, tmp_path / "mine"))
    session.store = Store(tmp_path / "store")
    lock = tiny.lock(session.catalog, VARIANT)
    locks.write(locks.lock_path(session.catalog, VARIANT), lock)
    return session


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "publish.yaml"
    path.write_text("gcp: {project: our-project, bucket: our-images, zone: europe-west1-b}\n")
    return path


def verified(session: Session, plan: str, megabytes: int = 1100) -> Path:
    """A disk of so many MiB that stands as the verified machine of the plan with this digest."""
    place = vm.Place(session.folder(VARIANT), VARIANT)
    image = place.image(vm.VERIFIED)
    image.parent.mkdir(parents=True)
    run(["qemu-img", "create", "-q", "-f", "qcow2", image, f"{megabytes}M"])
    described = MachineImage(
        variant=VARIANT,
        format="qcow2",
        plan=plan,
        lock="0" * 64,
        sha256="0" * 64,
        bytes=image.stat().st_size,
        disk=megabytes << 20,
        accelerator="tcg",
        seconds={},
    )
    place.described(image).write_text(canonical_json(described))
    return image


def current(session: Session) -> str:
    return make_plan(session.catalog, tiny.lock(session.catalog, VARIANT), vm.VERIFIED).digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qcow2", "'qcow2' is no format of a cloud"),
        ("docker", "'docker' is no format of a cloud"),
        ("azur", r"did you mean 'azure'"),
        ("", "unknown format ''"),
    ],
)
def test_formats_that_are_none_of_a_cloud(session: Session, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        cloud.format_of_cloud(session, VARIANT, text)
    assert "ami, azure, gcp" in caught.value.hint


def test_a_variant_comes_out_only_as_its_formats_say(session: Session) -> None:
    assert cloud.format_of_cloud(session, VARIANT, "azure") == "azure"
    for refuse in (cloud.format_of_cloud, cloud.build):
        asked: Any = "azure" if refuse is cloud.format_of_cloud else BuildOptions(format="azure")
        with pytest.raises(InputError, match="tiny does not come out as azure: its formats are docker"):
            refuse(session, "tiny", asked)


def test_without_a_verified_machine_nothing_is_published(session: Session, settings: Path) -> None:
    options = cloud.PublishOptions(settings=settings)
    with pytest.raises(InputError, match="there is no verified machine") as caught:
        cloud.publish(session, VARIANT, "gcp", options)
    assert f"invoke build --variant {VARIANT} --format qcow2" in caught.value.hint
    both = cloud.PublishOptions(settings=settings, disk=Path("x"), image="y")
    with pytest.raises(InputError, match="--disk and --image"):
        cloud.publish(session, VARIANT, "gcp", both)


@QEMU
def test_a_machine_of_another_lock_is_not_published(session: Session, settings: Path) -> None:
    verified(session, "0" * 64)
    with pytest.raises(InputError, match="was built from another lock or other manifests"):
        cloud.publish(session, VARIANT, "gcp", cloud.PublishOptions(settings=settings))


@QEMU
def test_the_verified_machine_becomes_what_google_takes(session: Session, settings: Path) -> None:
    verified(session, current(session))
    disk = cloud._verified_disk(session, VARIANT, "gcp", dry_run=False)
    publish.check_disk(disk, "gcp")
    with tarfile.open(disk) as tar:
        assert [(one.name, one.size) for one in tar] == [("disk.raw", 2 << 30)]
    assert not list(disk.parent.glob(".google-*"))


@QEMU
@pytest.mark.parametrize("format", ["azure", "ami"])
def test_the_verified_machine_becomes_what_azure_and_aws_take(session: Session, format: str) -> None:
    verified(session, current(session), 100)
    named = cloud.format_of_cloud(session, VARIANT, format)
    disk = cloud._verified_disk(session, VARIANT, named, dry_run=False)
    publish.check_disk(disk, named)


@QEMU
def test_a_dry_run_converts_nothing(session: Session, settings: Path) -> None:
    image = verified(session, current(session))
    cloud.publish(session, VARIANT, "gcp", cloud.PublishOptions(settings=settings, dry_run=True))
    assert {path.name for path in image.parent.iterdir()} == {image.name, f"{image.name}.json"}


def test_packer_gets_the_archive_and_its_failure_is_shown(
    session: Session, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program called packer keeps what it was given, and fails."""
    from dsvm.cloud import archive
    from dsvm.vm import packer

    monkeypatch.setenv("DSVM_CONFIG", str(settings.with_name("config.yaml")))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "packer"
    program.write_text(
        "#!/bin/sh\ncase $1 in version) echo 'Packer v1.6.6';;\n"
        f'build) for word; do case $word in -var-file=*) cp "${{word#*=}}" {tmp_path}/given.json;; esac; done\n'
        "echo '==> no quota'; exit 1;; esac\n"
    )
    program.chmod(0o755)
    packer.version.cache_clear()
    made = archive.Archive(tmp_path / "install.tar", "0" * 64, 1)
    plan = make_plan(session.catalog, tiny.lock(session.catalog, VARIANT), "gcp")
    monkeypatch.setattr(cloud, "prepare", lambda *_, **__: (plan, made))  # which tests of its own and a real run have
    cloud.folder(session, VARIANT, "gcp").mkdir(parents=True)
    try:
        with pytest.raises(BuildError, match="no quota") as caught:
            cloud.build(session, VARIANT, BuildOptions(format="gcp"))
    finally:
        packer.version.cache_clear()
    assert "packer.log" in caught.value.hint
    given = json.loads((tmp_path / "given.json").read_text())
    assert given["archive_sha256"] == "0" * 64
    assert given["project"] == "our-project"
    assert given["version"] == publish.release(plan, "gcp").version
