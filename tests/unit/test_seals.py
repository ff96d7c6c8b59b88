"""Signed releases: what is signed is found and good, and no byte of a release can be altered unseen."""

from __future__ import annotations

import base64
import datetime
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import tiny
from registries import ALWAYS
from release_world import BASE, DAY, REPOSITORY, World
from saved_images import saved

from dsvm.model import AlteredError, ImageIndex, Lock, RegistryError, Release, canonical_json
from dsvm.release import (
    Attachment,
    Candidate,
    Checked,
    Claim,
    Keep,
    KeySigner,
    KeyVerifier,
    Promotion,
    Sealer,
    SigningKey,
    Statement,
    Surroundings,
    attestation_tag,
    cosign,
    make_pair,
    provenance_of,
    read_signing_key,
    seals,
    sign_promotion,
    signature_tag,
    verify,
)
from dsvm.release.cosign import Layer, attested
from dsvm.sbom import bill_of, to_cyclonedx
from dsvm.store import Store

LOCK = tiny.lock()
PLAN = "f" * 64
PROVENANCE, CYCLONEDX = "https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return new_key(tmp_path_factory.mktemp("key"))


def new_key(folder: Path) -> SigningKey:
    return read_signing_key(make_pair(folder / "cosign", "ecdsa", b"")[0], b"")


def bill(image: str, lock: Lock = LOCK) -> dict[str, Any]:
    made = bill_of(tiny.catalog(), lock, Store(Path("/nonexistent")))
    found: dict[str, Any] = json.loads(to_cyclonedx(replace(made, image=image)))
    return found


def provenance(lock: Lock = LOCK) -> dict[str, Any]:
    base = tiny.catalog().bases[lock.base]
    return provenance_of(lock, base, Surroundings(), [], format="docker", plan=PLAN, version="0.1.0").written


@dataclass(frozen=True)
class Made:
    """An image of the tiny lock, and what is said of it."""

    candidate: Candidate
    claims: tuple[Claim, ...]


def image(world: World, text: str = "one", **more: str) -> Made:
    labels = {"variant": LOCK.variant, "lock": LOCK.of("docker").digest, "plan": PLAN, **more}
    made = saved([BASE, {"text": text.encode() * 99}], labels={f"org.dsvm.{key}": labels[key] for key in labels})
    world.fake.saved[made.id] = made.archive
    attachments = (Attachment("application/vnd.dsvm.lock.v1+json", "lock.json", canonical_json(LOCK).encode()),)
    candidate = Candidate(LOCK.variant, made.id, LOCK.of("docker").digest, PLAN, attachments)
    return Made(candidate, (Claim(PROVENANCE, provenance()), Claim(CYCLONEDX, bill(made.id))))


AROUND = Surroundings("https://ci.example", "https://ci.example/7", "somebody")
CHANNELS = ("nightly", "latest")


def sealer(key: SigningKey | None, *made: Made) -> Sealer:
    return Sealer(
        KeySigner(key) if key else None, {one.candidate.variant: one.claims for one in made}, AROUND, CHANNELS
    )


def released(world: World, key: SigningKey, *texts: str, **more: Any) -> str:
    """The digest of the index of a signed release, whose only image is of the tiny lock."""
    made = image(world, *texts)
    return world.publish(made.candidate, seal=sealer(key, made), **more).index.digest


def checked(world: World, *keys: SigningKey, what: str = "latest") -> Checked:
    return verify(world.home.registry, what, KeyVerifier([one.public for one in keys]) if keys else None)


# --- what is signed is good --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
def test_a_signed_release_is_good(kind: Literal["ecdsa", "ed25519"], world: World, tmp_path: Path) -> None:
    key = read_signing_key(make_pair(tmp_path / "one", kind, b"")[0], b"")
    index = released(world, key)
    found = checked(world, key)
    assert found.faults == []
    assert (found.digest, found.release) == (index, "20261126")
    assert found.promotions == [Promotion("somebody", "nightly latest", "https://ci.example/7")]
    (one,) = found.images
    assert (one.variant, one.lock) == (LOCK.variant, LOCK.of("docker").digest)
    assert one.blobs == 3 and one.size > 20_000
    assert one.artefacts == len({pin.sha256 for part in LOCK.of("docker").sections for pin in part.pins})
    assert one.components and one.builder == "urn:dsvm:own-machine"


