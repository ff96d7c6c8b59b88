"""What all models are made of: their base class, the forms of their words, digests and JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Accelerator = Literal["cpu", "gpu"]
Format = Literal["docker", "qcow2", "vhd", "vmdk", "ami", "azure", "gcp"]
# Those of virtual machines, and of them those whose disk is laid out here
MACHINE_FORMATS: tuple[Format, ...] = ("qcow2", "vhd", "vmdk", "ami", "azure", "gcp")
DISK_FORMATS: tuple[Format, ...] = ("qcow2", "vhd", "vmdk")
Platform = Literal["linux", "windows"]
# What a base is made from: an image of a registry, packages of the distribution's archive, or, for virtual machines
# only, an installed system that the builder brings and the lock knows nothing of
BaseKind = Literal["registry", "bootstrap", "machine"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9.-]*$", max_length=64)]
# Names of other manifests' things: their JSON Schemas offer the known ones to editors (see `catalog.schemas`).
ToolName = Annotated[Name, Field(json_schema_extra={"names": "tools"})]
# A tool, or a group of tools: what a variant lists.
GROUP = "group:"
Wanted = Annotated[
    str,
    StringConstraints(pattern=r"^(group:)?[a-z][a-z0-9.-]*$", max_length=70),
    Field(json_schema_extra={"names": "wanted"}),
]
BaseName = Annotated[Name, Field(json_schema_extra={"names": "bases"})]
VariantName = Annotated[Name, Field(json_schema_extra={"names": "variants"})]
IndexName = Annotated[Name, Field(json_schema_extra={"names": "indexes"})]
RepositoryName = Annotated[Name, Field(json_schema_extra={"names": "repositories"})]
GpuName = Annotated[Name, Field(json_schema_extra={"names": "gpus"})]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# One line of printable text: what is shown in tables and labels can break neither.
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=500)]
ImagePath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._+@/-]*$", max_length=200)]
CudaVersion = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,2}(\.[0-9]{1,2})?$")]
Driver = Annotated[str, StringConstraints(pattern=r"^[0-9]{3,4}(\.[0-9]+)*$")]


class Model(BaseModel):
    """Frozen and strict: an unknown key is a fault, not a guess."""

    # in JSON that we print, every field is there
    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_serialization_defaults_required=True, defer_build=True
    )


def digest_of(value: object) -> str:
    """SHA-256, in hex, over the canonical JSON of `value` (keys sorted, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def canonical_json(value: Mapping[str, Any] | Model) -> str:
    """Stable, readable JSON that ends in a newline: the form of every file we write."""
    data = value.model_dump(mode="json", exclude_none=True) if isinstance(value, Model) else value
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def is_empty(value: Collection[object]) -> bool:
    return not value


def is_false(value: bool) -> bool:
    return not value


def is_none(value: object) -> bool:
    return value is None


def only_machines(formats: tuple[Format, ...]) -> bool:
    """Whether what is for `formats` (for all of them when there are none) is in no container image."""
    return bool(formats) and "docker" not in formats


def as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def as_small_words(value: object) -> object:
    words = as_list(value)
    return [word.lower() if isinstance(word, str) else word for word in words] if isinstance(words, list) else words


def as_text(value: object) -> object:
    return str(value) if type(value) is int else value
