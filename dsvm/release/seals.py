"""Signs releases, and what is said of their images, and leaves that where cosign and others look for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dsvm.model import (
    KEY,
    AlteredError,
    Descriptor,
    ImageIndex,
    Manifest,
    RegistryError,
    Release,
    digest_of_bytes,
)
from dsvm.release.cosign import (
    IN_TOTO,
    PREDICATE,
    SIGNATURE_ARTIFACT,
    Collection,
    FileSignature,
    Layer,
    attestation,
    attestation_tag,
    attested,
    payload,
    signature,
    signature_tag,
    signed_digest,
    signed_text,
)
from dsvm.release.keys import PublicKey, SigningKey
from dsvm.release.provenance import PROVENANCE, statement_about
from dsvm.release.registry import TRIES, Registry, empty_config
from dsvm.release.surroundings import Surroundings

# What the signature of a release says beside its digest
BY, RUN, RELEASE, CHANNELS = (f"{KEY}.{one}" for one in ("by", "run", "release", "channels"))


@dataclass(frozen=True)
class Claim:
    """Something that is said of an image, whatever its digest."""

    predicate_type: str
    predicate: Mapping[str, Any] = field(repr=False)


class Signer(Protocol):
    """Signs documents of a registry, and leaves that beside them. What is signed so already is not signed again."""

    def sign(self, registry: Registry, document: Descriptor, said: Mapping[str, str] | None = None) -> None:
        """Sign a document, and say something of one's own."""
        ...

    def attest(self, registry: Registry, document: Descriptor, claims: Sequence[Claim]) -> None:
        """Say something of a document, signed."""
        ...

    @property
    def signature_end(self) -> FileSignature:
        """How the name of a signature beside a file ends."""
        ...

    def signature(self, data: bytes) -> bytes:
        """What stands beside a file with this content, as `cosign sign-blob` writes it."""
        ...

    def attestation(self, statement: bytes, predicate_type: str) -> bytes:
        """An in-toto statement, signed, as a file."""
        ...


@dataclass(frozen=True)
class KeySigner:
    """Signs with a key, as cosign does."""

    key: SigningKey

    def sign(self, registry: Registry, document: Descriptor, said: Mapping[str, str] | None = None) -> None:
        sign(registry, document, self.key, said)

    def attest(self, registry: Registry, document: Descriptor, claims: Sequence[Claim]) -> None:
        attest(registry, document, claims, self.key)

    signature_end: FileSignature = "sig"

    def signature(self, data: bytes) -> bytes:
        return signed_text(data, self.key)

    def attestation(self, statement: bytes, predicate_type: str) -> bytes:
        return attestation(statement, predicate_type, self.key).data


@dataclass(frozen=True)
class Sealer:
    """Signs images and their release; `claims` are what is attested of each variant's.

    Without a signer nothing is signed, and where images come from stands beside them all the same.
    """

    signer: Signer | None
    claims: Mapping[str, Sequence[Claim]]
    around: Surroundings = field(default_factory=Surroundings)
    channels: Sequence[str] = ()
    note: Callable[[str], None] = field(default=lambda line: None, repr=False)

    def __call__(self, registry: Registry, documents: Sequence[Descriptor]) -> None:
        """Seal all: images, and the index of their release last. What is sealed so already stays as it is."""
        *images, last = documents
        release = _release(registry, last.digest)
        variants = {one.digest: one.variant for one in release.images}
        for one in images:
            claims = self.claims.get(variants[one.digest], ())
            if self.signer is None:
                state(registry, one, [claim for claim in claims if claim.predicate_type == PROVENANCE])
            else:
                self.note(f"release: {variants[one.digest]}: signing")
                self.signer.attest(registry, one, claims)
                self.signer.sign(registry, one)
        if self.signer is not None:
            self.signer.sign(registry, last, _said(release, self.around, self.channels))


def sign_promotion(
    registry: Registry, index: Descriptor, signer: Signer, around: Surroundings, channels: Sequence[str]
) -> None:
    """Sign that a release is to be named by `channels`."""
    signer.sign(registry, index, _said(_release(registry, index.digest), around, channels))


def _said(release: Release, around: Surroundings, channels: Sequence[str]) -> dict[str, str]:
    said = {BY: around.who, CHANNELS: " ".join(channels), RELEASE: release.name, RUN: around.invocation}
    return {key: value for key, value in said.items() if value}


def _release(registry: Registry, digest: str) -> Release:
    index = registry.pull(digest).document
    if not isinstance(index, ImageIndex):
        raise RegistryError(f"{registry}: {digest} is no release")
    return Release.of(index)


def state(registry: Registry, document: Descriptor, claims: Sequence[Claim]) -> None:
    """Say something of a document, unsigned, to those who ask for its referrers."""
    config = empty_config(registry)
    for one in claims:
        text = statement_about(registry.reference.place, document.digest, one.predicate_type, one.predicate).data
        layer = Descriptor(media_type=IN_TOTO, digest=digest_of_bytes(text), size=len(text))
        registry.upload(text, layer.digest, layer.size)
        registry.attach(_artifact(config, layer, one.predicate_type, document))


