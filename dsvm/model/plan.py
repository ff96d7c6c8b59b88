"""What a plan holds: stages and their steps, and the tools as the image has them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from dsvm.model.bases import Base
from dsvm.model.common import (
    Accelerator,
    BaseKind,
    Format,
    ImagePath,
    Line,
    Model,
    Name,
    Sha256,
    digest_of,
    is_empty,
    is_none,
)
from dsvm.model.lock import LeftOut, Section
from dsvm.model.tools import Check, File, Kernel, Service


class Step(Model):
    """One RUN, or one call on Windows: a script of the platform with its arguments, over the sections it reads."""

    script: Line
    args: tuple[str, ...] = ()
    sections: tuple[str, ...] = Field((), description="mounted read-only at /dsvm/store/SECTION")
    helpers: tuple[Line, ...] = Field((), description="further scripts that it calls, mounted beside it")
    cache: str | None = Field(None, description="name of a cache folder kept between builds, at /dsvm/cache")
    unreproducible: str | None = Field(
        None, exclude_if=is_none, description="why two runs may give different bytes; None: they may not"
    )


class Stage(Model):
    """A Dockerfile stage, or the next one of a sequence. A stage with `output` hands its /out folder to the image."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._-]*$")]
    section: Name = Field(description="section of the lock that it installs, or a part of it")
    title: Line
    parent: str = Field(description="'base' or the name of an earlier stage")
    brings: tuple[str, ...] = Field(
        (), exclude_if=is_empty, description="earlier stages whose output it starts with, beside its parent"
    )
    steps: tuple[Step, ...]
    output: bool = False
    unreproducible: str | None = Field(None, description="why two builds may differ; None: they may not")


class PlannedNotebook(Model):
    """A sample notebook in an image."""

    title: Line
    path: ImagePath
    kernel: Name


class PlannedTool(Model):
    """A tool as the image has it: what checks and reports are made from."""

    name: Name
    summary: str
    homepage: str
    license: str
    group: str
    package: str
    version: str = Field(description="locked version, as its ecosystem writes it")
    ecosystem: Name
    env: Name | None = None
    commands: tuple[str, ...] = ()
    kernel: Kernel | None = None
    notebook: PlannedNotebook | None = Field(None, exclude_if=is_none)
    service: Service | None = None
    checks: tuple[Check, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict, description="locked versions of all its own packages")
    lacks: dict[str, str] = Field(
        default_factory=dict, exclude_if=is_empty, description="libraries, or files that need them, that may lack: why"
    )


class MachinePart(Model):
    """What makes a virtual machine of a container image."""

    stage: str = Field(description="stage that installs what only a machine needs, on top of the finished image")
    root_uuid: str = Field(description="UUID of its root file system")
    esp_uuid: str = Field(description="volume ID of its EFI system partition, XXXX-XXXX")
    finish: Step = Field(description="the last step, over all files: services on, initial RAM disk made")
    provisioners: dict[Line, Sha256] = Field(
        description="scripts of scripts/machine that run in the booted machine, in this order, and their digests"
    )
    template: Sha256 = Field(description="digest of its Dockerfile's template")


class Plan(Model):
    """Variant and lock as ordered stages, before anything runs."""

    variant: Name
    summary: str
    accelerator: Accelerator
    base: Base
    base_kind: BaseKind
    lock_digest: Sha256
    epoch: int
    stages: tuple[Stage, ...]
    system: str = Field(description="name of the stage that the image continues from")
    tools: tuple[PlannedTool, ...]
    left_out: tuple[LeftOut, ...] = ()
    files: dict[ImagePath, File] = Field(default_factory=dict, description="small files of tools, with their text")
    environment: dict[str, str] = Field(default_factory=dict)
    sections: tuple[Section, ...] = Field(description="what the stages install from")
    scripts: dict[str, Sha256] = Field(default_factory=dict, description="scripts that run in the build")
    template: Sha256 = Field(description="digest of the template that it is rendered with")
    # These two are left out of the JSON of a container image's plan.
    format: Format | None = Field(None, exclude_if=is_none, description="of a virtual machine; None: a container")
    machine: MachinePart | None = Field(None, exclude_if=is_none)

    @property
    def digest(self) -> str:
        """Names the image: two plans with one digest give one image."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def services(self) -> dict[str, Service]:
        return {tool.name: tool.service for tool in self.tools if tool.service is not None}
