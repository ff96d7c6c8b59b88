"""What cosign writes beside an image, byte for byte: signatures, and attestations in DSSE envelopes.

https://github.com/sigstore/cosign/blob/v3.1.2/specs/SIGNATURE_SPEC.md, ATTESTATION_SPEC.md; the order of keys is that
of https://github.com/google/go-containerregistry/blob/v0.20.6/pkg/v1/manifest.go and config.go.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dsvm.model import Descriptor, Manifest, digest_of_bytes, read_document
from dsvm.release.keys import PublicKey, SigningKey

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
PREDICATE = "predicateType"
SIGNATURE_ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"  # as a referrer
KIND = "cosign container image signature"
NEVER = "0001-01-01T00:00:00Z"  # the time zero of Go


def signature_tag(digest: str) -> str:
    """The tag under which the signatures of a document stand in its repository."""
    return f"{digest.replace(':', '-')}.sig"


def attestation_tag(digest: str) -> str:
    """The tag under which the attestations of a document stand in its repository."""
    return f"{digest.replace(':', '-')}.att"


@dataclass(frozen=True)
class Layer:
    """A signature or an attestation: a blob, and what its descriptor says of it."""

    media_type: str
    data: bytes = field(repr=False)
    annotations: Mapping[str, str]

    @property
    def digest(self) -> str:
        return digest_of_bytes(self.data)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(
            media_type=self.media_type, digest=self.digest, size=len(self.data), annotations=dict(self.annotations)
        )

    @property
    def written(self) -> dict[str, Any]:
        """In the order of keys that cosign has."""
        annotations = {key: self.annotations[key] for key in sorted(self.annotations)}
        said = {"mediaType": self.media_type, "size": len(self.data), "digest": self.digest}
        return said | ({"annotations": annotations} if annotations else {})


@dataclass(frozen=True)
class Collection:
    """All signatures, or all attestations, of one document, as one image of a registry."""

    layers: tuple[Layer, ...]

    @property
    def config(self) -> bytes:
        return _json(
            {
                "architecture": "",
                "created": NEVER,
                "history": [{"created": NEVER} for _ in self.layers],
                "os": "",
                "rootfs": {"type": "layers", "diff_ids": [one.digest for one in self.layers]},
                "config": {},
            }
        )

    @property
    def data(self) -> bytes:
        """The bytes of its manifest."""
        config = self.config
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": CONFIG, "size": len(config), "digest": digest_of_bytes(config)},
                "layers": [one.written for one in self.layers],
            }
        )

    @property
    def manifest(self) -> Manifest:
        found = read_document(self.data)
        assert isinstance(found, Manifest)  # noqa: S101 - as it was written
        return found


# --- signatures --------------------------------------------------------------------------------------------


def payload(place: str, digest: str, claims: Mapping[str, object] | None = None) -> bytes:
    """What is signed of a document in HOST/REPOSITORY; `claims` are its signer's own words."""
    host, _, repository = place.partition("/")
    return _json(
        {
            "critical": {
                "identity": {"docker-reference": f"{'index.docker.io' if host == 'docker.io' else host}/{repository}"},
                "image": {"docker-manifest-digest": digest},
                "type": KIND,
            },
            "optional": claims,
        }
    )


def signature(data: bytes, key: SigningKey) -> Layer:
    """A payload, signed."""
    return Layer(SIMPLE_SIGNING, data, {SIGNATURE: base64.b64encode(key.sign(data)).decode()})


def signed_digest(layer: Layer, keys: Iterable[PublicKey]) -> str | None:
    """The digest that one of the keys' owners has signed with this layer; None where none of them has signed it."""
    made = _decoded(layer.annotations.get(SIGNATURE, ""))
    if layer.media_type != SIMPLE_SIGNING or made is None or not any(key.verifies(made, layer.data) for key in keys):
        return None
    try:
        said = json.loads(layer.data)["critical"]
        digest = said["image"]["docker-manifest-digest"]
        return digest if said["type"] == KIND and isinstance(digest, str) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


# --- attestations ------------------------------------------------------------------------------------------


def attestation(statement: bytes, predicate_type: str, key: SigningKey) -> Layer:
    """An in-toto statement in a signed envelope: https://github.com/secure-systems-lab/dsse/blob/v1.0.2/envelope.md"""
    made = key.sign(_authentic(IN_TOTO, statement))
    envelope = {
        "payloadType": IN_TOTO,
        "payload": base64.b64encode(statement).decode(),
        "signatures": [{"keyid": "", "sig": base64.b64encode(made).decode()}],
    }
    return Layer(ENVELOPE, _json(envelope), {SIGNATURE: "", PREDICATE: predicate_type})


def attested(envelope: bytes, keys: Iterable[PublicKey]) -> bytes | None:
    """The statement in an envelope that one of the keys' owners has signed; None where none of them has."""
    text, made = _opened(envelope)
    if text is None:
        return None
    data, keys = _authentic(IN_TOTO, text), tuple(keys)
    good = any(key.verifies(one, data) for one in made[:100] for key in keys)
    return text if good else None


def claimed(envelope: bytes) -> bytes | None:
    """The statement in an envelope, or in a bundle of sigstore's, whoever has signed that; None where it is neither."""
    try:
        inner = json.loads(envelope)["dsseEnvelope"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return _opened(envelope)[0]
    return _opened(json.dumps(inner).encode())[0]


def _opened(envelope: bytes) -> tuple[bytes | None, list[bytes]]:
    """The statement in an envelope, and the signatures beside it."""
    try:
        said = json.loads(envelope)
        kind, text = said["payloadType"], _decoded(said["payload"])
        made = [_decoded(one["sig"]) for one in said["signatures"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, []
    return (text if kind == IN_TOTO else None), [one for one in made if one is not None]


# The end of the name of what stands beside a signed file: a key's signature, or a bundle of sigstore's
FileSignature = Literal["sig", "sigstore.json"]


def signed_text(data: bytes, key: SigningKey) -> bytes:
    """The signature of a file, as `cosign sign-blob` writes it."""
    return base64.b64encode(key.sign(data))


def signed_by(signature: bytes, data: bytes, keys: Iterable[PublicKey]) -> bool:
    """Whether one of the keys' owners has signed a file; a signature has one form, and no other byte."""
    made = _decoded(signature.decode("ascii", "replace"))
    if made is None or base64.b64encode(made) != signature:
        return False
    return any(key.verifies(made, data) for key in keys)


def _authentic(kind: str, text: bytes) -> bytes:
    """What of an envelope is signed."""
    from securesystemslib.dsse import Envelope

    return Envelope(text, kind, {}).pae()


def _json(value: object) -> bytes:
    """As Go's encoding/json writes it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for one in "<>&\u2028\u2029":
        text = text.replace(one, f"\\u{ord(one):04x}")
    return text.encode()


def _decoded(text: object) -> bytes | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