def _artifact(config: Descriptor, layer: Descriptor, predicate_type: str, document: Descriptor) -> Manifest:
    return Manifest(
        artifact_type=IN_TOTO,
        config=config,
        layers=(layer,),
        subject=bare(document),
        annotations={"in-toto.io/predicate-type": predicate_type},
    )


def sign(registry: Registry, document: Descriptor, key: SigningKey, claims: Mapping[str, object] | None = None) -> None:
    """Sign a document, unless this key has signed it and said just that."""
    wanted = payload(registry.reference.place, document.digest, claims)

    def added(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        made = [one for one in layers if one.data == wanted and signed_digest(one, [key.public]) is not None]
        return layers if made else (*layers, signature(wanted, key))

    kept = _change(registry, signature_tag(document.digest), added)
    ours = Collection(tuple(one for one in kept.layers if signed_digest(one, [key.public]) is not None))
    registry.upload(ours.config, ours.manifest.config.digest, len(ours.config))
    config = ours.manifest.config.model_copy(update={"media_type": SIGNATURE_ARTIFACT})
    registry.attach(
        Manifest(artifact_type=SIGNATURE_ARTIFACT, config=config, layers=ours.manifest.layers, subject=bare(document))
    )


def attest(registry: Registry, document: Descriptor, claims: Sequence[Claim], key: SigningKey) -> None:
    """Say something of a document; what this key said before about the same is replaced."""
    place, wanted = registry.reference.place, []
    said = {one.predicate_type: one.predicate for one in claims}
    for kind, predicate in said.items():
        wanted.append((kind, statement_about(place, document.digest, kind, predicate).data))
    if not wanted:
        return

    def changed(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        ours = {one.digest: text for one in layers if (text := attested(one.data, [key.public])) is not None}
        kept = [one for one in layers if one.digest not in ours or one.annotations.get(PREDICATE) not in said]
        same = [one for one in layers if one not in kept and ours[one.digest] in [text for _, text in wanted]]
        there = {ours[one.digest] for one in same}
        made = [attestation(text, kind, key) for kind, text in wanted if text not in there]
        return layers if not made and [*kept, *same] == [*layers] else (*kept, *same, *made)

    config = empty_config(registry)
    for one in _change(registry, attestation_tag(document.digest), changed).layers:
        if one.annotations.get(PREDICATE) in said and attested(one.data, [key.public]) is not None:
            registry.attach(_artifact(config, one.descriptor, one.annotations[PREDICATE], document))


def read_collection(registry: Registry, tag: str) -> Collection | None:
    """The signatures or attestations under a tag, all compared with their digests; None where there are none.

    Raises AlteredError where they are not as cosign writes them, byte for byte.
    """
    found = registry.find(tag)
    if found is None:
        return None
    if not isinstance(found.document, Manifest):
        raise AlteredError(f"{registry}: {tag}: a list of images, and no signatures")
    layers = tuple(
        Layer(one.media_type, registry.blob(one), dict(one.annotations or {})) for one in found.document.layers
    )
    read = Collection(layers)
    if read.data != found.data:
        raise AlteredError(f"{registry}: {tag}: altered: cosign would write it otherwise")
    if registry.blob(found.document.config) != read.config:
        raise AlteredError(f"{registry}: {tag}: its {found.document.config.digest} is altered")
    return read


def _change(registry: Registry, tag: str, change: Callable[[tuple[Layer, ...]], tuple[Layer, ...]]) -> Collection:
    """What stands under a tag after a change of it; others may do so at the same time."""
    for _ in range(TRIES):
        before = read_collection(registry, tag)
        after = Collection(change(before.layers if before is not None else ()))
        if before == after:
            return after
        for one in after.layers:
            registry.upload(one.data, one.digest, len(one.data))
        registry.upload(after.config, after.manifest.config.digest, len(after.config))
        wanted = registry.put(after.manifest, after.data, tag=tag)
        if registry.digest_of(tag) == wanted.digest:
            return after
    raise RegistryError(f"{registry}: {tag}: somebody else writes it all the time", hint="Run it again")


def bare(document: Descriptor) -> Descriptor:
    """A document as others name it that refer to it."""
    return Descriptor(media_type=document.media_type, digest=document.digest, size=document.size)


def signed_claims(collection: Collection, digest: str, keys: Sequence[PublicKey]) -> list[dict[str, str]]:
    """What the owners of `keys` said when they signed a document, the last one last; none where none has signed it."""
    found = []
    for one in collection.layers:
        if signed_digest(one, keys) == digest:
            said = json.loads(one.data).get("optional") or {}
            known = said if isinstance(said, dict) else {}
            found.append({key: value for key, value in known.items() if isinstance(value, str)})
    return found
