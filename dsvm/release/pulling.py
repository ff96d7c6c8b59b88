"""What a machine fetches that has one image and wants another, from their manifests alone."""

from __future__ import annotations

from dsvm.host import Host
from dsvm.model import Descriptor, ImageIndex, InputError, Manifest, Release, answers
from dsvm.release.references import Reference
from dsvm.release.registry import Registry


def pull_size(old: str, new: str, host: Host, variant: str | None = None) -> answers.PullAnswer:
    """What a machine with `old` needs for `new`, HOST/REPOSITORY with a tag or a digest.

    A release names several images: `variant` says which one is meant. Raises InputError, RegistryError.
    """
    (old_place, before), (new_place, after) = (_manifest(one, host, variant) for one in (old, new))
    lacking, layers, all_bytes, all_layers = needed(before, after)
    return answers.PullAnswer(
        old=old_place, new=new_place, bytes=lacking, layers=layers, all_bytes=all_bytes, all_layers=all_layers
    )


def needed(before: Manifest | None, after: Manifest) -> tuple[int, int, int, int]:
    """Bytes and layers that are new, then bytes and layers of the whole; `before` is None where nothing is there."""
    there = {one.digest for one in before.blobs} if before is not None else set()
    lacking = [one for one in after.blobs if one.digest not in there]
    return _size(lacking), _layers(lacking, after), _size(after.blobs), _layers(after.blobs, after)


def _size(blobs: tuple[Descriptor, ...] | list[Descriptor]) -> int:
    return sum(one.size for one in blobs)


def _layers(blobs: tuple[Descriptor, ...] | list[Descriptor], image: Manifest) -> int:
    return sum(one.digest != image.config.digest for one in blobs)


def _manifest(text: str, host: Host, variant: str | None) -> tuple[str, Manifest]:
    reference = Reference.of(text)
    registry = Registry(reference, host)
    found = registry.pull(reference.what)
    if isinstance(found.document, ImageIndex):
        try:
            images = Release.of(found.document).digests
        except ValueError as error:
            raise InputError(f"{reference}: a list of images, and {error}", hint="Name one of them by digest") from None
        if variant is None and len(images) > 1:
            raise InputError(f"{reference}: a release of {', '.join(images)}", hint="Say which one: --variant NAME")
        if (name := variant or next(iter(images))) not in images:
            raise InputError(f"{reference}: a release without {name}, only {', '.join(images)}")
        found, manifest = registry.image(images[name])
        return str(reference.at(found.digest)), manifest
    return str(reference), found.document
