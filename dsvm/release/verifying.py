"""Is a release what was published? Every digest of it, its signatures, and what is attested of its images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from dsvm.model import KEY, AlteredError, Descriptor, ImageIndex, Lock, Manifest, RegistryError, Release, ReleasedImage
from dsvm.release import agreement
from dsvm.release.agreement import Thing
from dsvm.release.cosign import attestation_tag, signature_tag
from dsvm.release.provenance import CYCLONEDX, PROVENANCE
from dsvm.release.registry import AT_ONCE, Pulled, Registry
from dsvm.release.seals import BY, CHANNELS, RUN, read_collection
from dsvm.release.verifiers import Verifier

LOCK_TYPE = "application/vnd.dsvm.lock.v1+json"  # artifactType of an attached lock
MOST_REFERRERS = 1000


@dataclass(frozen=True)
class CheckedImage:
    """What was found out about one image."""

    variant: str
    digest: str
    # bytes and blobs that were read
    size: int
    blobs: int
    lock: str = ""
    # components of its bill; None where none is attested
    components: int | None = None
    # artefacts that its provenance names
    artefacts: int | None = None
    builder: str = ""


@dataclass(frozen=True)
class Promotion:
    """Who has a release named, by what, and by which run, as far as that was said and signed."""

    who: str
    channels: str
    run: str


@dataclass
class Checked:
    """What was found out about a release, or about one image: it is good where there are no faults."""

    what: str
    digest: str = ""
    release: str = ""
    # what its signatures say, in the order in which they came: who released it to which channels, by which run
    promotions: list[Promotion] = field(default_factory=list)
    images: list[CheckedImage] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Go on after what is altered or missing: all of it is said. A registry that fails is another matter."""
        try:
            yield
        except RegistryError as error:
            if not (isinstance(error, AlteredError) or error.status == 404):
                raise
            self.faults.append(error.message)


def verify(
    registry: Registry,
    what: str,
    verifier: Verifier | None,
    *,
    on_bytes: Callable[[int], None] = lambda count: None,
    note: Callable[[str], None] = lambda line: None,
) -> Checked:
    """Check the release, or the image, with that tag or digest; without a verifier, no signature is looked for.

    Blobs are read to their end and kept nowhere. Raises RegistryError where the registry fails.
    """
    checking = _Checking(registry, verifier, on_bytes, note, Checked(f"{registry.reference.at(what)}"))
    with checking.result.noting():
        checking.all_of(registry.pull(what))
    return checking.result


