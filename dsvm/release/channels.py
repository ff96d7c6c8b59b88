"""Names that move from release to release: everything under them changes at once, or not at all.

A channel's index is switched last, and is one write: whoever goes by it sees the old release or the new one. Tags of
single variants are for people, and go just before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dsvm.model import (
    ImageIndex,
    InputError,
    RegistryError,
    Release,
    ReleasedImage,
    is_release_name,
    release_order,
)
from dsvm.release.registry import Pulled, Registry

NIGHTLY, LATEST = "nightly", "latest"
CHANNELS = (NIGHTLY, LATEST)
MOVED = "Somebody else moved it meanwhile, and it was left alone: look who, and run it again. Nothing is sent twice"


@dataclass(frozen=True)
class Switch:
    """A channel that went from one release to another."""

    channel: str
    old: str | None
    new: str


def variant_tag(variant: str, name: str) -> str:
    """The tag of one variant of a channel or a release."""
    return f"{variant}-{name}"


def lock_tag(image: ReleasedImage) -> str:
    return f"{image.variant}-lock-{image.lock[:12]}"


def find_release(registry: Registry, what: str) -> tuple[Release, Pulled] | None:
    """The release of a tag or a digest; None where there is nothing. Raises RegistryError for something else."""
    found = registry.find(what)
    if found is None:
        return None
    try:
        if not isinstance(found.document, ImageIndex):
            raise ValueError("it is no release of ours")
        return Release.of(found.document), found
    except ValueError as error:
        raise RegistryError(
            f"{registry}: {what}: {error}", hint="Releases want a repository of their own: name another one"
        ) from error


def release_names(registry: Registry) -> list[str]:
    """The names of all releases, the oldest first."""
    return sorted(filter(is_release_name, registry.tags()), key=release_order)


def need_release(registry: Registry, name: str) -> tuple[Release, Pulled]:
    """The release of a day (20261126, 2026-11-26: the last of that day), of its name, or of a channel."""
    wanted = name.replace("-", "") if len(name) == len("2026-11-26") and name.count("-") == 2 else name
    if is_release_name(wanted) and "-" not in wanted:
        of_day = [one for one in release_names(registry) if one.partition("-")[0] == wanted]
        wanted = of_day[-1] if of_day else wanted
    elif not is_release_name(wanted) and wanted not in CHANNELS:
        raise InputError(f"'{name}' is no day (2026-11-26), no release (20261126-2) and no channel")
    if (found := find_release(registry, wanted)) is None:
        raise InputError(f"{registry}: it has no release {name}", hint=f"It has: {_listed(release_names(registry))}")
    return found


def switch(
    registry: Registry, release: Release, pulled: Pulled, channels: Sequence[str], before: Mapping[str, str | None]
) -> list[Switch]:
    """Have `channels` name a release that is there; `before` is what each named when this began.

    Raises RegistryError when somebody else has moved one of them, or the registry fails: then what was moved is put
    back, as far as it can be.
    """
    old = {channel: find_release(registry, channel) for channel in channels}
    for channel in channels:
        _need_unmoved(registry, channel, before.get(channel), pulled.digest)
    with _put_back(registry) as moved:
        for channel in channels:
            for image in release.images:
                _move_variant(registry, image, channel, old[channel], moved)
        for channel in channels:
            if _need_unmoved(registry, channel, before.get(channel), pulled.digest) != pulled.digest:
                found = old[channel]
                moved.append((channel, found[1] if found else None, pulled.digest))
                registry.put(pulled.document, pulled.data, tag=channel)
        for channel in channels:
            if (now := registry.digest_of(channel)) != pulled.digest:
                raise RegistryError(f"{registry}: {channel} names {now} and not what was written", hint=MOVED)
    return [Switch(one, found[0].name if (found := old[one]) else None, release.name) for one in channels]


def _move_variant(
    registry: Registry,
    image: ReleasedImage,
    channel: str,
    old: tuple[Release, Pulled] | None,
    moved: list[tuple[str, Pulled | None, str]],
) -> None:
    """The tag of one variant in a channel; only what was one of our releases is replaced."""
    tag = variant_tag(image.variant, channel)
    there = registry.find(tag)
    if there is not None and there.digest == image.digest:
        return
    expected = old[0].digests.get(image.variant) if old is not None else None
    if there is not None and there.digest != expected and there.digest not in _known(registry, image.variant):
        raise RegistryError(f"{registry}: {tag} names {there.digest}, which is of no release", hint=MOVED)
    moved.append((tag, there, image.digest))
    registry.tag(image.digest, tag)


def _known(registry: Registry, variant: str) -> Iterator[str]:
    """Digests of a variant in all releases: one that was killed on its way left its tags."""
    for name in reversed(release_names(registry)):
        if (found := find_release(registry, name)) is not None and variant in found[0].digests:
            yield found[0].digests[variant]


def _need_unmoved(registry: Registry, channel: str, before: str | None, ours: str) -> str | None:
    """What a channel names now: what it did when we began, or what we want it to."""
    now = registry.digest_of(channel)
    if now not in (before, ours):
        raise RegistryError(f"{registry}: {channel} names {now or 'nothing'} now", hint=MOVED)
    return now


@contextmanager
def _put_back(registry: Registry) -> Iterator[list[tuple[str, Pulled | None, str]]]:
    """Collects tags with what they named before and what they name now; when the block fails they go back."""
    moved: list[tuple[str, Pulled | None, str]] = []
    try:
        yield moved
    except BaseException as error:
        left = []
        for tag, old, ours in reversed(moved):
            try:
                if old is not None and registry.digest_of(tag) == ours:
                    registry.put(old.document, old.data, tag=tag)
            except RegistryError:
                left.append(tag)
        if left and isinstance(error, RegistryError):
            raise RegistryError(
                f"{error.message}\nthese tags may name the new images already: {', '.join(left)}",
                hint=error.hint,
                status=error.status,
            ) from error
        raise


def promote(registry: Registry, name: str, channels: Sequence[str]) -> list[Switch]:
    """Have channels name a release that is there already, of a day or of another channel."""
    release, pulled = need_release(registry, name)
    before = {channel: registry.digest_of(channel) for channel in channels}
    _need_whole(registry, release)
    return switch(registry, release, pulled, channels, before)


def rollback(registry: Registry, variant: str, to: str | None, channels: Sequence[str] = ()) -> list[Switch]:
    """Have channels (all that name the variant, unless some are named) go back to the release of a day.

    Without a day, to the one before what the channel names now. All variants go with it, and nothing is built or sent.
    """
    present = {one: found for one in channels or CHANNELS if (found := find_release(registry, one)) is not None}
    if missing := [one for one in channels if one not in present]:
        raise InputError(f"{registry}: it has no {', '.join(missing)}")
    naming = {one: found for one, found in present.items() if variant in found[0].variants}
    if not naming:
        raise InputError(f"{registry}: no channel names {variant}", hint=f"They name: {_variants(present.values())}")
    switched: list[Switch] = []
    for channel, (current, pulled) in naming.items():
        target, wanted = need_release(registry, to) if to else _previous(registry, current, variant)
        if variant not in target.variants:
            raise InputError(f"{registry}: {target.name} has no {variant}, only {', '.join(target.variants)}")
        _need_whole(registry, target)
        switched += switch(registry, target, wanted, [channel], {channel: pulled.digest})
    return switched


def _previous(registry: Registry, current: Release, variant: str) -> tuple[Release, Pulled]:
    for name in reversed(release_names(registry)):
        if release_order(name) < current.order:
            found = find_release(registry, name)
            if found is not None and variant in found[0].variants:
                return found
    raise InputError(f"{registry}: there is no release of {variant} before {current.name}")


def _need_whole(registry: Registry, release: Release) -> None:
    """Raise RegistryError unless all images of a release are there, with all their blobs."""
    for image in release.images:
        registry.compare(image.digest, read=False)


def _variants(found: Iterable[tuple[Release, Pulled]]) -> str:
    names = {variant for release, _ in found for variant in release.variants}
    return ", ".join(sorted(names)) or "nothing"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[-20:]) or "none"
