"""Rows of compat.yaml: what fits together, who says so, and since when."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field

from dsvm.model.common import CudaVersion, Driver, Line, Model, Name
from dsvm.model.registries import PackagePattern


def _specifiers(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f"'{text}' is no range of versions, such as '>= 3.10, < 3.14'") from error
    return text


def _plain_version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion as error:
        raise ValueError(f"'{text}' is no version") from error
    return text


Specifiers = Annotated[str, AfterValidator(_specifiers)]
PlainVersion = Annotated[str, AfterValidator(_plain_version)]


# What a rule of the gate says of one thing; not_checked: no row speaks about it.
GateLevel = Literal["ok", "not_checked", "warning", "error"]


class Row(Model):
    """One fact of compat.yaml. A row with the same key in a later folder replaces it."""

    source: Name = Field(description="who says so: a key of 'sources'")
    date: datetime.date = Field(description="when that was read")

    @property
    def key(self) -> tuple[str, ...]:
        """What it is about: values of the fields between the table's name and the facts."""
        raise NotImplementedError


class CudaRow(Row):
    """What every CUDA toolkit of one major version needs."""

    cuda: int = Field(ge=8, le=99, description="major version")
    driver: int = Field(description="oldest driver branch that runs it, by minor-version compatibility")
    sm: int = Field(description="oldest GPU architecture it compiles for: 75 is sm_75")

    @property
    def key(self) -> tuple[str, ...]:
        return (str(self.cuda),)


class ToolkitRow(Row):
    """The driver that a toolkit is bundled with: for information, the gate is the floor of its major version."""

    toolkit: CudaVersion = Field(description="version of CUDA")
    linux: Driver = Field(description="version of the driver for Linux")
    windows: Driver | None = Field(None, description="version of the driver for Windows")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.toolkit,)


class GpuRow(Row):
    """A GPU that people name."""

    gpu: Name = Field(description="the name by which variants ask for it, in small letters")
    sm: int = Field(description="its architecture: 90 is sm_90")
    cuda: CudaVersion | None = Field(None, description="first CUDA toolkit that knows it")
    last_driver: int | None = Field(None, description="last driver branch that supports it")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.gpu,)


class ModulesRow(Row):
    """The GPUs that one kind of the driver's kernel modules works with."""

    modules: Name = Field(description="the kind: open, proprietary")
    packages: tuple[PackagePattern, ...] = Field(min_length=1, description="packages that bring these modules")
    sm: tuple[int, int] = Field(description="oldest and newest architecture")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.modules,)


class BuildRow(Row):
    """GPU architectures that one CUDA build of a package carries."""

    package: Name = Field(description="name of the Python package")
    cuda: CudaVersion = Field(description="CUDA that the build is for")
    sm: tuple[int, int] = Field(description="oldest and newest architecture")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.package, self.cuda)


class FrameworkRow(Row):
    """What a package needs from version `since` on, until `before` or else until its next row."""

    package: Name = Field(description="name of the Python package")
    since: PlainVersion = Field(description="first version of which this row speaks")
    before: PlainVersion | None = Field(None, description="first version of which this row says nothing any more")
    python: Specifiers = Field("", description="versions of Python, a range as PEP 440 writes it; empty: any")
    cuda: tuple[CudaVersion, ...] = Field((), description="CUDA builds that exist; none: it carries no CUDA")
    exact: bool = Field(False, description="it refuses to work beside another minor version of CUDA than its own")
    extras: dict[Name, CudaVersion] = Field(
        default_factory=dict, description="extra -> CUDA, for packages that carry CUDA only when asked"
    )
    cudnn: Specifiers = Field("", description="versions of cuDNN, a range as PEP 440 writes it; empty: any")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.package, self.since)


class RepositoryRow(Row):
    """The release of a distribution that a vendor's package repository is made for."""

    path: Line = Field(min_length=4, description="part of the repository's URL that names the distribution")
    os: Name = Field(description="ID of os-release")
    release: Line = Field(description="release of the distribution: 22.04, 9")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.path,)


class DistributionRow(Row):
    """Releases of a distribution that a package's makers build it for."""

    package: Name = Field(description="name of the package")
    os: Name = Field(description="ID of os-release")
    releases: tuple[Line, ...] = Field(min_length=1, description="releases of the distribution: 22.04, 9")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.package, self.os)


class EndRow(Row):
    """When something's maintenance ends."""

    product: Name = Field(description="ID of os-release, python, nvidia-driver, or a tool")
    release: Line = Field(description="the release that ends: 12, 3.12, 580")
    support: datetime.date = Field(description="end of its makers' ordinary support")
    extended: datetime.date | None = Field(None, description="end of long-term or extended support")

    @property
    def key(self) -> tuple[str, ...]:
        return (self.product, self.release)

    @property
    def last(self) -> datetime.date:
        return self.extended or self.support


class EndPolicy(Model):
    """What an end means for an image, in days."""

    near: int = Field(180, ge=0, description="a warning from so long before the end of ordinary support")
    grace: dict[Name, int] = Field(
        default_factory=dict, description="by product: an error from so long after the last end; else at once"
    )


class Compat(Model):
    """What fits together: the rows that the gate judges by."""

    policy: EndPolicy = Field(EndPolicy(), description="what an end of life means for an image")
    sources: dict[Name, Line] = Field(default_factory=dict, description="who says so, by the name that rows use")
    cuda: tuple[CudaRow, ...] = Field((), description="what CUDA toolkits need, by major version")
    toolkits: tuple[ToolkitRow, ...] = Field((), description="drivers that toolkits are bundled with")
    gpus: tuple[GpuRow, ...] = Field((), description="GPUs that people name")
    modules: tuple[ModulesRow, ...] = Field((), description="kinds of the driver's kernel modules, and their GPUs")
    builds: tuple[BuildRow, ...] = Field((), description="GPU architectures in the builds of packages")
    frameworks: tuple[FrameworkRow, ...] = Field((), description="what packages need, from a version on")
    repositories: tuple[RepositoryRow, ...] = Field((), description="what vendors' repositories are made for")
    distributions: tuple[DistributionRow, ...] = Field((), description="what packages are made for")
    ends: tuple[EndRow, ...] = Field((), description="when maintenance ends")

    @property
    def tables(self) -> dict[str, tuple[Row, ...]]:
        return {name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), tuple)}

    def with_later(self, later: Self) -> Self:
        """This one with the rows of a later folder: new ones added, rows of the same key replaced."""
        changes: dict[str, Any] = {"sources": self.sources | later.sources}
        if "policy" in later.model_fields_set:
            said = {name: getattr(later.policy, name) for name in later.policy.model_fields_set}
            said["grace"] = self.policy.grace | later.policy.grace
            changes["policy"] = self.policy.model_copy(update=said)
        for name, rows in later.tables.items():
            merged = {row.key: row for row in (*self.tables[name], *rows)}
            changes[name] = tuple(merged.values())
        return self.model_copy(update=changes)
