"""cosign itself: it verifies what we sign, and we what it signs. Versions 2 and 3 differ in their options."""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest
from docker_registry import docker_registry
from release_world import World
from sigstore_instance import ISSUER, WORKFLOW, sigstore_instance
from test_cloud import QEMU, session
from test_disk_release import beside, released
from test_disk_release import checked as disk_checked
from test_seals import AROUND, CHANNELS, LOCK, checked, image, of, provenance, sealer

from dsvm.model import Manifest
from dsvm.release import (
    IdentitySigner,
    Instance,
    Sealer,
    Signing,
    SigningKey,
    cosign,
    make_pair,
    read_public_key,
    read_signing_key,
    seals,
    signature_tag,
)
from dsvm.session import Session

__all__ = ["session"]

pytestmark = pytest.mark.skipif(shutil.which("cosign") is None, reason="the distribution has no package of cosign")
PLAIN = ("--allow-http-registry", "--insecure-ignore-tlog=true")
PASSWORD = "hunter2-is-no-password"


def run(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "COSIGN_PASSWORD": PASSWORD, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(["cosign", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 or not check, done.stderr
    return done


@functools.cache
def new_forms() -> tuple[str, ...]:
    """What has cosign 3 write signatures under tags, as older ones do, and ask no service how to sign."""
    said = subprocess.run(["cosign", "sign", "--help"], capture_output=True, text=True, check=True).stdout
    return ("--new-bundle-format=false", "--use-signing-config=false") if "--use-signing-config" in said else ()


@pytest.fixture(params=["ecdsa", "ed25519"])
def key(request: pytest.FixtureRequest, tmp_path: Path) -> SigningKey:
    kind: Literal["ecdsa", "ed25519"] = request.param
    return read_signing_key(make_pair(tmp_path / "cosign", kind, PASSWORD.encode())[0], PASSWORD.encode())


def place(world: World, digest: str) -> str:
    return f"{world.home.registry}@{digest}"


def test_what_we_sign_is_good_to_cosign(world: World, key: SigningKey, tmp_path: Path) -> None:
    made = image(world)
    index = world.publish(made.candidate, seal=sealer(key, made)).index.digest
    for digest in (index, of(world, index)):
        done = run(tmp_path, "verify", "--key", "cosign.pub", *PLAIN, place(world, digest))
        (said,) = json.loads(done.stdout)
        assert said["critical"]["image"]["docker-manifest-digest"] == digest
    assert run(tmp_path, "verify", "--key", "cosign.pub", *PLAIN, f"{world.home.registry}:{LOCK.variant}-latest")
    claim = ("-a", "org.dsvm.by=somebody", "-a", "org.dsvm.channels=nightly latest")
    assert run(tmp_path, "verify", "--key", "cosign.pub", *PLAIN, *claim, place(world, index))
    for kind in ("slsaprovenance1", "cyclonedx"):
        words = ("verify-attestation", "--key", "cosign.pub", *PLAIN, "--type", kind, place(world, of(world, index)))
        assert run(tmp_path, *words).stdout


def test_what_others_sign_is_not(world: World, key: SigningKey, tmp_path: Path) -> None:
    made = image(world)
    index = world.publish(made.candidate, seal=sealer(key, made)).index.digest
    make_pair(tmp_path / "other", "ecdsa", b"")
    done = run(tmp_path, "verify", "--key", "other.pub", *PLAIN, place(world, index), check=False)
    assert done.returncode != 0 and "signature" in done.stderr


@pytest.mark.parametrize("key", ["ecdsa"], indirect=True)  # cosign signs otherwise with Ed25519: it hashes first
def test_what_cosign_signs_is_ours_byte_for_byte(world: World, key: SigningKey, tmp_path: Path) -> None:
    index = world.publish(image(world).candidate).index.digest
    for digest in (index, of(world, index)):
        words = ("--key", "cosign.key", "--tlog-upload=false", "--allow-http-registry", "--yes", *new_forms())
        run(tmp_path, "sign", *words, place(world, digest))
        found = seals.read_collection(world.home.registry, signature_tag(digest))  # compares every byte
        assert found is not None and [one.data for one in found.layers] == [
            cosign.payload(str(world.home.registry), digest)
        ]
        assert cosign.signed_digest(found.layers[0], [key.public]) == digest
    predicate = tmp_path / "predicate.json"
    predicate.write_text(json.dumps(provenance()))
    words = ("--key", "cosign.key", "--type", "slsaprovenance1", "--predicate", "predicate.json", "--yes", *new_forms())
    run(tmp_path, "attest", *words, "--tlog-upload=false", "--allow-http-registry", place(world, of(world, index)))
    found = seals.read_collection(world.home.registry, cosign.attestation_tag(of(world, index)))
    assert found is not None
    said = json.loads(cosign.attested(found.layers[0].data, [key.public]) or b"")
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert found.layers[0].annotations == cosign.attestation(b"", said["predicateType"], key).annotations
    envelope = json.loads(found.layers[0].data)
    assert {**envelope, "payload": "", "signatures": []} == {
        "payloadType": "application/vnd.in-toto+json",
        "payload": "",
        "signatures": [],
    }
    faults = [one for one in checked(world, key).faults if "bill of materials" not in one]
    # cosign 2 calls a field of provenance otherwise than SLSA does
    assert [one for one in faults if "invocationId: Field required" not in one] == []


@QEMU
def test_list_and_provenance_of_a_disk_are_good_to_cosign(session: Session, key: SigningKey, tmp_path: Path) -> None:
    disk = released(session, key)
    sums = beside(disk)["sha256"]
    of_list = ("--signature", str(beside(disk)["sha256.sig"]), str(sums))
    of_disk = ("--signature", str(beside(disk)["provenance.json"]), "--type", "slsaprovenance1", str(disk))
    for words in (("verify-blob", *of_list), ("verify-blob-attestation", *of_disk)):
        run(tmp_path, words[0], "--key", "cosign.pub", "--insecure-ignore-tlog=true", *words[1:])
    sums.write_bytes(sums.read_bytes() + b"\n")
    disk.write_bytes(disk.read_bytes() + b"\n")
    for words in (("verify-blob", *of_list), ("verify-blob-attestation", *of_disk)):
        words = (words[0], "--key", "cosign.pub", "--insecure-ignore-tlog=true", *words[1:])
        assert run(tmp_path, *words, check=False).returncode != 0


@QEMU
@pytest.mark.parametrize("key", ["ecdsa"], indirect=True)  # cosign signs otherwise with Ed25519: it hashes first
def test_a_list_that_cosign_signs_is_good(session: Session, key: SigningKey, tmp_path: Path) -> None:
    disk = released(session, key)
    words = ("--key", "cosign.key", "--tlog-upload=false", "--yes", *new_forms())
    run(
        tmp_path,
        "sign-blob",
        *words,
        "--output-signature",
        str(beside(disk)["sha256.sig"]),
        str(beside(disk)["sha256"]),
    )
    assert disk_checked(disk, key).faults == []


def test_keys_of_cosign_are_read(tmp_path: Path) -> None:
    run(tmp_path, "generate-key-pair")
    found = read_signing_key(tmp_path / "cosign.key", PASSWORD.encode())
    assert found.public == read_public_key(tmp_path / "cosign.pub")
    assert (tmp_path / "cosign.pub").read_text() == found.public.pem


def test_cosign_reads_our_keys(key: SigningKey, tmp_path: Path) -> None:
    assert run(tmp_path, "public-key", "--key", "cosign.key").stdout == key.public.pem


@pytest.fixture
def bundles() -> None:
    """cosign 3: older ones read no bundles of a registry."""
    if not new_forms():
        pytest.skip("this cosign is older than 3")


@pytest.mark.parametrize("listed", [True, False])
def test_what_an_identity_signs_is_good_to_cosign(
    listed: bool, bundles: None, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sigstore_instance() as instance, docker_registry(tmp_path / "registry") as registry:
        world.elsewhere = "" if listed else registry.host
        monkeypatch.setenv("SIGSTORE_ID_TOKEN", instance.token())
        made = image(world)
        signer = IdentitySigner(Signing(Instance.of(instance.write(tmp_path / "trust.json"))))
        seal = Sealer(signer, {made.candidate.variant: made.claims}, AROUND, CHANNELS)
        index = world.publish(made.candidate, seal=seal).index.digest
        (tmp_path / "root.json").write_text(json.dumps(instance.trusted_root()))
        plain = ("--trusted-root", "root.json", "--new-bundle-format", "--allow-http-registry")
        who = (*plain, "--certificate-oidc-issuer", ISSUER, "--certificate-identity", WORKFLOW)
        claim = ("-a", "org.dsvm.by=somebody", "-a", "org.dsvm.channels=nightly latest")
        for digest, more in ((index, ()), (index, claim), (of(world, index), ())):
            done = run(tmp_path, "verify", *who, *more, place(world, digest))
            found = [one["critical"] for one in json.loads(done.stdout)]
            assert found and all(one["image"]["docker-manifest-digest"] == digest for one in found)
        for kind in ("slsaprovenance1", "cyclonedx"):
            words = ("verify-attestation", *who, "--type", kind, place(world, of(world, index)))
            assert run(tmp_path, *words).stdout
        for other in (("-a", "org.dsvm.by=another"), ("--certificate-identity", f"{WORKFLOW}s")):
            assert run(tmp_path, "verify", *who, *other, place(world, index), check=False).returncode != 0


def test_our_bundles_have_the_form_of_cosign_s(
    bundles: None, world: World, key: SigningKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that does not depend on who has signed, and with what."""
    index = world.publish(image(world).candidate).index
    registry = world.home.registry
    words = ("--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry")
    run(tmp_path, "sign", *words, "--yes", "-a", "org.dsvm.by=somebody", place(world, index.digest))
    before = {one.digest for one in registry.referrers(index.digest)}
    with sigstore_instance() as instance:
        monkeypatch.setenv("SIGSTORE_ID_TOKEN", instance.token())
        signer = IdentitySigner(Signing(Instance.of(instance.write(tmp_path / "trust.json"))))
        signer.sign(registry, index, {"org.dsvm.by": "somebody"})
    (theirs,), (ours,) = before, {one.digest for one in registry.referrers(index.digest)} - before

    def form(digest: str) -> tuple[Manifest, dict[str, Any], dict[str, Any]]:
        _, manifest = registry.image(digest)
        bundle = json.loads(registry.blob(manifest.layers[0]))
        envelope = bundle["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        statement["subject"][0].pop("name", None)  # sigstore's library for Python wants one, and cosign writes none
        envelope |= {"payload": "", "signatures": [""] * len(envelope["signatures"])}
        about = {**(manifest.annotations or {}), "org.opencontainers.image.created": ""}
        layers = tuple(one.model_copy(update={"digest": "sha256:" + "0" * 64, "size": 0}) for one in manifest.layers)
        bundle["verificationMaterial"] = {}
        return manifest.model_copy(update={"annotations": about, "layers": layers}), bundle, statement

    (manifest, bundle, statement), wanted = form(ours), form(theirs)
    assert (bundle, statement) == wanted[1:]
    assert manifest.model_copy(update={"config": wanted[0].config}) == wanted[0]
    assert (manifest.config.media_type, manifest.config.digest) == (
        wanted[0].config.media_type,
        wanted[0].config.digest,
    )
