"""What differs between two locks, or between a lock and an image."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from dsvm.model.common import Line, Model
from dsvm.model.findings import Level

Expression = Annotated[str, StringConstraints(max_length=20_000)]
# up, down: by the order that versions have in their ecosystem; changed: where there is none. rebuilt: the same version
# as another artefact. moved: another section, or another registry.
Change = Literal["added", "removed", "up", "down", "changed", "rebuilt", "moved"]
CHANGES: tuple[Change, ...] = ("up", "down", "changed", "moved", "rebuilt", "added", "removed")


class Side(Model):
    """One of the two that are compared."""

    name: Line = Field(description="as it was asked for")
    what: Line = Field(description="what that is: a file, a commit, an image")
    variant: Line = Field(description="name of the variant")
    base: Line = Field(description="name of its base")
    base_kind: Line | None = Field(None, description="registry, bootstrap or machine; null where an image does not say")
    lock: Line = Field(description="digest of the lock; of what containers have of it where an image is compared")
    changed: Line | None = Field(None, description="when a pin last changed, UTC, ISO 8601; null for an image")
    artefacts: int | None = Field(None, ge=0, description="different artefacts; null for an image")
    size: int | None = Field(None, ge=0, description="bytes to download: of each artefact once; null for an image")


class Artefact(Model):
    """A package on one side."""

    section: Line = Field(description="the section of the lock that it is in")
    version: Line = Field(description="in the form of its ecosystem")
    registry: Line | None = Field(None, description="where it comes from; null for an image")
    file: Line | None = Field(None, description="its file's name, path or URL; null for an image")
    size: int | None = Field(None, ge=0, description="bytes to download; null for an image")
    sha256: Line | None = Field(None, description="of its file, in hex; null for an image")
    license: Expression | None = Field(None, description="SPDX expression; null where it is not known")


class PackageChange(Model):
    """A package that is not the same on both sides."""

    name: Line = Field(description="of the package, without a version")
    ecosystem: Line = Field(description="where it comes from: apt, pypi, npm, ...")
    change: Change = Field(
        description="up, down: by the order of its ecosystem; changed: where there is none; moved: another section or "
        "registry; rebuilt: the same version as another artefact; added, removed: on one side alone"
    )
    inside: bool = Field(description="whether it is in images; false for what only building needs")
    old: Artefact | None = Field(None, description="null for what was added")
    new: Artefact | None = Field(None, description="null for what was removed")

    @property
    def section(self) -> str:
        """Where it is now, or was at last."""
        there = self.new or self.old
        return there.section if there is not None else ""

    @property
    def size(self) -> int | None:
        """Bytes to download more (or less), or None when a side does not know."""
        sizes = [one.size for one in (self.new, self.old) if one is not None]
        if None in sizes:
            return None
        return (self.new.size or 0 if self.new else 0) - (self.old.size or 0 if self.old else 0)


class ToolState(Model):
    """A tool on one side."""

    version: Line | None = Field(None, description="null where the manifests of today do not tell")
    ecosystem: Line | None = Field(None, description="where it comes from; null where nobody can tell")
    env: Line | None = Field(None, description="its Python environment")
    registry: Line | None = Field(
        None, description="where its own package comes from, the archives of a base as one; null for an image"
    )
    size: int | None = Field(None, ge=0, description="bytes to download of its own package")


class ToolChange(Model):
    """A tool that is not the same on both sides."""

    tool: Line = Field(description="name of the tool")
    change: Change = Field(description="as of packages; moved: also another ecosystem or environment")
    old: ToolState | None = Field(None, description="null for one that was added")
    new: ToolState | None = Field(None, description="null for one that was removed")


class LeftOutChange(Model):
    """A tool that is left out now (added), is not any more (removed), or is for another reason (changed)."""

    tool: Line = Field(description="name of the tool")
    change: Literal["added", "removed", "changed"] = Field(description="whether it came, went, or is said otherwise")
    old: Line | None = Field(None, description="the reason")
    new: Line | None = Field(None, description="the reason now")


class SectionChange(Model):
    """A section that came or went, or for which something else is asked."""

    section: Line = Field(description="id of the section")
    change: Literal["added", "removed", "changed"] = Field(description="whether it came, went, or is asked otherwise")
    what: tuple[Line, ...] = Field((), description="what of it: request, tools, extra, formats")


class LicenseChange(Model):
    """A package that is under other terms than before; packages of which a side is not known are none."""

    section: Line = Field(description="where it is now")
    name: Line = Field(description="of the package")
    old: Expression = Field(description="SPDX expression")
    new: Expression = Field(description="SPDX expression")


class Advice(Model):
    """A known vulnerability of a package."""

    id: Line = Field(description="of the advisory")
    package: Line = Field(description="as advisories call it")
    level: Level = Field(description="what an audit makes of it")
    what: str = Field(description="in a sentence")


class Vulnerabilities(Model):
    """Known vulnerabilities that one side has and the other has not."""

    source: str = Field(description="who was asked, and up to which day they know")
    fixed: tuple[Advice, ...] = Field((), description="those of the old side alone")
    new: tuple[Advice, ...] = Field((), description="those of the new side alone")
    still: int = Field(0, ge=0, description="how many both sides have")


class LayerChange(Model):
    """A layer that is not the same on both sides."""

    layer: Line = Field(description="part of a section; of images the layer's digest")
    change: Literal["added", "removed", "changed"] = Field(description="digests of images come and go, parts change")
    size: int | None = Field(None, ge=0, description="bytes of what is in it now, as `Layers.unpacked` says")


class Layers(Model):
    """Layers of the container image that are not the same on both sides."""

    same: int = Field(ge=0, description="layers that are")
    changed: tuple[LayerChange, ...] = Field((), description="layers that are not")
    fetch: int | None = Field(None, ge=0, description="bytes that the new side has and the old one has not")
    here: int | None = Field(None, ge=0, description="bytes of these that this host's store holds; null for images")
    unpacked: bool = Field(description="whether sizes are of unpacked layers, as engines tell them, or of artefacts")


class Difference(Model):
    """Everything that differs; lists are sorted by name."""

    schema_: Literal["dsvm.diff/1"] = Field(
        "dsvm.diff/1", alias="schema", serialization_alias="schema", description="this form, and its version"
    )
    headline: str = Field(description="the whole in a line")
    old: Side = Field(description="what is compared")
    new: Side = Field(description="with what")
    size: int | None = Field(None, description="bytes to download more (or less); null when a side does not know")
    tools: tuple[ToolChange, ...] = Field((), description="tools that differ")
    packages: tuple[PackageChange, ...] = Field((), description="packages that differ, by section and name")
    left_out: tuple[LeftOutChange, ...] = Field((), description="tools that are left out otherwise")
    sections: tuple[SectionChange, ...] = Field((), description="sections that are asked otherwise")
    licenses: tuple[LicenseChange, ...] = Field((), description="packages that are under other terms")
    vulnerabilities: Vulnerabilities | None = Field(None, description="null when nobody was asked")
    layers: Layers | None = Field(None, description="null when one side is a lock and the other an image, or a machine")

    @property
    def is_empty(self) -> bool:
        """Whether nothing that is in images or is asked for differs."""
        kinds = {self.old.base_kind, self.new.base_kind} - {None}
        return (
            self.old.base == self.new.base
            and len(kinds) < 2
            and not (self.tools or self.packages or self.left_out or self.sections)
        )
