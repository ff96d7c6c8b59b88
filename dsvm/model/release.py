"""A release: verified images that belong together, as one index of a registry names them."""

from __future__ import annotations

import datetime
import re
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from dsvm.model.common import Model, Name, Sha256
from dsvm.model.oci import Descriptor, ImageDigest, ImageIndex

RELEASE_TYPE = "application/vnd.dsvm.release.v1+json"  # artifactType of its index
KEY = "org.dsvm"  # what our annotations begin with, as labels of images do
CREATED = "org.opencontainers.image.created"
# A day, and which one of that day where it is not the first: 20261126, 20261126-2
ReleaseName = Annotated[str, StringConstraints(pattern=r"^[0-9]{8}(-[1-9][0-9]{0,3})?$")]


class ReleasedImage(Model):
    """An image of a release."""

    variant: Name
    image: Descriptor
    lock: Sha256 = Field(description="digest of the lock that it was built from, as its label says")
    plan: Sha256 = Field(description="digest of the plan that it was built from, as its label says")
    since: ReleaseName = Field(description="the release that had this image first")

    @property
    def digest(self) -> ImageDigest:
        return self.image.digest


class Release(Model):
    """What one index names. Its bytes follow from what it says: made twice, it is the same one."""

    name: ReleaseName
    images: tuple[ReleasedImage, ...]

    @property
    def variants(self) -> dict[str, ReleasedImage]:
        return {one.variant: one for one in self.images}

    @property
    def digests(self) -> dict[str, str]:
        """Variant -> digest of its image."""
        return {one.variant: one.digest for one in self.images}

    @property
    def order(self) -> tuple[int, int]:
        return release_order(self.name)

    @property
    def day(self) -> datetime.date:
        return datetime.datetime.strptime(self.name[:8], "%Y%m%d").date()

    @property
    def index(self) -> ImageIndex:
        """As a registry keeps it."""
        return ImageIndex(
            artifact_type=RELEASE_TYPE,
            manifests=tuple(_entry(one) for one in sorted(self.images, key=lambda one: one.variant)),
            annotations={f"{KEY}.release": self.name, CREATED: f"{self.day.isoformat()}T00:00:00Z"},
        )

    @classmethod
    def of(cls, index: ImageIndex) -> Release:
        """What an index says. Raises ValueError, in one line, when it is no release's."""
        if index.artifact_type != RELEASE_TYPE:
            raise ValueError("it is no release of ours")
        try:
            found = cls(
                name=(index.annotations or {}).get(f"{KEY}.release", ""),
                images=tuple(
                    ReleasedImage(
                        variant=one.annotation(f"{KEY}.variant"),
                        image=one.model_copy(update={"annotations": None}),
                        lock=one.annotation(f"{KEY}.lock"),
                        plan=one.annotation(f"{KEY}.plan"),
                        since=one.annotation(f"{KEY}.since"),
                    )
                    for one in index.manifests
                ),
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        if not found.images or len(found.variants) != len(found.images):
            raise ValueError("it names a variant twice, or none at all")
        if not is_day(found.name):
            raise ValueError(f"{found.name} is no day")
        return found


def release_order(name: str) -> tuple[int, int]:
    """By which releases sort: their day, then their number of that day."""
    day, _, number = name.partition("-")
    return int(day), int(number or 1)


def is_day(name: str) -> bool:
    """Whether the first eight characters are a day: 20261126."""
    try:
        datetime.datetime.strptime(name[:8], "%Y%m%d")
    except ValueError:
        return False
    return True


def is_release_name(tag: str) -> bool:
    """Whether a tag is what releases are called."""
    return re.fullmatch(r"\d{8}(-[1-9]\d{0,3})?", tag) is not None and is_day(tag)


def _entry(one: ReleasedImage) -> Descriptor:
    said = {"variant": one.variant, "lock": one.lock, "plan": one.plan, "since": one.since}
    return one.image.model_copy(update={"annotations": {f"{KEY}.{key}": value for key, value in said.items()}})