@dataclass
class _Checking:
    registry: Registry
    verifier: Verifier | None
    on_bytes: Callable[[int], None]
    note: Callable[[str], None]
    result: Checked

    def fault(self, what: str, why: str) -> None:
        self.result.faults.append(f"{self.registry}: {what}: {why}")

    def all_of(self, pulled: Pulled) -> None:
        self.result.digest = pulled.digest
        for said in self.signed(pulled.digest):
            promotion = Promotion(said.get(BY, ""), said.get(CHANNELS, ""), said.get(RUN, ""))
            if isinstance(pulled.document, ImageIndex):
                self.result.promotions.append(promotion)
        if not isinstance(pulled.document, ImageIndex):
            self.image(pulled, None)
            return
        try:
            release = Release.of(pulled.document)
        except ValueError as error:
            raise AlteredError(f"{self.registry}: {pulled.digest}: {error}") from error
        self.result.release = release.name
        self.referrers(pulled.digest)
        for one in release.images:
            with self.result.noting():
                self.signed(one.digest)
            with self.result.noting():
                self.image(self.registry.pull(one.digest), one)

    def signed(self, digest: str) -> list[dict[str, str]]:
        """What those who should have signed a document have said then."""
        found = read_collection(self.registry, signature_tag(digest))
        if self.verifier is None:
            return []
        heard = self.verifier.signatures(self.registry, digest, found)
        for why in heard.faults:
            self.fault(digest, why)
        if not heard.signatures:
            why = f"nobody {self.verifier.whose} has signed it" if heard.anybody else "nobody has signed it"
            self.fault(digest, f"{why} ({heard.why})" if heard.why else why)
        return heard.signatures

    def image(self, pulled: Pulled, entry: ReleasedImage | None) -> None:
        """One image: all its blobs, what belongs to it, and whether what is said of it agrees."""
        if not isinstance(pulled.document, Manifest):
            raise AlteredError(f"{self.registry}: {pulled.digest}: a list of images, and no image")
        if entry is not None:
            self.note(f"verify: {entry.variant}: reading {sum(one.size for one in pulled.document.blobs) / 1e6:.0f} MB")
        self.blobs(pulled.document.blobs)
        labels: dict[str, str] = {}
        with self.result.noting():
            labels = _labels(self.registry.blob(pulled.document.config))
        lock = labels.get(f"{KEY}.lock", "")
        found = CheckedImage(
            variant=entry.variant if entry is not None else labels.get(f"{KEY}.variant", ""),
            digest=pulled.digest,
            size=sum(one.size for one in pulled.document.blobs),
            blobs=len(pulled.document.blobs),
            lock=lock,
        )
        if entry is not None:
            for name, said in (("variant", entry.variant), ("lock", entry.lock), ("plan", entry.plan)):
                if labels.get(f"{KEY}.{name}", "") != said:
                    self.fault(pulled.digest, f"the release says another {name} than the image itself")
        attached = self.referrers(pulled.digest)
        self.result.images.append(found)
        with self.result.noting():
            self.result.images[-1] = self.attestations(found, pulled, attached.get(LOCK_TYPE))

    def blobs(self, blobs: Sequence[Descriptor]) -> None:
        def check(one: Descriptor) -> None:
            with self.result.noting():
                self.registry.check_blob(one, self.on_bytes)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(check, blobs))

    def referrers(self, digest: str) -> dict[str, Descriptor]:
        """Compare all that refers to a document; artifactType -> its one blob, of what has one."""
        found: dict[str, Descriptor] = {}
        with self.result.noting():
            for one in self.registry.referrers(digest)[:MOST_REFERRERS]:
                with self.result.noting():
                    pulled = self.registry.pull(one.digest)
                    if isinstance(pulled.document, Manifest):
                        self.blobs(pulled.document.blobs)
                        if len(pulled.document.layers) == 1:
                            found[pulled.document.artifact_type or ""] = pulled.document.layers[0]
        return found

    # --- what is said of an image -------------------------------------------------------------------------

    def attestations(self, image: CheckedImage, pulled: Pulled, lock: Descriptor | None) -> CheckedImage:
        collection = read_collection(self.registry, attestation_tag(pulled.digest))
        if self.verifier is None:
            return image
        heard = self.verifier.statements(self.registry, pulled.digest, collection)
        for why in heard.faults:
            self.fault(pulled.digest, why)
        said = {one.predicate_type: one.predicate for one in heard.statements}
        for kind, name in ((PROVENANCE, "provenance"), (CYCLONEDX, "bill of materials")):
            if kind not in said:
                why = f" ({heard.why})" if heard.why else ""
                self.fault(pulled.digest, f"nobody {self.verifier.whose} says its {name}{why}")
        own = (pulled.digest, pulled.document.config.digest if isinstance(pulled.document, Manifest) else "")
        thing, fault = Thing(image.variant, "docker", image.lock, own), partial(self.fault, pulled.digest)
        locked = self._lock(lock, thing) if lock is not None else None
        if lock is None and self.result.release:
            fault("its lock is not beside it")
        if PROVENANCE in said:
            found = agreement.read_provenance(said[PROVENANCE], thing, locked, fault)
            if found is not None:
                image = replace(image, artefacts=len(found.artefacts), builder=found.run_details.builder.id)
        if CYCLONEDX in said:
            image = replace(image, components=agreement.components_of(said[CYCLONEDX], thing, locked, fault))
        return image

    def _lock(self, lock: Descriptor, thing: Thing) -> Lock | None:
        """The attached lock, when it is the one that the image was built from."""
        return agreement.read_lock(self.registry.blob(lock), thing, partial(self.fault, lock.digest))


def _labels(config: bytes) -> dict[str, str]:
    try:
        found = json.loads(config)["config"].get("Labels") or {}
        return {key: value for key, value in found.items() if isinstance(value, str)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
