"""Built images in the engine: find, name and remove them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dsvm.host import Engine, engine_faults, listed
from dsvm.model import EngineError, InputError, Plan
from dsvm.plan import LABELS

UNVERIFIED = "unverified"  # the tag of what was built and has not passed its checks
RUN = "run-"  # how the tags of runs begin

# Instructions whose history entries stand for no layer
METADATA = (
    "CMD",
    "ENTRYPOINT",
    "HEALTHCHECK",
    "USER",
    "EXPOSE",
    "LABEL",
    "ENV",
    "ARG",
    "STOPSIGNAL",
    "SHELL",
    "VOLUME",
)


def image_name(variant: str, tag: str = "latest") -> str:
    return f"dsvm/{variant}:{tag}"


def inspect(image: str, engine: Engine) -> Mapping[str, Any] | None:
    """What the engine knows of an image, or None when it has none of that name."""
    from docker.errors import ImageNotFound

    with engine_faults(f"looking at {image}"):
        try:
            found: Mapping[str, Any] = engine.client.images.get(image).attrs
        except ImageNotFound:
            return None
    return found


def labels(image: str, engine: Engine) -> dict[str, str]:
    """Labels of an image, or {} when the engine has none of that name."""
    return labels_of(inspect(image, engine))


def labels_of(found: Mapping[str, Any] | None) -> dict[str, str]:
    """Labels of an image that was inspected."""
    return dict((found or {}).get("Config", {}).get("Labels") or {})


def layers_with_sizes(image: str, engine: Engine) -> tuple[list[str], list[int]]:
    """Digests of an image's layers, the lowest first, and their bytes, unpacked, as far as its history tells them."""
    with engine_faults(f"looking at {image}"):
        found = engine.client.images.get(image)
        digests, history = found.attrs["RootFS"]["Layers"], found.history()
    # newest first; what only changes metadata has no layer
    return digests, [int(made["Size"]) for made in reversed(history) if not made["CreatedBy"].startswith(METADATA)]


def layers_of(image: str, engine: Engine) -> dict[str, int | None]:
    """Digest -> bytes of each layer; None where the engine counts in another way."""
    digests, sizes = layers_with_sizes(image, engine)
    return dict(zip(digests, sizes, strict=True)) if len(digests) == len(sizes) else dict.fromkeys(digests)


def need_ours(name: str, variant: str, engine: Engine) -> str:
    """The digest of the lock that the image `name` of `variant` was built from, by its label.

    Raises InputError when there is none, or one that something else made.
    """
    found = inspect(name, engine)
    if found is None:
        raise InputError(f"the engine has no image {name}", hint=f"Run: invoke build --variant {variant}")
    labels = labels_of(found)
    digest = labels.get(f"{LABELS}.lock", "")
    if labels.get(f"{LABELS}.variant") != variant or re.fullmatch("[0-9a-f]{64}", digest) is None:
        raise InputError(
            f"{name} is no image of {variant}: DSVM did not build it, for its labels do not say so",
            hint=f"Build it: invoke build --variant {variant}",
        )
    return digest


def identity(image: str, engine: Engine) -> str:
    """The id, `sha256:...`, of the image that has this name now. Raises EngineError when there is none."""
    found = inspect(image, engine)
    if found is None:
        raise EngineError(f"the engine has no image {image} any more", hint="Was it removed meanwhile? Build again")
    return str(found["Id"])


def tag(image: str, name: str, engine: Engine) -> None:
    """Give the image with the id `image` a name."""
    repository, _, tag = name.rpartition(":")
    with engine_faults(f"naming an image {name}"):
        engine.client.api.tag(image, repository, tag)


def untag(name: str, engine: Engine) -> bool:
    """Take a name away, if it is there; the image stays where it has another one. Whether it was taken away."""
    return _remove(name, engine, noprune=True)


def forget_runs(variant: str, engine: Engine) -> None:
    """Take away the names that runs on `variant` gave their images while they went on, and left."""
    for name in built(engine):
        if name.startswith(image_name(variant, RUN)):
            untag(name, engine)


def promote(plan: Plan, image: str, engine: Engine) -> str:
    """Give the verified image with the id `image` its names, take the provisional one away; returns that for people."""
    names = [image_name(plan.variant), image_name(plan.variant, plan.lock_digest[:12])]
    for name in names:
        tag(image, name, engine)
    provisional = image_name(plan.variant, UNVERIFIED)
    if (found := inspect(provisional, engine)) is not None and found["Id"] == image:
        untag(provisional, engine)
    return names[0]


def built(engine: Engine) -> dict[str, int]:
    """Name -> size in bytes of all DSVM images of the engine, newest first."""
    found = listed("images", lambda: engine.client.api.images(filters={"label": f"{LABELS}.variant"}))
    found.sort(key=lambda one: -int(one["Created"]))
    return {name: int(one["Size"]) for one in found for name in one.get("RepoTags") or []}


def remove_old(current: Mapping[str, str], engine: Engine) -> list[str]:
    """Remove what no variant's lock names any more, unverified images too; returns their names.

    `current` is variant -> lock digest. Images in use stay, and those of variants that are not in it: they are of
    somebody's own catalog.
    """
    removed = []
    for name in built(engine):
        repository, _, tag = name.rpartition(":")
        variant = repository.removeprefix("dsvm/")
        kept = variant not in current or tag in ("latest", current[variant][:12])
        if not kept and _remove(name, engine):
            removed.append(name)
    return removed


def _remove(name: str, engine: Engine, *, noprune: bool = False) -> bool:
    """Remove an image by name; False when it is not there, or in use."""
    from docker.errors import APIError

    with engine_faults(f"removing {name}"):
        try:
            engine.client.api.remove_image(name, noprune=noprune)
        except APIError as error:
            if error.status_code in (404, 409):
                return False
            raise
    return True
