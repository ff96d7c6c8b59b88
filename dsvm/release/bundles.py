"""Signatures by identities, as sigstore's bundles that refer to what is signed: where cosign looks for them.

https://github.com/sigstore/cosign/blob/v3.1.2/specs/BUNDLE_SPEC.md; what a signature says stands in
https://github.com/sigstore/cosign/blob/v3.1.2/cmd/cosign/cli/sign/sign.go
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dsvm.model import AlteredError, Descriptor, Manifest, digest_of_bytes
from dsvm.release.cosign import FileSignature
from dsvm.release.keyless import BUNDLE, Identity, Instance, Signing, UnverifiedError, Verified
from dsvm.release.provenance import statement_about
from dsvm.release.registry import Pulled, Registry, empty_config
from dsvm.release.seals import Claim, bare

SIGNED = "https://sigstore.dev/cosign/sign/v1"  # the predicate of a signature
CONTENT, ENVELOPE = "dev.sigstore.bundle.content", "dsse-envelope"
PREDICATE = "dev.sigstore.bundle.predicateType"
CREATED = "org.opencontainers.image.created"
MOST = 100  # bundles of one document that are looked at


@dataclass(frozen=True)
class Read:
    """A bundle beside a document: its manifest, and the statement that is signed with it, or why none is."""

    manifest: Manifest
    digest: str
    verified: Verified | None
    why: str = ""

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.manifest.annotations or {}


def read_bundles(registry: Registry, digest: str, instance: Instance, identity: Identity) -> list[Read]:
    """The bundles beside a document, compared with their digests; what this identity has signed, the last one last.

    Raises AlteredError where there are more than anybody would want.
    """
    found = []
    for pulled, manifest in _manifests(registry, digest):
        try:
            if len(manifest.layers) != 1 or manifest.layers[0].media_type != BUNDLE:
                raise UnverifiedError("no bundle in it")
            verified = instance.verify(registry.blob(manifest.layers[0]), identity)
            found.append(Read(manifest, pulled.digest, verified))
        except UnverifiedError as error:
            found.append(Read(manifest, pulled.digest, None, str(error)))
    return sorted(found, key=lambda one: one.verified.time.timestamp() if one.verified else 0.0)


def _manifests(registry: Registry, digest: str) -> Iterator[tuple[Pulled, Manifest]]:
    count = 0
    for one in registry.referrers(digest):
        pulled = registry.pull(one.digest)
        if isinstance(pulled.document, Manifest) and pulled.document.artifact_type == BUNDLE:
            count += 1
            if count > MOST:
                raise AlteredError(f"{registry}: {digest}: more than {MOST} signatures refer to it")
            yield pulled, pulled.document


@dataclass(frozen=True)
class IdentitySigner:
    """Signs as whoever runs this."""

    signing: Signing = field(repr=False)

    def sign(self, registry: Registry, document: Descriptor, said: Mapping[str, str] | None = None) -> None:
        """Sign a document, unless the same identity has signed it and said just that."""
        self._state(registry, document, Claim(SIGNED, {}), said)

    def attest(self, registry: Registry, document: Descriptor, claims: Sequence[Claim]) -> None:
        """Say something of a document, unless the same identity has said just that."""
        for one in claims:
            self._state(registry, document, one)

    signature_end: FileSignature = "sigstore.json"

    def signature(self, data: bytes) -> bytes:
        return self.signing.sign_file(data)

    def attestation(self, statement: bytes, predicate_type: str) -> bytes:
        return self.signing.sign(statement)[0]

    def _state(
        self, registry: Registry, document: Descriptor, claim: Claim, said: Mapping[str, str] | None = None
    ) -> None:
        kind, place = claim.predicate_type, registry.reference.place
        text = statement_about(place, document.digest, kind, claim.predicate, said).data
        there = read_bundles(registry, document.digest, self.signing.instance, self.signing.identity)
        if any(one.verified is not None and one.verified.text == text for one in there):
            return
        data, verified = self.signing.sign(text)
        layer = Descriptor(media_type=BUNDLE, digest=digest_of_bytes(data), size=len(data))
        registry.upload(data, layer.digest, layer.size)
        about = {CONTENT: ENVELOPE, PREDICATE: kind, CREATED: f"{verified.time:%Y-%m-%dT%H:%M:%SZ}"}
        config, subject = empty_config(registry), bare(document)
        registry.attach(
            Manifest(artifact_type=BUNDLE, config=config, layers=(layer,), subject=subject, annotations=about)
        )
