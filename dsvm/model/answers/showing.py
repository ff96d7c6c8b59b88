"""The answer of `invoke show`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dsvm.model.answers.common import Answer, LockState
from dsvm.model.common import Accelerator, BaseKind, Format, Model
from dsvm.model.lock import LeftOut


class ShownStage(Model):
    """A stage of the build."""

    stage: str = Field(description="name of the stage")
    parent: str = Field(description="'base', or the stage that it starts from")
    ecosystem: str = Field(description="ecosystem of its packages")
    packages: int = Field(description="number of packages")
    size: int = Field(description="bytes of the artefacts of its packages")
    in_image: bool = Field(description="false: only building needs it")
    layers: int = Field(description="layers of the image that it becomes; 0: none, or the image has no layers")


class ShownTool(Model):
    """A tool of a variant."""

    tool: str = Field(description="name of the tool")
    group: str = Field(description="group that it is listed in")
    summary: str = Field(description="what it is, in words")
    license: str = Field(description="SPDX expression")
    version: str | None = Field(description="locked version, as its ecosystem writes it; null: not locked yet")
    ecosystem: str | None = Field(description="ecosystem that it comes from; null: not locked yet")
    env: str | None = Field(description="Python environment that it is in: /opt/envs/ENV; null: none, or not locked")


class ShownChoice(Model):
    """The source of a tool that was taken when it was locked."""

    tool: str = Field(description="name of the tool")
    source: int = Field(description="place among the sources of its manifest, from 0")
    formats: tuple[Format, ...] = Field(description="formats that this choice is for; all when empty")
    passed_over: tuple[str, ...] = Field(description="ecosystems of earlier sources that were out of reach then")
    remark: str | None = Field(description="what the manifest says to whoever gets the tool from there")


class ShowAnswer(Answer):
    """The answer of `invoke show`: stages, tools and versions of one variant."""

    schema_: Literal["dsvm.show/1"] = Field("dsvm.show/1", alias="schema", description="this schema and its version")
    variant: str = Field(description="name of the variant")
    summary: str = Field(description="what it is, in words")
    base: str = Field(description="name of its base")
    base_kind: BaseKind | None = Field(description="what the base is made from; null: not locked yet")
    accelerator: Accelerator = Field(description="what its images compute on")
    lock: LockState | None = Field(description="its lock; null: not locked yet")
    stages: tuple[ShownStage, ...] = Field(description="stages of the build, in their order; none: not locked yet")
    tools: tuple[ShownTool, ...] = Field(description="tools of its images, in the order of the lock or the manifest")
    choices: tuple[ShownChoice, ...] = Field(description="sources that were taken, in the order of the lock")
    left_out: tuple[LeftOut, ...] = Field(description="tools that it names and its container image lacks")
