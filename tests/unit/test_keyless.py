"""Signed without a key: by an identity, with an own instance of sigstore and the library that everybody uses."""

from __future__ import annotations

import base64
import datetime
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_der_x509_certificate
from release_world import DAY, REPOSITORY, World
from server import Resource, Server
from sigstore import dsse
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore_instance import ISSUER, WORKFLOW, Instance, new_key, sigstore_instance
from test_seals import AROUND, CHANNELS, CYCLONEDX, LOCK, PROVENANCE, Made, edited, flipped, image, of

from dsvm import release as releases
from dsvm.model import Descriptor, InputError, Manifest, PublishError, digest_of_bytes
from dsvm.release import (
    Checked,
    Claim,
    Identity,
    IdentitySigner,
    IdentityVerifier,
    Keep,
    Promotion,
    Registry,
    Sealer,
    Signing,
    Statement,
    Surroundings,
    empty_config,
    identity_token,
    keyless,
    sign_promotion,
    statement_about,
    verify,
)

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
VECTORS = Path(__file__).parent / "sigstore_vectors"
TOKEN = "SIGSTORE_ID_TOKEN"
GITHUB = ("GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """An instance of sigstore, and somebody whom it knows."""
    for name in (*GITHUB, "GITLAB_CI", "BUILDKITE", "CIRCLECI", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with sigstore_instance() as one:
        monkeypatch.setenv(TOKEN, one.token())
        yield one


@pytest.fixture
def trusted(instance: Instance, tmp_path: Path) -> releases.Instance:
    """The same as somebody has it who trusts it."""
    return releases.Instance.of(instance.write(tmp_path / "trust.json"))


def sealer(trusted: releases.Instance, *made: Made, say: Callable[[str], None] = lambda line: None) -> Sealer:
    claims = {one.candidate.variant: one.claims for one in made}
    return Sealer(IdentitySigner(Signing(trusted, say)), claims, AROUND, CHANNELS)


def released(world: World, trusted: releases.Instance, *texts: str, **more: Any) -> str:
    """The digest of the index of a release whose only image is of the tiny lock."""
    made = image(world, *texts)
    return world.publish(made.candidate, seal=sealer(trusted, made), **more).index.digest


def checked(
    world: World, trusted: releases.Instance, *, who: str = WORKFLOW, issuer: str = ISSUER, what: str = "latest"
) -> Checked:
    return verify(world.home.registry, what, IdentityVerifier(trusted, Identity(who, issuer)))


def bundles(world: World, digest: str) -> list[tuple[Descriptor, Manifest, bytes]]:
    """The bundles beside a document."""
    registry = world.home.registry
    found = [(one, registry.image(one.digest)[1]) for one in registry.referrers(digest) if one.artifact_type == BUNDLE]
    return [(one, manifest, registry.blob(manifest.layers[0])) for one, manifest in found]


# --- what is signed is good --------------------------------------------------------------------------------


def test_a_release_that_an_identity_has_signed_is_good(either: World, trusted: releases.Instance) -> None:
    said: list[str] = []
    made = image(either)
    index = either.publish(made.candidate, seal=sealer(trusted, made, say=said.append)).index.digest
    found = checked(either, trusted)
    assert found.faults == []
    assert (found.digest, found.release) == (index, "20261126")
    assert found.promotions == [Promotion("somebody", "nightly latest", "https://ci.example/7")]
    (one,) = found.images
    assert (one.variant, one.lock) == (LOCK.variant, LOCK.of("docker").digest)
    assert one.artefacts == len({pin.sha256 for part in LOCK.of("docker").sections for pin in part.pins})
    assert one.components and one.builder == "urn:dsvm:own-machine"
    assert said == [f"signing as {WORKFLOW}, as {ISSUER} says"]
    assert checked(either, trusted, what=f"{LOCK.variant}-latest").faults == []


def test_bundles_stand_where_cosign_looks_for_them(either: World, trusted: releases.Instance) -> None:
    """https://github.com/sigstore/cosign/blob/v3.1.2/specs/BUNDLE_SPEC.md"""
    index = released(either, trusted)
    registry = either.home.registry
    for digest, kinds in ((index, {SIGNED}), (of(either, index), {SIGNED, PROVENANCE, CYCLONEDX})):
        seen = set()
        for entry, manifest, data in bundles(either, digest):
            about = manifest.annotations or {}
            assert entry.annotations == manifest.annotations
            assert about["dev.sigstore.bundle.content"] == "dsse-envelope"
            assert datetime.datetime.fromisoformat(about["org.opencontainers.image.created"]).tzinfo is not None
            assert manifest.config.media_type == "application/vnd.oci.empty.v1+json"
            assert [one.media_type for one in manifest.layers] == [BUNDLE] and manifest.subject is not None
            assert (manifest.artifact_type, manifest.subject.digest) == (BUNDLE, digest)
            envelope = json.loads(data)["dsseEnvelope"]
            said = Statement.of(base64.b64decode(envelope["payload"]))
            assert envelope["payloadType"] == "application/vnd.in-toto+json" and said.speaks_of(digest)
            assert about["dev.sigstore.bundle.predicateType"] == said.predicate_type
            assert [one.name for one in said.subject] == [str(registry)]
            seen.add(said.predicate_type)
        assert seen == kinds
    assert not [tag for tag in registry.tags() if tag.endswith((".sig", ".att"))]


def test_what_the_log_tells_the_world(world: World, instance: Instance, trusted: releases.Instance) -> None:
    """Who, when, and digests of what was said; docs/release.md says so."""
    released(world, trusted)
    assert len(instance.bodies) == 4
    for body in instance.bodies:
        (one,) = body["spec"]["signatures"]
        certificate = base64.b64decode(one["verifier"])
        assert WORKFLOW.encode() in base64.b64decode(b"".join(certificate.splitlines()[1:-1]))
        assert sorted(body["spec"]) == ["envelopeHash", "payloadHash", "signatures"]
        assert REPOSITORY not in json.dumps(body)


def test_signing_again_changes_nothing(world: World, instance: Instance, trusted: releases.Instance) -> None:
    released(world, trusted)
    before = world.remembered()
    released(world, trusted)
    assert world.remembered() == before and len(instance.bodies) == 4


def test_others_sign_beside_it(world: World, instance: Instance, trusted: releases.Instance,
                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    released(world, trusted)
    monkeypatch.setenv(TOKEN, instance.token("another@ci.example"))
    around, signer = Surroundings(who="another"), IdentitySigner(Signing(trusted))
    seal = partial(sign_promotion, signer=signer, around=around, channels=["latest"])
    world.home.promote("nightly", ["latest"], seal)
    assert checked(world, trusted).promotions == [Promotion("somebody", "nightly latest", "https://ci.example/7")]
    found = checked(world, trusted, who="another@ci.example")
    assert found.promotions == [Promotion("another", "latest", "")]
    assert any(f"signed by {WORKFLOW}, as {ISSUER} says" in one for one in found.faults)


def test_whoever_promotes_a_release_signs_that_later(
    world: World, instance: Instance, trusted: releases.Instance
) -> None:
    released(world, trusted)
    instance.late = 60
    around = Surroundings(who="later")
    seal = partial(sign_promotion, signer=IdentitySigner(Signing(trusted)), around=around, channels=["latest"])
    world.home.promote("nightly", ["latest"], seal)
    assert [one.who for one in checked(world, trusted).promotions] == ["somebody", "later"]


def test_a_certificate_is_used_for_some_minutes(
    instance: Instance, trusted: releases.Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing, text = Signing(trusted), statement_about("h/r", f"sha256:{'0' * 64}", SIGNED, {}).data
    for _ in range(2):
        signing.sign(text)
    assert [path for path, _ in instance.asked].count("/api/v2/signingCert") == 1
    monkeypatch.setattr(keyless, "FRESH", -1.0)
    signing.sign(text)
    assert [path for path, _ in instance.asked].count("/api/v2/signingCert") > 1


def test_what_ci_says_by_itself_is_not_taken_for_ours(world: World, trusted: releases.Instance) -> None:
    """A workflow that attests where an image comes from in its own words has the same identity."""
    made = image(world)
    theirs = Claim(PROVENANCE, {"buildDefinition": {"buildType": "https://ci.example/its-own"}})
    index = world.publish(made.candidate, seal=sealer(trusted, made)).index.digest
    document = world.home.registry.pull(of(world, index)).descriptor
    IdentitySigner(Signing(trusted)).attest(world.home.registry, document, [theirs])
    assert checked(world, trusted).faults == [] and len(bundles(world, document.digest)) == 4


def test_bundles_go_with_their_release(either: World, trusted: releases.Instance) -> None:
    first = released(either, trusted)
    gone = [one.digest for digest in (first, of(either, first)) for one, _, _ in bundles(either, digest)]
    released(either, trusted, "two", today=DAY + datetime.timedelta(days=1))
    either.home.collect(Keep(1, 0, 0))
    assert len(gone) == 4 and not [one for one in gone if either.home.registry.find(one)]
    assert checked(either, trusted).faults == []


# --- what is altered is said -------------------------------------------------------------------------------


def parts(world: World, index: str) -> list[tuple[dict[str, Any], str]]:
    """Where manifests and blobs of all bundles of a release are; tests of signatures with a key alter all the rest."""
    repository = world.server[REPOSITORY]
    found = [one for digest in (index, of(world, index)) for one in bundles(world, digest)]
    return [
        *((repository.manifests, entry.digest) for entry, _, _ in found),
        *((repository.blobs, manifest.layers[0].digest) for _, manifest, _ in found),
    ]


def test_no_byte_of_a_bundle_can_be_altered_unseen(world: World, trusted: releases.Instance) -> None:
    index = released(world, trusted)
    for things, digest in parts(world, index):
        kind, data = things[digest] if isinstance(things[digest], tuple) else ("", things[digest])
        for place in (0, len(data) // 2, len(data) - 1):
            bad = flipped(data, place)
            things[digest] = (kind, bad) if kind else bad
            faults = "\n".join(checked(world, trusted).faults)
            assert digest in faults, f"{digest}, byte {place}"
        things[digest] = (kind, data) if kind else data
    assert checked(world, trusted).faults == []


def test_nothing_of_a_bundle_can_go_unseen(world: World, trusted: releases.Instance) -> None:
    index = released(world, trusted)
    for things, digest in parts(world, index):
        thing = things.pop(digest)
        assert checked(world, trusted).faults, digest
        things[digest] = thing
    assert checked(world, trusted).faults == []


def test_what_is_said_of_an_image_has_to_agree_with_it(world: World, trusted: releases.Instance) -> None:
    made = edited(image(world), PROVENANCE, "buildDefinition", "internalParameters", "lock", value="0" * 64)
    made = edited(made, CYCLONEDX, "metadata", "component", "properties", value=[])
    world.publish(made.candidate, seal=sealer(trusted, made))
    faults = "\n".join(checked(world, trusted).faults)
    assert "its provenance says another lock" in faults and "its bill of materials says another lock" in faults


def test_what_nobody_has_signed_is_said(world: World, trusted: releases.Instance) -> None:
    world.publish(image(world).candidate)
    assert sum(one.endswith("nobody has signed it") for one in checked(world, trusted).faults) == 2
    assert verify(world.home.registry, "latest", None).faults == []


@pytest.mark.parametrize(
    ("who", "issuer"),
    [
        ("https://ci.example/team/images/other.yml@refs/heads/main", ISSUER),
        (WORKFLOW[:-1], ISSUER),
        (WORKFLOW, "https://ci.example/"),
        (WORKFLOW, "https://accounts.example"),
    ],
)
def test_another_identity_has_signed_nothing(who: str, issuer: str, world: World, trusted: releases.Instance) -> None:
    released(world, trusted)
    faults = checked(world, trusted, who=who, issuer=issuer).faults
    assert len(faults) == 4 and all("nobody of that identity" in one for one in faults)
    assert all(f"signed by {WORKFLOW}, as {ISSUER} says" in one for one in faults)


def test_an_identity_has_a_name_and_an_issuer(world: World, trusted: releases.Instance) -> None:
    released(world, trusted)
    for who, issuer in (("", ISSUER), (WORKFLOW, "")):
        assert len(checked(world, trusted, who=who, issuer=issuer).faults) == 4


def signed_anyhow(instance: Instance, tmp_path: Path, text: bytes) -> dict[str, Any]:
    """A bundle of an instance that may have gone wrong: nobody has looked at it."""
    context = SigningContext.from_trust_config(releases.Instance.of(instance.write(tmp_path / "now.json")).config)
    with context.signer(IdentityToken(instance.token())) as signer:
        found: dict[str, Any] = json.loads(signer.sign_dsse(dsse.Statement(text)).to_json())
        return found


Bad = Callable[[dict[str, Any], Instance, Path, bytes, pytest.MonkeyPatch], object]


def altered_statement(bundle: dict[str, Any], *_: Any) -> object:
    text = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b"somebody", b"somebodY")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(text).decode()
    return bundle


def altered_time(bundle: dict[str, Any], *_: Any) -> object:
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    entry["integratedTime"] = str(int(entry["integratedTime"]) + 1)
    return bundle


def altered_proof(bundle: dict[str, Any], *_: Any) -> object:
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    entry["inclusionProof"]["rootHash"] = base64.b64encode(bytes(32)).decode()
    return bundle


def other_entry(bundle: dict[str, Any], instance: Instance, folder: Path, text: bytes, *_: Any) -> object:
    """An entry of the log that is of another signature."""
    other = signed_anyhow(instance, folder, text)
    bundle["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    return bundle


def without_promise(bundle: dict[str, Any], *_: Any) -> object:
    """Then nobody whose word counts says when it was."""
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    del entry["inclusionPromise"]
    return bundle


def too_late(_: Any, instance: Instance, folder: Path, text: bytes, *__: Any) -> object:
    instance.late = 3600
    return signed_anyhow(instance, folder, text)


def too_early(_: Any, instance: Instance, folder: Path, text: bytes, *__: Any) -> object:
    instance.late = -3600
    return signed_anyhow(instance, folder, text)


def other_authority(_: Any, instance: Instance, folder: Path, text: bytes, *__: Any) -> object:
    instance.authority_key = new_key()
    return signed_anyhow(instance, folder, text)


def other_log(_: Any, instance: Instance, folder: Path, text: bytes, *__: Any) -> object:
    instance.log_key = new_key()
    return signed_anyhow(instance, folder, text)


def other_log_of_certificates(_: Any, instance: Instance, folder: Path, text: bytes, *__: Any) -> object:
    instance.ct_key = new_key()
    return signed_anyhow(instance, folder, text)


def secret_certificate(
    _: Any, instance: Instance, folder: Path, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> object:
    instance.without_sct = True
    with monkeypatch.context() as patched:
        patched.setattr("sigstore.sign.verify_sct", lambda *words: None)
        return signed_anyhow(instance, folder, text)


def no_statement(_: Any, instance: Instance, folder: Path, text: bytes, monkeypatch: pytest.MonkeyPatch) -> object:
    with monkeypatch.context() as patched:
        patched.setattr("sigstore.dsse.Envelope._TYPE", "text/plain")
        return signed_anyhow(instance, folder, text)


def of_a_key(bundle: dict[str, Any], *_: Any) -> object:
    bundle["verificationMaterial"]["publicKey"] = {"hint": "x"}
    del bundle["verificationMaterial"]["certificate"]
    return bundle


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (altered_statement, "DSSE: invalid signature"),
        (altered_time, "invalid inclusion promise"),
        (altered_proof, "invalid root hash"),
        (other_entry, "log entry signatures do not match"),
        (without_promise, "no bundle of sigstore's"),
        (too_late, "its certificate is refused: failed to build timestamp certificate chain: validation failed: "
                   "cert is not valid at validation time"),
        (too_early, "cert is not valid at validation time"),
        (other_authority, "its certificate is refused"),
        (other_log, "invalid log entry"),
        (other_log_of_certificates, "failed to verify SCT"),
        (secret_certificate, "failed to verify SCT"),
        (no_statement, "what is signed is no in-toto statement"),
        (of_a_key, "no bundle of sigstore's"),
        (lambda *_: {}, "no bundle of sigstore's"),
        (lambda *_: [7], "no bundle of sigstore's"),
        (lambda *_: "x" * 1000, "no bundle of sigstore's"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_a_bad_signature_is_refused_by_name(
    bad: Bad, why: str, world: World, instance: Instance, trusted: releases.Instance, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """In the place of the good one, with all digests right, as whoever may write to the registry can have it."""
    index = released(world, trusted)
    assert checked(world, trusted).faults == []
    ((entry, manifest, data),) = bundles(world, index)
    text = base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"])
    made = bad(json.loads(data), instance, tmp_path, text, monkeypatch)
    exchange(world.home.registry, world, entry, manifest, json.dumps(made).encode())
    (fault,) = checked(world, trusted).faults
    assert f"{index}: nobody of that identity has signed it (sha256:" in fault and why in fault


def exchange(registry: Registry, world: World, entry: Descriptor, manifest: Manifest, data: bytes) -> None:
    del world.server[REPOSITORY].manifests[entry.digest]
    layer = Descriptor(media_type=BUNDLE, digest=digest_of_bytes(data), size=len(data))
    registry.upload(data, layer.digest, layer.size)
    registry.attach(manifest.model_copy(update={"layers": (layer,)}))


def test_a_signature_is_not_another_image_s(world: World, trusted: releases.Instance) -> None:
    first = released(world, trusted)
    second = world.publish(image(world, "two").candidate, today=DAY + datetime.timedelta(days=1)).index.digest
    registry = world.home.registry
    for one, other in ((first, second), (of(world, first), of(world, second))):
        document = registry.pull(other).descriptor
        for _, manifest, _ in bundles(world, one):
            registry.attach(manifest.model_copy(update={"subject": document}))
    faults = checked(world, trusted).faults
    assert sum("nobody of that identity has signed it" in one for one in faults) == 2
    assert sum("speaks of another image" in one for one in faults) == 4
    assert sum("nobody of that identity says its" in one for one in faults) == 2


@pytest.mark.parametrize("key", ["dev.sigstore.bundle.content", "dev.sigstore.bundle.predicateType"])
def test_what_stands_around_a_bundle_says_what_is_in_it(key: str, world: World, trusted: releases.Instance) -> None:
    index = released(world, trusted)
    ((entry, manifest, data),) = bundles(world, index)
    about = {**(manifest.annotations or {}), key: "something-else"}
    exchange(world.home.registry, world, entry, manifest.model_copy(update={"annotations": about}), data)
    faults = checked(world, trusted).faults
    assert any("is altered around its envelope" in one for one in faults)
    assert any("nobody of that identity has signed it" in one for one in faults)


def test_nobody_looks_at_any_number_of_signatures(
    world: World, trusted: releases.Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = released(world, trusted)
    registry, subject = world.home.registry, world.home.registry.pull(index).descriptor
    config = empty_config(registry)
    for number in range(releases.bundles.MOST):
        about = {"number": str(number)}
        registry.attach(Manifest(artifact_type=BUNDLE, config=config, layers=(), subject=subject, annotations=about))
    assert any("more than 100 signatures refer to it" in one for one in checked(world, trusted).faults)


# --- an instance that fails, and whoever is nobody ---------------------------------------------------------


def test_a_moment_s_trouble_is_passed_over(world: World, instance: Instance, trusted: releases.Instance) -> None:
    instance.statuses = [503, 429]
    released(world, trusted)
    assert checked(world, trusted).faults == []


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_nothing_gets_a_name_before_it_is_signed(
    skip: int, world: World, instance: Instance, trusted: releases.Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = instance.answer

    def failing(*words: Any) -> tuple[int, dict[str, Any]]:
        if len(instance.asked) >= skip:
            instance.statuses = [500]
        return answer(*words)

    monkeypatch.setattr(instance, "answer", failing)
    with pytest.raises(PublishError, match=r"HTTP 500: .*trouble of tests") as caught:
        released(world, trusted)
    assert caught.value.exit_code == 8 and world.tags == {}
    monkeypatch.undo()
    monkeypatch.setenv(TOKEN, instance.token())
    instance.statuses.clear()
    released(world, trusted)
    assert checked(world, trusted).faults == []


def test_an_identity_that_the_instance_does_not_know_is_told_once(
    world: World, instance: Instance, trusted: releases.Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = instance.token(issuer="https://strange.example")
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(PublishError, match=r"HTTP 401: .*Invalid issuer") as caught:
        released(world, trusted)
    assert len(instance.asked) == 1 and instance.asked[0][1] == token
    assert token not in str(caught.value) and token not in repr(caught.value.__cause__)


def test_an_instance_that_says_nothing_is_not_waited_for(
    world: World, instance: Instance, trusted: releases.Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyless, "SECONDS", 0.3)
    instance.silent = 3
    with pytest.raises(PublishError, match="no answer within"):
        released(world, trusted)
    assert world.tags == {}


def test_an_instance_that_signs_badly_is_told(world: World, instance: Instance, trusted: releases.Instance) -> None:
    instance.log_key = new_key()  # another than those who trust it know
    with pytest.raises(PublishError, match="what it gives for a signature is none: invalid log entry"):
        released(world, trusted)
    assert world.tags == {}


def test_nobody_signs_without_an_identity(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)  # whatever this computer is
    monkeypatch.delenv(TOKEN)
    with pytest.raises(InputError, match="there is no identity token") as caught:
        identity_token()
    assert "id-token: write" in caught.value.hint and "--key" in caught.value.hint


@pytest.mark.parametrize(
    "token",
    [
        lambda one: "no-token-at-all",
        lambda one: one.token(exp=int(time.time()) - 60),
        lambda one: one.token(aud="somebody-else"),
        lambda one: one.token(nbf=int(time.time()) + 600),
    ],
)
def test_a_token_that_is_none_is_told_and_not_shown(
    token: Callable[[Instance], str], instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, made := token(instance))
    with pytest.raises(InputError, match="nobody says who signs here") as caught:
        identity_token()
    assert made not in str(caught.value)


def test_github_says_who_runs(
    world: World, instance: Instance, trusted: releases.Instance, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN)
    answer = json.dumps({"value": instance.token()}).encode()
    place = server.add("/token", Resource(answer))
    values = ("true", f"{place}?job=7", "secret-of-the-runner")
    for name, value in zip(GITHUB, values, strict=True):
        monkeypatch.setenv(name, value)
    released(world, trusted)
    assert checked(world, trusted).faults == []
    seen = [one for one in server.requests if one.path.startswith("/token")]
    assert seen and all(one.headers["authorization"] == "bearer secret-of-the-runner" for one in seen)
    server.resources.clear()
    with pytest.raises(InputError, match="nobody says who signs here") as caught:
        identity_token()
    assert "secret-of-the-runner" not in str(caught.value)


def test_gitlab_says_who_runs(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    assert str(identity_token()) == os.environ[TOKEN]


# --- whom to trust -----------------------------------------------------------------------------------------


def test_a_file_that_says_whom_to_trust_is_read_strictly(instance: Instance, tmp_path: Path) -> None:
    good = instance.trust_config()
    path = tmp_path / "trust.json"
    with pytest.raises(InputError, match="cannot read whom to trust"):
        releases.Instance.of(path)
    without_log = json.loads(json.dumps(good))
    without_log["trustedRoot"]["tlogs"] = []
    without_service = json.loads(json.dumps(good))
    without_service["signingConfig"]["caUrls"] = []
    for text in (
        "",
        "{}",
        "[1]",
        json.dumps(good["trustedRoot"]),
        json.dumps(without_log),
        json.dumps(without_service),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match="no trust configuration"):
            releases.Instance.of(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot read whom to trust"):
        releases.Instance.of(path)


@pytest.mark.parametrize("kind", ["caUrls", "rekorTlogUrls", "tsaUrls"])
@pytest.mark.parametrize("url", ["http://sigstore.example", "http://127.0.0.1.example:80", "ftp://localhost", "x"])
def test_a_token_goes_over_https_alone(kind: str, url: str, instance: Instance, tmp_path: Path) -> None:
    config = instance.trust_config()
    config["signingConfig"][kind] = [{**config["signingConfig"]["caUrls"][0], "url": url}]
    path = tmp_path / "trust.json"
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="only HTTPS is spoken"):
        releases.Instance.of(path)


# --- what others have signed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "place", "kind", "year"),
    [
        ("cosign-oci-attestation", "tuf-repo-cdn.sigstore.dev", "https://cosign.sigstore.dev/attestation/v1", 2025),
        ("staging-rekor-v2", "tuf-repo-cdn.sigstage.dev", PROVENANCE, 2026),
    ],
)
def test_what_sigstore_has_published_is_good(name: str, place: str, kind: str, year: int, tmp_path: Path) -> None:
    """Without a network, and with the keys that the library brings."""
    known = files("sigstore") / "_store" / f"https%3A%2F%2F{place}"
    config = {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": json.loads((known / "trusted_root.json").read_text()),
        "signingConfig": json.loads((known / "signing_config.v0.2.json").read_text()),
    }
    path = tmp_path / "trust.json"
    path.write_text(json.dumps(config))
    trusted, data = releases.Instance.of(path), (VECTORS / f"{name}.json").read_bytes()
    raw = json.loads(data)["verificationMaterial"]["certificate"]["rawBytes"]
    identity = Identity.of(load_der_x509_certificate(base64.b64decode(raw)))
    found = trusted.verify(data, identity)
    assert Statement.of(found.text).predicate_type == kind and found.time.year == year
    with pytest.raises(keyless.UnverifiedError, match="signed by"):
        trusted.verify(data, Identity("https://github.com/somebody/else", identity.issuer))
    payload = json.loads(data)["dsseEnvelope"]["payload"].encode()
    refused = 0
    for number in range(0, len(data), len(data) // 60):
        # white space, and whatever is not signed, makes no other statement
        try:
            assert trusted.verify(flipped(data, number), identity) == found
        except keyless.UnverifiedError:
            refused += 1
    assert refused > 40
    with pytest.raises(keyless.UnverifiedError):
        trusted.verify(data.replace(payload, base64.b64encode(b"{}")), identity)
