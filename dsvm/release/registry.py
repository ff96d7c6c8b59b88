"""What a registry can do for one repository: documents, blobs, tags and what refers to what.

Containers' URLs are those of `oras`. The rest of that library takes a blob into memory whole, answers no Basic
challenge beside a token's, sends its login wherever an upload is to go, and checks no digest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from dsvm.host import Host
from dsvm.model import (
    DOCKER_IMAGE,
    DOCKER_INDEX,
    EMPTY,
    IMAGE,
    INDEX,
    MOST_MANIFEST,
    AlteredError,
    Descriptor,
    ImageIndex,
    Manifest,
    RegistryError,
    described,
    digest_of_bytes,
    read_document,
)
from dsvm.release.references import TAG, Reference
from dsvm.release.wire import SECONDS, Wire, paced

if TYPE_CHECKING:
    from oras.container import Container

ACCEPTED = ", ".join((IMAGE, INDEX, DOCKER_IMAGE, DOCKER_INDEX))
CHUNK = 1 << 20
MOST_SMALL = 256 << 20  # bytes of a blob that is read into memory: the largest bill has a tenth
MOST_TAGS = 100_000
MOST_PAGES = 1000
TRIES = 5  # at an index that somebody else writes as well
AT_ONCE = 4  # blobs that are read or sent at a time


@dataclass(frozen=True)
class Pulled:
    """A document as a registry handed it out: `data` has the digest of `descriptor`."""

    descriptor: Descriptor
    data: bytes = field(repr=False)
    document: Manifest | ImageIndex = field(repr=False)

    @property
    def digest(self) -> str:
        return self.descriptor.digest


@dataclass(frozen=True)
class Registry:
    """One repository of a registry. Every method raises RegistryError when that does not do its part."""

    reference: Reference
    host: Host = field(default_factory=Host.detect, repr=False)
    seconds: float = SECONDS

    @classmethod
    def of(cls, text: str, host: Host | None = None) -> Registry:
        """HOST/REPOSITORY. Raises InputError."""
        return cls(Reference.of(text), host or Host.detect())

    @cached_property
    def wire(self) -> Wire:
        return Wire(self.reference, self.host, self.seconds)

    @cached_property
    def _container(self) -> Container:
        from oras.container import Container

        return Container(self.reference.place)

    def __str__(self) -> str:
        return self.reference.place

    # --- documents ----------------------------------------------------------------------------------------

    def find(self, what: str) -> Pulled | None:
        """The document of a tag or a digest; None where there is none."""
        url = _path(self._container.manifest_url(what))
        answer = self.wire.ask(
            "GET", url, f"reading {what}", headers={"Accept": ACCEPTED}, good=(200, 404), most=MOST_MANIFEST
        )
        if answer.status == 404:
            return None
        digest = digest_of_bytes(answer.data)
        if ":" in what and digest != what:
            raise AlteredError(f"{self}: reading {what}: what it hands out is another document, {digest}")
        try:
            document = read_document(answer.data, answer.headers.get("content-type", ""))
        except ValueError as error:
            raise AlteredError(f"{self}: reading {what}: {error}") from error
        return Pulled(described(document, answer.data), answer.data, document)

    def pull(self, what: str) -> Pulled:
        """The document of a tag or a digest, which has to be there."""
        if (found := self.find(what)) is None:
            raise RegistryError(f"{self}: it has no {what}", hint="What it has: see the tags there", status=404)
        return found

    def image(self, what: str) -> tuple[Pulled, Manifest]:
        """The manifest of a tag or a digest. Raises RegistryError for an index."""
        found = self.pull(what)
        if not isinstance(found.document, Manifest):
            raise RegistryError(f"{self}: {what} is a list of images, and no image")
        return found, found.document

    def digest_of(self, tag: str) -> str | None:
        """The digest that a tag has now; None where there is none."""
        found = self.find(tag)
        return found.digest if found is not None else None

    def put(self, document: Manifest | ImageIndex, data: bytes | None = None, *, tag: str = "") -> Descriptor:
        """Write a document under its digest, or under a tag; `data` are its bytes where they are not our own."""
        descriptor, _ = self._put(document, data, tag=tag)
        return descriptor

    def _put(
        self, document: Manifest | ImageIndex, data: bytes | None = None, *, tag: str = ""
    ) -> tuple[Descriptor, Mapping[str, str]]:
        data = document.data if data is None else data
        descriptor = described(document, data)
        answer = self.wire.ask(
            "PUT",
            _path(self._container.manifest_url(tag or descriptor.digest)),
            f"writing {tag or descriptor.digest}",
            headers={"Content-Type": descriptor.media_type},
            content=data,
            good=(200, 201, 202),
        )
        said = answer.headers.get("docker-content-digest", descriptor.digest)
        if said != descriptor.digest:
            raise RegistryError(f"{self}: writing {tag or descriptor.digest}: it has kept another document, {said}")
        return descriptor, answer.headers

    def tag(self, digest: str, tag: str) -> None:
        """Have a tag name a document that is there."""
        there = self.pull(digest)
        self.put(there.document, there.data, tag=tag)

    def delete(self, digest: str) -> bool:
        """Take a document away, and its tags with it; whether it was there."""
        url = _path(self._container.manifest_url(digest))
        answer = self.wire.ask("DELETE", url, f"deleting {digest}", good=(200, 202, 204, 404, 405))
        if answer.status == 405:
            hint = "Whoever runs it has to allow that: storage.delete.enabled in the configuration of Distribution's"
            raise RegistryError(f"{self}: deleting {digest}: it deletes nothing", hint=hint, status=405)
        return answer.status != 404

    def tags(self) -> list[str]:
        """All tags, sorted; none where there is no repository yet."""
        found: set[str] = set()
        url = _path(self._container.tags_url(N=1000))
        for _ in range(MOST_PAGES):
            answer = self.wire.ask("GET", url, "listing tags", good=(200, 404), most=MOST_MANIFEST)
            if answer.status == 404:
                break
            found |= set(_tags_of(answer.data, self))
            if len(found) > MOST_TAGS:
                raise RegistryError(f"{self}: more than {MOST_TAGS} tags")
            if (following := _next_page(url, answer.headers.get("link", ""))) is None:
                break
            url = following
        return sorted(found)

    # --- blobs --------------------------------------------------------------------------------------------

    def has_blob(self, digest: str, size: int) -> bool:
        """Whether a blob of that size is there."""
        url = _path(self._container.get_blob_url(digest))
        answer = self.wire.ask("HEAD", url, f"looking for {digest}", good=(200, 404))
        if answer.status == 404:
            return False
        said = answer.headers.get("content-length", "")
        if said and said != str(size):
            raise AlteredError(f"{self}: {digest} has {said} bytes there instead of {size}")
        return True

    def blob(self, wanted: Descriptor) -> bytes:
        """A small blob, compared with its descriptor."""
        if wanted.size > MOST_SMALL:
            raise RegistryError(f"{self}: {wanted.digest} has {wanted.size} bytes: more than fit into memory")
        data: list[bytes] = []
        self._read(wanted, data.append, restart=data.clear)
        return b"".join(data)

    def check_blob(self, wanted: Descriptor, on_bytes: Callable[[int], None] = lambda count: None) -> None:
        """Read a blob to its end and compare it with its descriptor."""
        seen = 0

        def note(chunk: bytes) -> None:
            nonlocal seen
            seen += len(chunk)
            on_bytes(len(chunk))

        def restart() -> None:
            nonlocal seen
            on_bytes(-seen)
            seen = 0

        self._read(wanted, note, restart=restart)

    def _read(self, wanted: Descriptor, take: Callable[[bytes], object], *, restart: Callable[[], object]) -> None:
        url, what = _path(self._container.get_blob_url(wanted.digest)), f"reading {wanted.digest}"

        def once() -> None:
            restart()
            digest, size = hashlib.sha256(), 0
            with self.wire.answer("GET", url, what) as answer:
                for chunk in paced(answer.iter_raw(CHUNK), self.wire.patience):
                    digest.update(chunk)
                    size += len(chunk)
                    if size > wanted.size:
                        break
                    take(chunk)
            if size != wanted.size or f"sha256:{digest.hexdigest()}" != wanted.digest:
                raise AlteredError(
                    f"{self}: {what}: it hands out something else, of {size} bytes instead of {wanted.size}",
                    hint="Its storage is damaged, or somebody changed it: nothing of it can be relied on",
                )

        self.wire.persist(once)

    def upload(
        self,
        content: bytes | Path,
        digest: str,
        size: int,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> bool:
        """Send a blob if it is not there yet; whether it was sent."""
        if self.has_blob(digest, size):
            return False
        what = f"sending {digest}"
        begin = _path(self._container.upload_blob_url())

        def once() -> None:
            sent = 0

            def pieces() -> Iterator[bytes]:
                nonlocal sent
                for chunk in paced(_chunks(content), self.wire.patience):
                    yield chunk
                    sent += len(chunk)
                    on_bytes(len(chunk))

            try:
                with self.wire.answer("POST", begin, what, good=(202,), headers={"Content-Length": "0"}) as answer:
                    place = answer.headers.get("location", "")
                    url = urljoin(urljoin(self.wire.origin, begin), place)
                if not place:
                    raise RegistryError(f"{self}: {what}: it does not say where to")
                url += f"{'&' if urlsplit(url).query else '?'}{urlencode({'digest': digest})}"
                headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
                with self.wire.answer("PUT", url, what, headers=headers, content=pieces, good=(201, 204)):
                    return
            except BaseException:
                on_bytes(-sent)
                raise

        self.wire.persist(once)
        return True

    # --- what refers to what ------------------------------------------------------------------------------

    def attach(self, artifact: Manifest) -> Descriptor:
        """Write a manifest with a `subject`, so that `referrers` of that finds it."""
        if artifact.subject is None:
            raise ValueError("it says no subject")
        descriptor, headers = self._put(artifact)
        if headers.get("oci-subject") != artifact.subject.digest:
            entry = Descriptor(
                media_type=descriptor.media_type,
                digest=descriptor.digest,
                size=descriptor.size,
                artifact_type=artifact.artifact_type or artifact.config.media_type,
                annotations=artifact.annotations,
            )
            self._add_by_tag(artifact.subject.digest, entry)
        return descriptor

    def _add_by_tag(self, subject: str, entry: Descriptor) -> None:
        """https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema"""
        tag = fallback_tag(subject)
        for _ in range(TRIES):  # two that write at once would take away each other's
            known = list(self._by_tag(subject))
            if any(one.digest == entry.digest for one in known):
                return
            self.put(ImageIndex(manifests=(*known, entry)), tag=tag)
        raise RegistryError(f"{self}: {tag}: somebody else writes it all the time", hint="Run it again")

    def referrers(self, subject: str) -> list[Descriptor]:
        """What refers to the document of that digest, sorted by digest."""
        url = f"/v2/{self.reference.repository}/referrers/{subject}"
        found: dict[str, Descriptor] = {}
        for _ in range(MOST_PAGES):
            answer = self.wire.ask("GET", url, "listing referrers", good=(200, 404), most=MOST_MANIFEST)
            kind = answer.headers.get("content-type", "").partition(";")[0]
            if answer.status == 404 or (kind != INDEX and not found):  # whoever answers knows no such question
                found |= {one.digest: one for one in self._by_tag(subject)}
                break
            try:
                document = read_document(answer.data, INDEX)
            except ValueError as error:
                raise RegistryError(f"{self}: listing referrers: {error}") from error
            assert isinstance(document, ImageIndex)  # noqa: S101 - an index is what was read
            found |= {one.digest: one for one in document.manifests}
            if (following := _next_page(url, answer.headers.get("link", ""))) is None:
                break
            url = following
        return [found[digest] for digest in sorted(found)]

    def _by_tag(self, subject: str) -> tuple[Descriptor, ...]:
        found = self.find(fallback_tag(subject))
        return found.document.manifests if found is not None and isinstance(found.document, ImageIndex) else ()

    # --- is it all there? ---------------------------------------------------------------------------------

    def compare(
        self,
        what: str,
        *,
        known: frozenset[str] = frozenset(),
        read: bool = True,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> Pulled:
        """Pull back a document and all that it names, and compare every digest.

        Of blobs that are `known`, or of all without `read`, only the size is asked for. Raises RegistryError for the
        first that is not right.
        """
        pulled = self.pull(what)
        if isinstance(pulled.document, ImageIndex):
            for one in pulled.document.manifests:
                self.compare(one.digest, known=known, read=read, on_bytes=on_bytes)
            return pulled

        def check(one: Descriptor) -> None:
            if read and one.digest not in known:
                self.check_blob(one, on_bytes)
            elif not self.has_blob(one.digest, one.size):
                raise AlteredError(f"{self}: {what}: its {one.digest} is not there")

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(check, pulled.document.blobs))
        return pulled


def fallback_tag(digest: str) -> str:
    """Where the referrers of a document stand in a registry that does not list them itself."""
    return digest.replace(":", "-")


def empty_config(registry: Registry) -> Descriptor:
    """The config of what is no image, sent if it is not there."""
    from dsvm.model import EMPTY_TYPE

    digest = digest_of_bytes(EMPTY)
    registry.upload(EMPTY, digest, len(EMPTY))
    return Descriptor(media_type=EMPTY_TYPE, digest=digest, size=len(EMPTY))


def _path(url: str) -> str:
    """What oras calls a URL, HOST/PATH, as a path."""
    return f"/{url.partition('/')[2]}"


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield from (content[start : start + CHUNK] for start in range(0, len(content), CHUNK))
        return
    with content.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _tags_of(data: bytes, whose: Registry) -> Iterator[str]:
    import json

    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{whose}: listing tags: no JSON") from error
    tags = said.get("tags") if isinstance(said, dict) else None
    if tags is not None and not isinstance(tags, list):
        raise RegistryError(f"{whose}: listing tags: no list")
    for tag in tags or ():
        if not isinstance(tag, str) or re.fullmatch(TAG, tag) is None:
            raise RegistryError(f"{whose}: listing tags: one is no tag")
        yield tag


def _next_page(url: str, link: str) -> str | None:
    """The page after one: the same place, asked for what the header says. None where it was the last."""
    match = re.search(r'<([^<>]*)>\s*;[^,]*\brel="?next"?', link)
    if match is None:
        return None
    query = parse_qsl(urlsplit(match[1]).query)
    return f"{urlsplit(url).path}?{urlencode(query)}" if query else None
