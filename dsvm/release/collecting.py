"""What may go from a registry: old releases, and what belongs to them alone. Never what an index still names."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dsvm.model import ImageIndex, Manifest, is_release_name, release_order
from dsvm.release.channels import find_release
from dsvm.release.registry import Pulled, Registry

OF_VARIANT = re.compile(r"(?P<variant>[a-z][a-z0-9.-]*)-(?:lock-[0-9a-f]{12}|nightly|latest|\d{8}(?:-\d{1,4})?)")
OF_DIGEST = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(?:\.[a-z]+)?")  # referrers by tag, and cosign's names


@dataclass(frozen=True)
class Keep:
    """How many releases stay: the last one of so many days, weeks and months, of those that have any."""

    daily: int = 14
    weekly: int = 8
    monthly: int = 12


@dataclass(frozen=True)
class Doomed:
    """What would go: releases by name, then documents by digest in the order in which they go."""

    kept: dict[str, str]  # release -> why it stays
    releases: tuple[str, ...]
    documents: tuple[str, ...]
    size: int  # bytes of blobs that nothing else names


def kept_by_time(names: Iterable[str], keep: Keep) -> dict[str, str]:
    """Release -> why it stays. The newest always does."""
    newest_first = sorted(names, key=release_order, reverse=True)
    kept = {newest_first[0]: "newest"} if newest_first else {}
    rules: tuple[tuple[str, int, Callable[[datetime.date], object]], ...] = (
        ("daily", keep.daily, lambda day: day),
        ("weekly", keep.weekly, lambda day: day.isocalendar()[:2]),
        ("monthly", keep.monthly, lambda day: (day.year, day.month)),
    )
    for why, count, period in rules:
        seen: set[object] = set()
        for name in newest_first:
            of = period(datetime.datetime.strptime(name[:8], "%Y%m%d").date())
            if of not in seen and len(seen) < count:
                seen.add(of)
                kept.setdefault(name, why)
    return kept


def find_doomed(registry: Registry, keep: Keep) -> Doomed:
    """What may go. Nothing is deleted by it."""
    tags = registry.tags()
    dated = {name: find_release(registry, name) for name in tags if is_release_name(name)}
    releases = {name: one for name, one in dated.items() if one is not None}
    kept = kept_by_time(releases, keep)
    ours, others = _sorted_tags(registry, tags)
    staying: dict[str, Pulled] = {}
    for tag, found in others.items():
        staying |= _with_children(registry, found)
        for name, (_, pulled) in releases.items():
            if pulled.digest == found.digest:
                kept[name] = tag
    for name in kept:
        staying |= _with_children(registry, releases[name][1])
    gone = [name for name in releases if name not in kept]
    # the index first: nobody finds the way to what goes after it
    doomed = {one.digest: one for name in gone if (one := releases[name][1]).digest not in staying}
    images = {digest for name in gone for digest in releases[name][0].digests.values()}
    images |= {found.digest for found in ours.values()}
    for digest in sorted(images - staying.keys()):
        if (image := registry.find(digest)) is not None:
            doomed |= _with_referrers(registry, image, tags)
    doomed |= _orphans(registry, tags, {*staying, *doomed})
    for name in gone:
        index = releases[name][1]
        if index.digest in doomed:
            doomed |= _with_referrers(registry, index, tags)
    left = {one: found for one, found in doomed.items() if one not in staying}
    return Doomed(kept, tuple(sorted(gone, key=release_order)), tuple(left), _freed(left.values(), staying.values()))


def collect(registry: Registry, doomed: Doomed, note: Callable[[str], None] = lambda line: None) -> int:
    """Delete what is doomed; how many documents went. Killed in between, the next run does the rest."""
    count = 0
    for digest in doomed.documents:
        count += registry.delete(digest)
        note(f"gc: deleted {digest}")
    return count


def _sorted_tags(registry: Registry, tags: Sequence[str]) -> tuple[dict[str, Pulled], dict[str, Pulled]]:
    """What tags of single variants name, and what all others do that are no release's name: channels, and strangers."""
    ours: dict[str, Pulled] = {}
    others: dict[str, Pulled] = {}
    for tag in tags:
        if is_release_name(tag) or OF_DIGEST.fullmatch(tag):
            continue
        if (found := registry.find(tag)) is not None:
            (ours if OF_VARIANT.fullmatch(tag) and _is_dated(tag) else others)[tag] = found
    return ours, others


def _is_dated(tag: str) -> bool:
    """Whether a variant's tag stays with its release, as a channel's does not."""
    return not tag.endswith(("-nightly", "-latest"))


def _with_children(registry: Registry, one: Pulled) -> dict[str, Pulled]:
    found = {one.digest: one}
    if isinstance(one.document, ImageIndex):
        for child in one.document.manifests:
            if (pulled := registry.find(child.digest)) is not None:
                found |= _with_children(registry, pulled)
    return found


def _with_referrers(registry: Registry, one: Pulled, tags: Sequence[str]) -> dict[str, Pulled]:
    """What refers to a document and its own referrers, and the document itself last: until then it leads to them."""
    found: dict[str, Pulled] = {}
    for referrer in registry.referrers(one.digest):
        if (pulled := registry.find(referrer.digest)) is not None and pulled.digest != one.digest:
            found |= _with_referrers(registry, pulled, tags)
    beside = f"sha256-{one.digest.removeprefix('sha256:')}"
    for tag in tags:
        if tag.partition(".")[0] == beside and (pulled := registry.find(tag)) is not None:
            found[pulled.digest] = pulled
    return {**found, one.digest: one}


def _orphans(registry: Registry, tags: Sequence[str], alive: set[str]) -> dict[str, Pulled]:
    """What refers to documents that have gone: a run that was killed left it."""
    found: dict[str, Pulled] = {}
    for tag in tags:
        match = OF_DIGEST.fullmatch(tag)
        if match is None or (subject := f"sha256:{match['hex']}") in alive or registry.find(subject) is not None:
            continue
        if (pulled := registry.find(tag)) is not None:
            found |= _with_children(registry, pulled)
    return found


def _freed(gone: Iterable[Pulled], staying: Iterable[Pulled]) -> int:
    needed = {digest for digest, _ in _blobs(staying)}
    return sum(size for digest, size in dict(_blobs(gone)).items() if digest not in needed)


def _blobs(documents: Iterable[Pulled]) -> Iterator[tuple[str, int]]:
    for one in documents:
        if isinstance(one.document, Manifest):
            yield from ((blob.digest, blob.size) for blob in one.document.blobs)
