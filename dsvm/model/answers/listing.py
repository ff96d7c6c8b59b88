"""The answer of `invoke list`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dsvm.model.answers.common import Answer, Fault, LockState
from dsvm.model.common import Accelerator, Format, Model
from dsvm.model.lock import LeftOut

# "locked" alone has a version; the four in the middle say why no image of a variant can have a tool
ToolPlace = Literal[
    "locked", "wanted", "left_out", "no_source", "machines_only", "gpu_only", "cpu_only", "not_named"
]  # fmt: skip


class ToolState(Model):
    """What a variant has of a tool."""

    state: ToolPlace = Field(
        description="locked; wanted: not locked yet; left_out: left_out of the variant says why; no_source: none for "
        "this base and accelerator; machines_only, gpu_only, cpu_only: only for such variants; not_named: the variant "
        "could have it and does not name it"
    )
    version: str | None = Field(description="locked version, as the tool's makers number it; null unless locked")


class ListedVariant(Model):
    """A variant and its state."""

    variant: str = Field(description="name of the variant")
    base: str = Field(description="name of its base")
    accelerator: Accelerator = Field(description="what its images compute on")
    formats: tuple[Format, ...] = Field(description="what it comes out as")
    lock: LockState | None = Field(description="its lock; null: not locked yet")
    image: Literal["verified", "unverified", "absent", "unknown"] = Field(
        description="its container image in the engine; unknown: no engine answers"
    )
    left_out: tuple[LeftOut, ...] = Field(description="tools that it names and lacks, by name")
    tools: dict[str, ToolState] = Field(description="state of every tool of the catalog, by the tool's name")
    sizes: dict[str, dict[str, int]] | None = Field(
        description="with --sizes: group -> tool, or what several of them share -> bytes of its packages in a "
        "container image, packed, those of two environments twice; null without, and where nothing is locked"
    )


class ListedTool(Model):
    """A tool of the catalog."""

    tool: str = Field(description="name of the tool")
    group: str = Field(description="group that it is listed in")
    summary: str = Field(description="what it is, in words")


class ListedBase(Model):
    """A base of the catalog, and where its tools may come from."""

    base: str = Field(description="name of the base")
    summary: str = Field(description="what it is, in words")
    variants: tuple[str, ...] = Field(description="names of the variants on it, sorted")
    ecosystems: tuple[str, ...] = Field(description="ecosystems that tools on it can come from")
    excluded: tuple[str, ...] = Field(description="known ecosystems that have nothing for it")


class ListAnswer(Answer):
    """The answer of `invoke list`: what there is, what is locked and built."""

    schema_: Literal["dsvm.list/1"] = Field("dsvm.list/1", alias="schema", description="this schema and its version")
    variants: tuple[ListedVariant, ...] = Field(description="variants without faults, by name")
    tools: tuple[ListedTool, ...] = Field(description="all tools, by group and name")
    bases: tuple[ListedBase, ...] = Field(description="all bases, as the catalog has them")
    faults: tuple[Fault, ...] = Field(description="what is wrong with the variants that are not listed")
