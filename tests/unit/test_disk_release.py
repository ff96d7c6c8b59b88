"""Releases of machines: what stands beside a disk agrees with it, and no byte of that can be altered unseen."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import tiny
from sigstore_instance import ISSUER, WORKFLOW, Instance
from test_cloud import QEMU, VARIANT, session
from test_keyless import instance, trusted
from test_seals import new_key

from dsvm import pipeline, vm
from dsvm import release as releases
from dsvm.host import run, sha256_of
from dsvm.model import AlteredError, CheckResult, InputError, Report, canonical_json
from dsvm.plan import make_plan
from dsvm.release import (
    CheckedDisk,
    Identity,
    IdentitySigner,
    IdentityVerifier,
    KeySigner,
    KeyVerifier,
    Signer,
    Signing,
    SigningKey,
    make_pair,
    read_signing_key,
    verify_disk,
)
from dsvm.session import Session
from dsvm.vm import disk_image

__all__ = ["instance", "session", "trusted"]
pytestmark = QEMU
DISKS = {"azure": "vhd", "ami": "vmdk"}
NAMES = {
    "json", "sbom.cdx.json", "sbom.spdx.json", "lock.json", "report.json", "report.html", "audit.json",
    "provenance.json", "sha256", "sha256.sig",
}  # fmt: skip


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return new_key(tmp_path_factory.mktemp("key"))


def machine(session: Session, *, failed: bool = False) -> Path:
    """A small disk that stands as a verified machine, with the report of its verification."""
    formats = ("docker", "qcow2", "vhd", "azure", "ami", "gcp")
    variant = session.catalog.variants[VARIANT].model_copy(update={"formats": formats})
    session.catalog = replace(session.catalog, variants={**session.catalog.variants, VARIANT: variant})
    place = vm.Place(session.folder(VARIANT), VARIANT)
    plan = make_plan(session.catalog, tiny.lock(session.catalog, VARIANT), vm.VERIFIED)
    image = place.image(vm.VERIFIED)
    place.work.mkdir(parents=True)
    run(["qemu-img", "create", "-q", "-f", "qcow2", image, "4M"])
    run(["qemu-io", "-c", "write -P 7 0 1M", image])
    described = vm.MachineImage(
        variant=VARIANT,
        format="qcow2",
        plan=plan.digest,
        lock=plan.lock_digest,
        sha256=sha256_of(image),
        bytes=image.stat().st_size,
        disk=4 << 20,
        accelerator="tcg",
        seconds={},
    )
    place.described(image).write_text(canonical_json(described))
    result = CheckResult(tool="machine", check="boots", outcome="failed" if failed else "passed", seconds=1, output="")
    report = Report(
        variant=VARIANT, image=f"sha256:{described.sha256}", lock=plan.lock_digest, results=(result,), left_out=()
    )
    (place.work / "report.json").write_text(canonical_json(report))
    return image


def released(session: Session, signer: Signer | SigningKey | None, format: str = "qcow2") -> Path:
    image = machine(session)
    pipeline.release_disk(session, VARIANT, format, KeySigner(signer) if isinstance(signer, SigningKey) else signer)
    return image.with_suffix(f".{DISKS.get(format, format)}")


def beside(disk: Path) -> dict[str, Path]:
    """The end of its name -> each file beside a disk."""
    return {path.name.removeprefix(f"{disk.name}."): path for path in disk.parent.glob(f"{disk.name}.*")}


def checked(disk: Path, *keys: SigningKey) -> CheckedDisk:
    return verify_disk(disk, KeyVerifier([one.public for one in keys]) if keys else None)


# --- what is released is good ------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["qcow2", "vhd", "azure", "ami"])
def test_a_released_disk_is_good(format: str, session: Session, key: SigningKey) -> None:
    disk = released(session, key, format)
    assert {*beside(disk)} == NAMES
    found = checked(disk, key)
    assert found.faults == []
    lock = tiny.lock(session.catalog, VARIANT)
    assert (found.variant, found.format, found.digest) == (
        VARIANT,
        DISKS.get(format, format),
        f"sha256:{sha256_of(disk)}",
    )
    assert found.artefacts == len({pin.sha256 for part in lock.of("qcow2").sections for pin in part.pins})
    assert found.lock == lock.of("qcow2").digest and found.builder == "urn:dsvm:own-machine"
    kernel = {pin.sha256 for part in lock.sections if part.id == "machine" for pin in part.pins}
    bill = json.loads(beside(disk)["sbom.cdx.json"].read_bytes())
    named = {one["content"] for part in bill["components"] for one in part.get("hashes", ())}
    assert kernel and kernel <= named, "what only a machine has is in its bill"
    assert "machine" in beside(disk)["report.html"].read_text()


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
def test_other_programs_read_it(kind: Literal["ecdsa", "ed25519"], session: Session, tmp_path: Path) -> None:
    private, public = make_pair(tmp_path / "cosign", kind, b"")
    key = read_signing_key(private, b"")
    disk = released(session, key)
    run(["sha256sum", "--check", "--strict", f"{disk.name}.sha256"], cwd=disk.parent)
    if kind == "ecdsa":  # as openssl sees it
        (tmp_path / "raw").write_bytes(base64.b64decode(beside(disk)["sha256.sig"].read_bytes()))
        words = ("dgst", "-sha256", "-verify", public, "-signature", tmp_path / "raw", beside(disk)["sha256"])
        assert "Verified OK" in run(["openssl", *words]).stdout


def test_releasing_again_is_the_same_but_for_signatures(session: Session, key: SigningKey) -> None:
    disk = released(session, None)
    changing = {"report.html", "audit.json", "sha256"}  # the moment of both stands in them
    before = {end: path.read_bytes() for end, path in beside(disk).items() if end not in changing}
    pipeline.release_disk(session, VARIANT, "qcow2", None)
    assert {end: path.read_bytes() for end, path in beside(disk).items() if end not in changing} == before
    assert "sha256.sig" not in before and checked(disk).faults == []


def test_without_a_key_nobody_has_signed_it(session: Session, key: SigningKey) -> None:
    disk = released(session, key)
    pipeline.release_disk(session, VARIANT, "qcow2", None)
    assert not disk.with_name(f"{disk.name}.sha256.sig").exists(), "a signature of what was there before"
    assert checked(disk).faults == []
    assert "nobody whose key was given has signed it" in checked(disk, key).faults[0]
    rewritten(disk, key)
    assert checked(disk, key).faults == [f"{disk}: nobody whose key was given says its provenance"]


def test_what_an_identity_has_signed_no_other_has(
    session: Session, instance: Instance, trusted: releases.Instance
) -> None:
    disk = released(session, IdentitySigner(Signing(trusted)))
    assert {*beside(disk)} == NAMES - {"sha256.sig"} | {"sha256.sigstore.json"}
    verifier = IdentityVerifier(trusted, Identity(WORKFLOW, ISSUER))
    assert verify_disk(disk, verifier).faults == [] == verify_disk(disk, None).faults
    (fault,) = verify_disk(disk, replace(verifier, identity=Identity("somebody@example.org", ISSUER))).faults
    assert f"nobody of that identity has signed it: signed by {WORKFLOW}" in fault
    assert "there is no" in checked(disk, new_key(disk.parent)).faults[0]
    path = beside(disk)["provenance.json"]
    bundle = json.loads(path.read_bytes())
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(b"{}").decode()
    path.write_text(json.dumps(bundle))
    rewritten(disk, IdentitySigner(Signing(trusted)))
    assert f"{disk}: nobody of that identity says its provenance" in verify_disk(disk, verifier).faults


# --- what is altered is found ------------------------------------------------------------------------------


def test_no_byte_can_be_altered(session: Session, key: SigningKey) -> None:
    """The first, the last and one in the middle of each file, by one bit; each file cut off, longer, and gone."""
    disk = released(session, key)
    for path in (disk, *beside(disk).values()):
        data = path.read_bytes()
        others = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in (0, len(data) // 2, len(data) - 1)]
        for other in (*others, data[:-1], data + b"\n", b""):
            path.write_bytes(other)
            assert checked(disk, key).faults, f"{path.name}: nobody noticed"
        path.unlink()
        if path != disk:
            assert checked(disk, key).faults, f"{path.name} is gone, and nobody noticed"
        path.write_bytes(data)
    assert checked(disk, key).faults == []


def test_list_and_signature_have_one_form(session: Session, key: SigningKey) -> None:
    disk = released(session, key)
    for end in ("sha256", "sha256.sig"):
        path = beside(disk)[end]
        data = path.read_bytes()
        for at in range(0, len(data), 1 if end == "sha256.sig" else 9):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert checked(disk, key).faults, f"{path.name}: byte {at}"
        path.write_bytes(data)


def rewritten(disk: Path, signer: Signer | SigningKey | None) -> None:
    """The list of digests of what is there now, signed by `signer`."""
    ends = ("sha256", ".sig", ".sigstore.json")
    names = [disk.name, *(path.name for path in beside(disk).values() if not path.name.endswith(ends))]
    text = "".join(f"{sha256_of(disk.with_name(name))}  {name}\n" for name in names).encode()
    disk.with_name(f"{disk.name}.sha256").write_bytes(text)
    if signer is not None:
        by = KeySigner(signer) if isinstance(signer, SigningKey) else signer
        disk.with_name(f"{disk.name}.sha256.{by.signature_end}").write_bytes(by.signature(text))


def other_disk(disk: Path) -> None:
    disk.write_bytes(b"another disk")


def other_bill(disk: Path) -> None:
    path = beside(disk)["sbom.cdx.json"]
    path.write_text(path.read_text().replace("sha256:", "sha256:0", 1))


def strange_bill(disk: Path) -> None:
    beside(disk)["sbom.cdx.json"].write_text("[" * 100_000)


def other_lock(disk: Path) -> None:
    path = beside(disk)["lock.json"]
    path.write_text(path.read_text().replace('"epoch": 17', '"epoch": 16').replace('"epoch":17', '"epoch":16'))


def other_report(disk: Path) -> None:
    path = beside(disk)["report.json"]
    report = Report.model_validate_json(path.read_bytes())
    path.write_text(canonical_json(report.model_copy(update={"image": "sha256:" + "0" * 64})))


def failed_report(disk: Path) -> None:
    path = beside(disk)["report.json"]
    path.write_text(path.read_text().replace('"passed"', '"failed"'))


def no_bill(disk: Path) -> None:
    beside(disk)["sbom.spdx.json"].unlink()


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (other_disk, "its description is of another disk"),
        (other_bill, "its bill of materials is of another image"),
        (strange_bill, "its bill of materials is none of ours"),
        (other_lock, "another lock than that of the image"),
        (other_report, "its report is of another machine"),
        (failed_report, "its report says that checks have failed"),
        (no_bill, "it does not name"),
    ],
)
def test_what_does_not_agree_is_found_whoever_has_signed_it(
    alter: Callable[[Path], None], said: str, session: Session, key: SigningKey
) -> None:
    disk = released(session, key)
    alter(disk)
    rewritten(disk, key)
    assert any(said in one for one in checked(disk, key).faults), checked(disk, key).faults
    assert any(said in one for one in checked(disk).faults)


def test_another_key_has_signed_nothing(session: Session, key: SigningKey, tmp_path: Path) -> None:
    disk = released(session, key)
    other = new_key(tmp_path)
    assert any("sha256: nobody whose key was given has signed it" in one for one in checked(disk, other).faults)
    rewritten(disk, other)
    assert any("says its provenance" in one for one in checked(disk, other).faults)
    assert checked(disk, key, other).faults == []


def test_a_list_names_nothing_elsewhere(session: Session, key: SigningKey, tmp_path: Path) -> None:
    disk = released(session, key)
    (tmp_path / "secret").write_text("x")
    path = beside(disk)["sha256"]
    path.write_text(f"{path.read_text()}{sha256_of(tmp_path / 'secret')}  ../../secret\n")
    assert any("altered: no list" in one for one in checked(disk).faults)


# --- what is not released ----------------------------------------------------------------------------------


def test_a_machine_that_was_not_verified_is_not_released(session: Session) -> None:
    with pytest.raises(InputError, match="there is no verified machine"):
        pipeline.release_disk(session, VARIANT, "qcow2")
    image = machine(session, failed=True)
    with pytest.raises(InputError, match="has no report of a verification without failures"):
        pipeline.release_disk(session, VARIANT, "qcow2")
    assert {*beside(image)} == {"json"}


@pytest.mark.parametrize(
    ("format", "said"), [("gcp", "gcp is not made on this host"), ("vmdk", "does not come out as vmdk"), ("x", "'x'")]
)
def test_a_format_that_has_no_disk_is_said(format: str, said: str, session: Session) -> None:
    machine(session)
    with pytest.raises(InputError, match=said):
        pipeline.release_disk(session, VARIANT, format)


def test_a_disk_that_changed_since_is_not_released(session: Session, key: SigningKey) -> None:
    image = machine(session)
    data = image.read_bytes()
    image.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(AlteredError, match="is not what was verified"):
        pipeline.release_disk(session, VARIANT, "qcow2", KeySigner(key))
    assert {*beside(image)} == {"json"}


def test_one_of_a_conversion_is_not_either(session: Session, key: SigningKey) -> None:
    machine(session)
    place = vm.Place(session.folder(VARIANT), VARIANT)
    target = disk_image.convert(place, "vhd")
    data = target.read_bytes()
    target.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(AlteredError, match="is not what was verified, or made of that"):
        pipeline.release_disk(session, VARIANT, "vhd", KeySigner(key))
