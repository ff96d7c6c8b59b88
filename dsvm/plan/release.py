"""What a virtual-machine image is called where it is published, from what determines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dsvm.model import Format, Plan, Platform


@dataclass(frozen=True)
class Release:
    """One image of a variant as it is published: named by what determines it, so that twice the same is once."""

    variant: str
    format: Format
    # MAJOR.MINOR.PATCH, three whole numbers, as image galleries want it
    version: str
    platform: Platform
    arch: str
    summary: str
    # seconds since 1970: when the packages in it last changed
    epoch: int
    tags: Mapping[str, str]
    # a disk of this host, or an image that is in the cloud already
    disk: Path | None = None
    image: str | None = None

    @property
    def name(self) -> str:
        """Letters, digits and hyphens, 63 at the most: what all clouds take for a name."""
        return f"{prefix(self.variant)}-{self.version.replace('.', '-')}"

    def end_after(self, days: int | None) -> str:
        """The day so many days after the release's own, as 2027-05-31T00:00:00Z; nothing without `days`."""
        if days is None:
            return ""
        end = datetime.fromtimestamp(self.epoch, UTC) + timedelta(days=days)
        return end.strftime("%Y-%m-%dT00:00:00Z")


def prefix(variant: str) -> str:
    """What the names of a variant's images begin with. It leaves room for a version of 21 characters."""
    return f"dsvm-{variant.replace('.', '-')}"[:41].rstrip("-")


def version_of(epoch: int) -> str:
    """The time when a lock's packages last changed as a version: 2026.1122.63005 is 2026-11-22 06:30:05 UTC."""
    time = datetime.fromtimestamp(epoch, UTC)
    return f"{time.year}.{time.month * 100 + time.day}.{time.hour * 10000 + time.minute * 100 + time.second}"


def tags_of(plan: Plan) -> dict[str, str]:
    """What an image was made from; the version comes beside it."""
    return {
        "dsvm-accelerator": plan.accelerator,
        "dsvm-base": plan.base.base,
        "dsvm-lock": plan.lock_digest[:40],
        "dsvm-variant": plan.variant,
    }