def test_an_image_is_good_by_itself(world: World, key: SigningKey) -> None:
    released(world, key)
    found = checked(world, key, what=f"{LOCK.variant}-latest")
    assert found.faults == [] and found.release == "" and found.images[0].variant == LOCK.variant


def test_cosign_finds_what_it_looks_for(world: World, key: SigningKey) -> None:
    """https://github.com/sigstore/cosign/blob/v3.1.2/specs/SIGNATURE_SPEC.md#tag-based-discovery"""
    index = released(world, key)
    registry = world.home.registry
    (entry,) = release_of(world, index).images
    for digest in (index, entry.digest):
        _, manifest = registry.image(signature_tag(digest))
        (one,) = manifest.layers
        assert one.media_type == "application/vnd.dev.cosign.simplesigning.v1+json"
        said = json.loads(registry.blob(one))
        assert said["critical"]["image"] == {"docker-manifest-digest": digest}
        assert said["critical"]["identity"] == {"docker-reference": str(registry)}
        made = base64.b64decode(one.annotation("dev.cosignproject.cosign/signature"))
        assert key.public.verifies(made, registry.blob(one))
        config = json.loads(registry.blob(manifest.config))
        assert config["rootfs"] == {"type": "layers", "diff_ids": [one.digest]}
        referrers = [one.artifact_type for one in registry.referrers(digest)]
        assert "application/vnd.dev.cosign.artifact.sig.v1+json" in referrers
    _, manifest = registry.image(attestation_tag(entry.digest))
    assert [one.annotation("predicateType") for one in manifest.layers] == [PROVENANCE, CYCLONEDX]
    for one in manifest.layers:
        said = json.loads(attested(registry.blob(one), [key.public]) or b"")
        assert said["subject"] == [{"name": str(registry), "digest": {"sha256": entry.digest[7:]}}]
    assert [one.artifact_type for one in registry.referrers(entry.digest)].count("application/vnd.in-toto+json") == 2


def release_of(world: World, digest: str) -> Release:
    document = world.home.registry.pull(digest).document
    assert isinstance(document, ImageIndex)
    return Release.of(document)


def test_signing_again_changes_nothing(world: World, key: SigningKey) -> None:
    released(world, key)
    before = world.remembered()
    released(world, key)
    assert world.remembered() == before


def test_who_promotes_a_release_signs_that(world: World, key: SigningKey, tmp_path: Path) -> None:
    released(world, key)
    other, around = new_key(tmp_path), Surroundings(who="another")
    world.home.promote(
        "nightly", ["latest"], partial(sign_promotion, signer=KeySigner(other), around=around, channels=["latest"])
    )
    found = checked(world, key, other)
    assert found.faults == []
    assert [(one.who, one.channels) for one in found.promotions] == [
        ("somebody", "nightly latest"),
        ("another", "latest"),
    ]


def test_without_a_key_it_is_said_where_an_image_comes_from(either: World) -> None:
    made = image(either)
    index = either.publish(made.candidate, seal=sealer(None, made)).index.digest
    registry, digest = either.home.registry, of(either, index)
    (one,) = [one for one in registry.referrers(digest) if one.artifact_type == "application/vnd.in-toto+json"]
    assert one.annotation("in-toto.io/predicate-type") == PROVENANCE
    _, manifest = registry.image(one.digest)
    said = Statement.of(registry.blob(manifest.layers[0]))
    assert said.speaks_of(digest) and said.predicate == provenance()
    assert checked(either).faults == []


def test_signatures_of_others_stay(world: World, key: SigningKey, tmp_path: Path) -> None:
    other = new_key(tmp_path)
    released(world, key)
    index = released(world, other)
    found = seals.read_collection(world.home.registry, signature_tag(index))
    assert found is not None and len(found.layers) == 2
    assert checked(world, key).faults == checked(world, other).faults == []


def test_what_was_said_before_of_the_same_is_replaced(world: World, key: SigningKey) -> None:
    made = image(world)
    world.publish(made.candidate, seal=sealer(key, made))
    later = Claim(PROVENANCE, {**provenance(), "more": 1})
    index = world.publish(made.candidate, seal=sealer(key, replace(made, claims=(later,)))).index.digest
    found = seals.read_collection(world.home.registry, attestation_tag(release_of(world, index).images[0].digest))
    assert found is not None and len(found.layers) == 2
    said = {
        one.annotations["predicateType"]: json.loads(attested(one.data, [key.public]) or b"") for one in found.layers
    }
    assert said[PROVENANCE]["predicate"]["more"] == 1 and said[CYCLONEDX]["predicate"]["bomFormat"] == "CycloneDX"
    assert checked(world, key).faults == []


