"""Verified images become a release: sent by digest, compared, and only then named."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsvm.host import Engine
from dsvm.model import (
    KEY,
    Descriptor,
    Manifest,
    RegistryError,
    Release,
    ReleasedImage,
    digest_of_bytes,
    release_order,
)
from dsvm.release.channels import LATEST, MOVED, Switch, find_release, lock_tag, release_names, switch, variant_tag
from dsvm.release.registry import Registry, empty_config
from dsvm.release.sending import Sent, platform_of, send_image

TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class Attachment:
    """A document that belongs to an image: `kind` is its artifactType."""

    kind: str
    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Candidate:
    """A verified image of the engine, by its id, with what belongs to it."""

    variant: str
    image: str
    lock: str
    plan: str
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True)
class Published:
    """What came of it. `sent` are the bytes that the registry did not have."""

    release: Release
    index: Descriptor
    sent: int
    size: int
    switched: tuple[Switch, ...]


# Signs what it is given, images and then the index, once all of them are there and before anything gets a name.
Seal = Callable[[Registry, Sequence[Descriptor]], None]


def publish(
    registry: Registry,
    candidates: Sequence[Candidate],
    *,
    engine: Engine,
    work: Path,
    channels: Sequence[str],
    today: datetime.date,
    alone: bool = False,
    seal: Seal | None = None,
    note: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = lambda line: None,
) -> Published:
    """Publish verified images as one release, and have `channels` name it.

    Variants that the first channel (`latest` without one) names and this release does not bring stay in it, unless it
    is to be `alone`.
    Killed at any step and run again, it ends as it would have. Raises RegistryError; no channel has moved then.
    """
    before = {channel: found for channel in channels if (found := find_release(registry, channel)) is not None}
    there = find_release(registry, channels[0] if channels else LATEST)
    present = there[0] if there is not None else None
    sent = {one.variant: _send(registry, one, engine, work, note) for one in candidates}
    attached = [found for one in candidates for found in attach_all(registry, one, sent[one.variant].image)]
    known = frozenset(_blobs(registry, [release for release, _ in before.values()]))
    for one in candidates:
        note(f"release: {one.variant}: comparing what is there")
        registry.compare(sent[one.variant].image.digest, known=known)
    for digest in attached:
        registry.compare(digest)
    kept = [] if alone or present is None else [one for one in present.images if one.variant not in sent]
    release = _release(registry, kept, [(one, sent[one.variant]) for one in candidates], present, today, warn)
    index = registry.put(release.index)
    if seal is not None:
        seal(registry, [*(sent[one.variant].image for one in candidates), index])
    _name(registry, release, index)
    pulled = registry.pull(index.digest)
    switched = switch(registry, release, pulled, channels, {one: found[1].digest for one, found in before.items()})
    moved = sum(size for one in sent.values() for size in one.sent.values())
    return Published(release, index, moved, sum(one.size for one in sent.values()), tuple(switched))


def _send(registry: Registry, one: Candidate, engine: Engine, work: Path, note: Callable[[str], None]) -> Sent:
    note(f"release: {one.variant}: sending what {registry} lacks")
    sent = send_image(one.image, engine, registry, work, note)
    note(
        f"release: {one.variant}: sent {len(sent.sent)} of {len(sent.manifest.blobs)} blobs, "
        f"{sum(sent.sent.values()) / 1e6:.1f} of {sent.size / 1e6:.1f} MB"
    )
    return sent


def attach_all(registry: Registry, one: Candidate, image: Descriptor) -> list[str]:
    """Attach the documents of an image to it; returns the digests of their manifests."""
    subject = Descriptor(media_type=image.media_type, digest=image.digest, size=image.size)
    made = []
    config = empty_config(registry)
    for attachment in one.attachments:
        digest = digest_of_bytes(attachment.data)
        registry.upload(attachment.data, digest, len(attachment.data))
        layer = Descriptor(
            media_type=attachment.kind, digest=digest, size=len(attachment.data), annotations={TITLE: attachment.name}
        )
        artifact = Manifest(
            artifact_type=attachment.kind,
            config=config,
            layers=(layer,),
            subject=subject,
            annotations={f"{KEY}.variant": one.variant, TITLE: attachment.name},
        )
        made.append(registry.attach(artifact).digest)
    return made


def _blobs(registry: Registry, releases: Sequence[Release]) -> Iterator[str]:
    """Digests of all blobs of releases: they were compared when those were made."""
    for digest in {one.digest for release in releases for one in release.images}:
        found = registry.find(digest)
        if found is not None and isinstance(found.document, Manifest):
            yield from (blob.digest for blob in found.document.blobs)


def _release(
    registry: Registry,
    kept: Sequence[ReleasedImage],
    new: Sequence[tuple[Candidate, Sent]],
    present: Release | None,
    today: datetime.date,
    warn: Callable[[str], None],
) -> Release:
    """The release of these images: one that is there already where it has exactly them, else of today."""
    names = release_names(registry)
    newest = found[0] if names and (found := find_release(registry, names[-1])) is not None else None
    before = [one for one in (present, newest) if one is not None]
    digests = {one.variant: one.digest for one in kept} | {one.variant: sent.image.digest for one, sent in new}
    for release in before:
        if release.digests == digests:
            return release
    name = next_name(names, today, warn)
    since = {(image.variant, image.digest): image.since for release in before for image in release.images}
    images = [_released(registry, one, sent, since.get((one.variant, sent.image.digest), name)) for one, sent in new]
    return Release(name=name, images=tuple(sorted([*kept, *images], key=lambda one: one.variant)))


def next_name(names: Sequence[str], today: datetime.date, warn: Callable[[str], None] = lambda line: None) -> str:
    """What a new release is called, after those that there are, the oldest first.

    Where the newest one is of a later day, some clock is wrong: the new one follows it all the same.
    """
    day = f"{today:%Y%m%d}"
    if names and names[-1][:8] > day:
        warn(f"today is {today}, and the newest release is {names[-1]}: is this clock right? The new one follows it")
        day = names[-1][:8]
    taken = [release_order(name)[1] for name in names if name[:8] == day]
    return f"{day}-{max(taken) + 1}" if taken else day


def _released(registry: Registry, one: Candidate, sent: Sent, since: str) -> ReleasedImage:
    platform = platform_of(registry.blob(sent.manifest.config))
    image = Descriptor(
        media_type=sent.image.media_type, digest=sent.image.digest, size=sent.image.size, platform=platform or None
    )
    return ReleasedImage(variant=one.variant, image=image, lock=one.lock, plan=one.plan, since=since)


def _name(registry: Registry, release: Release, index: Descriptor) -> None:
    """The tags that stay: of the release, of its variants, of their locks. Raises RegistryError when one is taken."""
    _tag(registry, release.name, index.digest)
    for image in release.images:
        _tag(registry, variant_tag(image.variant, release.name), image.digest)
        _tag(registry, lock_tag(image), image.digest, may_move=True)


def _tag(registry: Registry, tag: str, digest: str, *, may_move: bool = False) -> None:
    now = registry.digest_of(tag)
    if now == digest:
        return
    if now is not None and not may_move:
        raise RegistryError(f"{registry}: {tag} names {now} already", hint=MOVED)
    registry.tag(digest, tag)
    if registry.digest_of(tag) != digest:
        raise RegistryError(f"{registry}: {tag} names something else than what was written", hint=MOVED)
