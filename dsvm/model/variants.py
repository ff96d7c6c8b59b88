"""Variants: what makes one image."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from dsvm.model.common import (
    GROUP,
    Accelerator,
    BaseName,
    Driver,
    Format,
    GpuName,
    Line,
    Model,
    Name,
    VariantName,
    Wanted,
    as_small_words,
    as_text,
)

AnyCase = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9.-]*$", max_length=64)]


def _whole_or_extending(schema: dict[str, Any]) -> None:
    """What a JSON Schema says of `Variant._whole`."""
    schema["anyOf"] = [{"required": ["base", "accelerator", "tools"]}, {"required": ["extends"]}]


class Variant(Model):
    """One image definition: whole, or what differs from the variant that it extends."""

    model_config = ConfigDict(json_schema_extra=_whole_or_extending)

    variant: Name
    extends: VariantName | None = Field(
        None, description="variant that it takes everything from that it does not say itself"
    )
    summary: Line = ""
    base: BaseName = ""
    accelerator: Accelerator = "cpu"
    formats: tuple[Format, ...] = Field(("docker",), min_length=1)
    tools: tuple[Wanted, ...] = Field(
        (),
        description="tools, or with group:NAME all of a group that there are for it; with 'extends', beside those of "
        "the other variant",
    )
    without: tuple[Wanted, ...] = Field(
        (), description="tools, or groups, of the other variant or of a group under 'tools' that this one lacks"
    )

    gpus: tuple[GpuName, ...] = Field((), description="GPUs that it must run on, as compat.yaml names them: v100, h100")
    driver: Driver | None = Field(None, description="NVIDIA driver branch of its machines, for example 580")

    _driver_text = field_validator("driver", mode="before", json_schema_input_type=Driver | int | None)(as_text)
    _one_gpu = field_validator(
        "gpus", mode="before", json_schema_input_type=tuple[GpuName | AnyCase, ...] | GpuName | AnyCase
    )(as_small_words)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.extends is not None:
            return self
        if missing := [key for key in ("base", "accelerator", "tools") if key not in self.model_fields_set]:
            keys = ", ".join(f"'{key}'" for key in missing)
            raise ValueError(f"{keys} missing: only a variant that extends another one may leave that out")
        if not self.tools:
            raise ValueError("'tools' names no tool")
        if self.without and not any(word.startswith(GROUP) for word in self.tools):
            raise ValueError("'without' goes with 'extends', or with a group under 'tools'")
        return self

    def extended(self, other: Variant) -> Variant:
        """This variant, made whole with what `other`, which it extends, says beside it."""
        said = {key: getattr(self, key) for key in self.model_fields_set}
        kept = [tool for tool in other.tools if tool not in self.without]
        return other.model_copy(update=said | {"tools": tuple(dict.fromkeys((*kept, *self.tools)))})