def test_nothing_gets_a_name_before_it_is_signed(world: World, key: SigningKey) -> None:
    world.server.trouble("PUT", r"\.sig", 500, times=ALWAYS)
    made = image(world)
    with pytest.raises(RegistryError):
        world.publish(made.candidate, seal=sealer(key, made))
    assert world.tags == {}


def test_two_who_sign_at_once_both_have_signed(world: World, key: SigningKey, tmp_path: Path) -> None:
    index, other = released(world, key), new_key(tmp_path)
    registry, document = world.home.registry, world.home.registry.pull(index).descriptor
    tag = signature_tag(index)
    now = registry.pull(tag)

    def overtaken(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        return (*layers, cosign.signature(cosign.payload(str(registry), index), other))

    # what one has written is gone before it looks again
    world.server.trouble("GET", tag, 404, skip=1)
    kept = seals._change(registry, tag, overtaken)
    assert len(kept.layers) > 1 and registry.digest_of(tag) != now.digest and document.digest == index


# --- what is altered is said -------------------------------------------------------------------------------


def test_no_byte_of_a_release_can_be_altered_unseen(world: World, key: SigningKey) -> None:
    released(world, key)
    repository = world.server[REPOSITORY]
    assert checked(world, key).faults == []
    unseen = []
    for digest, data in [*repository.blobs.items()]:
        for place in places(data):
            repository.blobs[digest] = flipped(data, place)
            if not (found := checked(world, key).faults) or digest not in "\n".join(found):
                unseen.append((digest, place))
        repository.blobs[digest] = data
    for digest, (kind, data) in [*repository.manifests.items()]:
        for place in places(data):
            repository.manifests[digest] = kind, flipped(data, place)
            with suppress(AlteredError):
                if not checked(world, key).faults:
                    unseen.append((digest, place))
        repository.manifests[digest] = kind, data
    assert unseen == [] and checked(world, key).faults == []


def places(data: bytes) -> list[int]:
    """Some places of a text, spread evenly."""
    return sorted({0, len(data) - 1, *(len(data) * part // 7 for part in range(1, 7))})


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("what", ["blobs", "manifests", "tags"])
def test_nothing_of_a_release_can_go_unseen(what: str, world: World, key: SigningKey) -> None:
    released(world, key)
    repository = world.server[REPOSITORY]
    things: dict[str, Any] = getattr(repository, what)
    for name, thing in [*things.items()]:
        if (what == "tags" and not name.startswith("sha256-")) or (what == "manifests" and is_a_copy(thing[1])):
            continue
        del things[name]
        assert checked(world, key).faults, name
        things[name] = thing
    assert checked(world, key).faults == []


def is_a_copy(data: bytes) -> bool:
    """Whether a document is for those who look for referrers, and stands under a tag of cosign's too."""
    kinds = ("application/vnd.in-toto+json", "application/vnd.dev.cosign.artifact.sig.v1+json")
    return json.loads(data).get("artifactType") in kinds


def test_a_key_that_signed_nothing_finds_nothing_good(world: World, key: SigningKey, tmp_path: Path) -> None:
    released(world, key)
    faults = checked(world, new_key(tmp_path)).faults
    assert len(faults) == 4 and all("nobody whose key was given" in one for one in faults)


def test_what_nobody_has_signed_is_said(world: World, key: SigningKey) -> None:
    world.publish(image(world).candidate)
    assert sum("nobody has signed it" in one for one in checked(world, key).faults) == 2
    found = checked(world)  # without a key, digests alone
    assert found.faults == [] and found.promotions == []


def test_a_signature_is_not_another_image_s(world: World, key: SigningKey) -> None:
    first = released(world, key)
    second = world.publish(image(world, "two").candidate, today=DAY + datetime.timedelta(days=1)).index.digest
    tags = world.server[REPOSITORY].tags
    for kind in (signature_tag, attestation_tag):
        for one, other in ((first, second), (of(world, first), of(world, second))):
            if kind(one) in tags:
                tags[kind(other)] = tags[kind(one)]
    faults = checked(world, key).faults
    assert sum("nobody whose key was given has signed it" in one for one in faults) == 2
    assert sum("speaks of another image" in one for one in faults) == 2


def of(world: World, index: str) -> str:
    return release_of(world, index).images[0].digest


def edited(made: Made, kind: str, *path: str, value: object) -> Made:
    """With something else in one of its claims."""
    claims = []
    for one in made.claims:
        predicate = json.loads(json.dumps(one.predicate))
        if one.predicate_type == kind:
            at = predicate
            for step in path[:-1]:
                at = at[step]
            at[path[-1]] = value
        claims.append(Claim(one.predicate_type, predicate))
    return replace(made, claims=tuple(claims))


BUILD = ("buildDefinition",)


@pytest.mark.parametrize(
    ("kind", "path", "value", "why"),
    [
        (PROVENANCE, (*BUILD, "internalParameters", "lock"), "0" * 64, "its provenance says another lock"),
        (PROVENANCE, (*BUILD, "externalParameters", "variant"), "other", "its provenance says another variant"),
        (PROVENANCE, (*BUILD, "resolvedDependencies"), [], "names other artefacts than its lock"),
        (PROVENANCE, (*BUILD, "buildType"), "https://other.example", "its provenance is none of ours"),
        (CYCLONEDX, ("metadata", "component", "properties"), [], "says another lock"),
        (CYCLONEDX, ("metadata", "component", "properties"),
         [{"name": "dsvm:lock", "value": LOCK.of("docker").digest}, {"name": "dsvm:image", "value": "x"}],
         "is of another image"),
        (CYCLONEDX, ("components",), [{"type": "library", "hashes": [{"content": "0" * 64}]}], "names 1 artefacts"),
        (CYCLONEDX, ("components",), 7, "its bill of materials is none of ours"),
    ],
)  # fmt: skip
def test_what_is_said_of_an_image_has_to_agree_with_it(
    kind: str, path: tuple[str, ...], value: object, why: str, world: World, key: SigningKey
) -> None:
    made = edited(image(world), kind, *path, value=value)
    world.publish(made.candidate, seal=sealer(key, made))
    faults = checked(world, key).faults
    assert faults and any(why in one for one in faults)


@pytest.mark.parametrize("label", ["variant", "lock", "plan"])
def test_an_image_is_what_its_release_says(label: str, world: World, key: SigningKey) -> None:
    made = image(world, **{label: "e" * 64})
    world.publish(made.candidate, seal=sealer(key, made))
    assert any(f"the release says another {label}" in one for one in checked(world, key).faults)


def test_another_lock_beside_the_image_is_said(world: World, key: SigningKey) -> None:
    made = image(world)
    other = LOCK.model_copy(update={"sections": LOCK.sections[:1]})
    attachments = (Attachment("application/vnd.dsvm.lock.v1+json", "lock.json", canonical_json(other).encode()),)
    world.publish(replace(made.candidate, attachments=attachments), seal=sealer(key, made))
    assert any("another lock than that of the image" in one for one in checked(world, key).faults)
    world.publish(replace(made.candidate, attachments=()), seal=sealer(key, made), today=DAY)


def test_a_release_without_its_lock_is_not_whole(world: World, key: SigningKey) -> None:
    made = image(world)
    world.publish(replace(made.candidate, attachments=()), seal=sealer(key, made))
    assert any("its lock is not beside it" in one for one in checked(world, key).faults)


def test_a_registry_that_fails_says_nothing_of_a_release(world: World, key: SigningKey) -> None:
    released(world, key)
    world.server.trouble("GET", "blobs", 403, times=ALWAYS)
    with pytest.raises(RegistryError, match="403") as caught:
        checked(world, key)
    assert not isinstance(caught.value, AlteredError)


def test_what_is_no_release_of_ours_is_said(world: World, key: SigningKey) -> None:
    registry = world.home.registry
    registry.put(ImageIndex(manifests=()), tag="latest")
    assert "it is no release of ours" in checked(world, key).faults[-1]
    assert "it has no nothing" in checked(world, key, what="nothing").faults[0]


def test_signatures_and_attestations_go_with_their_release(world: World, key: SigningKey) -> None:
    released(world, key)
    later = released(world, key, "two", today=DAY + datetime.timedelta(days=1))
    world.home.collect(Keep(1, 0, 0))
    left = {tag for tag in world.server[REPOSITORY].tags if tag.startswith("sha256-")}
    assert left == {signature_tag(later), signature_tag(of(world, later)), attestation_tag(of(world, later))}
    assert checked(world, key).faults == []
