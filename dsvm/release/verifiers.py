"""Who may have signed: the owners of keys, or an identity; and what they say of a document of a registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dsvm.release.bundles import CONTENT, PREDICATE, SIGNED, Read, read_bundles
from dsvm.release.bundles import ENVELOPE as DSSE
from dsvm.release.cosign import ENVELOPE, SIGNATURE, Collection, FileSignature, attested, signed_by
from dsvm.release.cosign import PREDICATE as PREDICATE_OF_LAYER
from dsvm.release.keyless import Identity, Instance, UnverifiedError
from dsvm.release.keys import PublicKey
from dsvm.release.provenance import BUILD_TYPE, PROVENANCE, Statement
from dsvm.release.registry import Registry
from dsvm.release.seals import signed_claims

MOST_REASONS = 3


@dataclass
class Heard:
    """What is said of a document: when signing it, the last one last; attested; and what of that is wrong."""

    signatures: list[dict[str, str]] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    # whether somebody has signed it, whoever that is; and why theirs is not good, as far as that is known
    anybody: bool = False
    why: str = ""

    def read(self, text: bytes, digest: str, wanted: Callable[[str], bool] = lambda kind: True) -> Statement | None:
        """A statement that was signed, when it is one and of this document, and of a kind that is asked for."""
        try:
            found = Statement.of(text)
        except ValueError as error:
            self.faults.append(f"what is attested of it is no statement: {error}")
            return None
        if not wanted(found.predicate_type):
            return None
        if not found.speaks_of(digest):
            self.faults.append(f"what is attested of it ({found.predicate_type}) speaks of another image")
            return None
        return found

    def altered(self, statement: Statement) -> None:
        """Nobody has signed what stands around a statement, and it says something else."""
        self.faults.append(f"what is attested of it ({statement.predicate_type}) is altered around its envelope")


class Verifier(Protocol):
    """Tells what is said of a document by whom it should be; it gets cosign's own documents beside that, if any."""

    @property
    def whose(self) -> str:
        """Nobody WHOSE has signed it."""
        ...

    def signatures(self, registry: Registry, digest: str, signed: Collection | None) -> Heard:
        """What was said when it was signed."""
        ...

    def statements(self, registry: Registry, digest: str, attestations: Collection | None) -> Heard:
        """What is attested of it."""
        ...

    @property
    def signature_end(self) -> FileSignature:
        """How the name of a signature beside a file ends."""
        ...

    def refusal(self, data: bytes, signature: bytes) -> str:
        """Why a signature of a file with this content is not good; "" where it is."""
        ...

    def attested(self, envelope: bytes) -> bytes | None:
        """The statement in a file that was signed; None where none is."""
        ...


@dataclass(frozen=True)
class KeyVerifier:
    """For the owners of keys."""

    keys: Sequence[PublicKey]
    whose = "whose key was given"

    def signatures(self, registry: Registry, digest: str, signed: Collection | None) -> Heard:
        said = signed_claims(signed, digest, self.keys) if signed is not None else []
        return Heard(signatures=said, anybody=signed is not None)

    def statements(self, registry: Registry, digest: str, attestations: Collection | None) -> Heard:
        heard = Heard()
        for one in attestations.layers if attestations is not None else ():
            text = attested(one.data, self.keys)
            found = heard.read(text, digest) if text is not None else None
            if found is None:
                continue
            around = {SIGNATURE: "", PREDICATE_OF_LAYER: found.predicate_type}
            if one.media_type != ENVELOPE or not around.items() <= one.annotations.items():
                heard.altered(found)
                continue
            heard.statements.append(found)
        return heard

    signature_end: FileSignature = "sig"

    def refusal(self, data: bytes, signature: bytes) -> str:
        return "" if signed_by(signature, data, self.keys) else "its signature is of another key, or another file"

    def attested(self, envelope: bytes) -> bytes | None:
        return attested(envelope, self.keys)


@dataclass(frozen=True)
class IdentityVerifier:
    """For an identity, as an instance of sigstore knows it."""

    instance: Instance
    identity: Identity
    # by digest: what is read of one document serves both questions
    _known: dict[str, list[Read]] = field(default_factory=dict, repr=False)
    whose = "of that identity"

    def signatures(self, registry: Registry, digest: str, signed: Collection | None) -> Heard:
        heard = self._heard(registry, digest, lambda kind: kind == SIGNED)
        heard.signatures = [_notes(one, digest) for one in heard.statements]
        return heard

    def statements(self, registry: Registry, digest: str, attestations: Collection | None) -> Heard:
        heard = self._heard(registry, digest, lambda kind: kind != SIGNED)
        # continuous integration may say where an image comes from as well, in its own words
        if any(_is_ours(one) for one in heard.statements):
            heard.statements = [one for one in heard.statements if one.predicate_type != PROVENANCE or _is_ours(one)]
        return heard

    signature_end: FileSignature = "sigstore.json"

    def refusal(self, data: bytes, signature: bytes) -> str:
        try:
            self.instance.verify_file(signature, data, self.identity)
        except UnverifiedError as error:
            return str(error)
        return ""

    def attested(self, envelope: bytes) -> bytes | None:
        try:
            return self.instance.verify(envelope, self.identity).text
        except UnverifiedError:
            return None

    def _heard(self, registry: Registry, digest: str, wanted: Callable[[str], bool]) -> Heard:
        if digest not in self._known:
            self._known[digest] = read_bundles(registry, digest, self.instance, self.identity)
        heard, refused = Heard(anybody=bool(self._known[digest])), []
        for one in self._known[digest]:
            if one.verified is None:
                refused.append(f"{one.digest[:19]}: {one.why}")
            elif (found := heard.read(one.verified.text, digest, wanted)) is not None:
                around, subject = {CONTENT: DSSE, PREDICATE: found.predicate_type}, one.manifest.subject
                if subject is None or subject.digest != digest or not around.items() <= one.annotations.items():
                    heard.altered(found)
                else:
                    heard.statements.append(found)
        heard.why = "; ".join(refused[:MOST_REASONS])
        return heard


def _is_ours(statement: Statement) -> bool:
    """Whether it is provenance, in our words."""
    said = statement.predicate.get("buildDefinition")
    return statement.predicate_type == PROVENANCE and isinstance(said, dict) and said.get("buildType") == BUILD_TYPE


def _notes(statement: Statement, digest: str) -> dict[str, str]:
    """The annotations of a document in a statement of it."""
    found = (one.annotations or {} for one in statement.subject if f"sha256:{one.digest.get('sha256')}" == digest)
    return {key: value for one in found for key, value in one.items() if isinstance(value, str)}
