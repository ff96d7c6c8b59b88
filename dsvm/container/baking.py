"""Variants as targets of `docker buildx bake`, built by any builder, with the same layers as `invoke build` makes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsvm.container import buildkit
from dsvm.container.images import UNVERIFIED, image_name
from dsvm.container.target import laid_out, need_container, revision
from dsvm.host import guarded
from dsvm.session import Session, fetch_fresh, gate_variant, need_lock


@dataclass(frozen=True)
class Baked:
    """A target of the file: the variant, and where its image goes."""

    variant: str
    image: str
    target: Mapping[str, Any]

    @property
    def verification(self) -> str:
        """The command line that fetches the image, where it is in a registry, and has it verified."""
        here = image_name(self.variant, UNVERIFIED)
        fetch = "" if self.image == here else f"docker pull {self.image} && docker tag {self.image} {here} && "
        return f"{fetch}invoke verify --variant {self.variant}"


def bake(session: Session, variant: str, *, registry: str | None, locked: bool) -> Baked:
    """Lock and fetch what is missing, lay out all that building takes below the variant's folder, and say it.

    The image goes to `registry`, HOST/REPOSITORY, under the tag VARIANT-unverified, or without one to the engine of
    whoever builds. Raises as a build does before BuildKit begins.
    """
    need_container(session, variant)
    with session.working_on(variant):
        lock = need_lock(session, variant, locked=locked)
        gate_variant(session, variant, lock)
        lock = fetch_fresh(session, lock, update_stale=False, format="docker")
        plan, (layout, digest) = laid_out(session, lock)
        folder = session.folder(variant)
        contexts: dict[str, str | Path] = {
            **buildkit.prepare(plan, session.store, folder),
            "base": f"oci-layout://{_beside(layout, folder / 'base')}@{digest}",
        }
    image = f"{registry}:{variant}-{UNVERIFIED}" if registry else image_name(variant, UNVERIFIED)
    recipe = buildkit.Recipe(plan, folder, contexts, session.caches, revision())
    return Baked(variant, image, recipe.target("type=image,push=true" if registry else "type=docker", image))


def bake_file(targets: Sequence[Baked]) -> dict[str, Any]:
    """What stands in docker-bake.json: all targets in the group that bake builds by default."""
    return {
        "group": {"default": {"targets": [one.variant for one in targets]}},
        "target": {one.variant: dict(one.target) for one in targets},
    }


def _beside(layout: Path, place: Path) -> Path:
    """A layout as hard links at `place`, so that all that is built from lies below one folder."""
    with guarded(place):
        shutil.rmtree(place, ignore_errors=True)
        try:
            shutil.copytree(layout, place, copy_function=os.link)
        except OSError:  # another file system
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(layout, place)
    return place
