"""Manifests and indexes of registries: https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md

What a registry hands out is not believed: these models say what of it may be so at all.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from dsvm.model.common import Model

MOST_MANIFEST = 4 << 20  # bytes: registries need not take more
IMAGE: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"

ImageDigest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
MediaType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*$")]
Text = Annotated[str, StringConstraints(max_length=20_000)]


class Document(Model):
    """A document of a registry, in its own words (mediaType); what it says beyond the fields stays with it."""

    model_config = ConfigDict(extra="allow", validate_by_name=True, validate_by_alias=True)

    def written(self) -> dict[str, Any]:
        """As it is written in JSON, without what is not said."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def data(self) -> bytes:
        """Its bytes when it is ours: the same for the same content."""
        return json.dumps(self.written(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Descriptor(Document):
    """What one document says of another, or of a blob."""

    media_type: MediaType = Field(alias="mediaType")
    digest: ImageDigest
    size: int = Field(ge=0, le=1 << 44)
    artifact_type: MediaType | None = Field(None, alias="artifactType")
    annotations: dict[Text, Text] | None = None
    platform: dict[str, Any] | None = None

    def annotation(self, key: str) -> str:
        return (self.annotations or {}).get(key, "")


class Manifest(Document):
    """An image, or anything else that has blobs."""

    schema_version: Literal[2] = Field(2, alias="schemaVersion")
    media_type: Literal[
        "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"
    ] = Field(IMAGE, alias="mediaType")
    artifact_type: MediaType | None = Field(None, alias="artifactType")
    config: Descriptor
    layers: tuple[Descriptor, ...] = Field(max_length=2000)
    subject: Descriptor | None = None
    annotations: dict[Text, Text] | None = None

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, each once."""
        return tuple({one.digest: one for one in (self.config, *self.layers)}.values())


class ImageIndex(Document):
    """A list of manifests."""

    schema_version: Literal[2] = Field(2, alias="schemaVersion")
    media_type: Literal[
        "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"
    ] = Field(INDEX, alias="mediaType")
    artifact_type: MediaType | None = Field(None, alias="artifactType")
    manifests: tuple[Descriptor, ...] = Field(max_length=5000)
    subject: Descriptor | None = None
    annotations: dict[Text, Text] | None = None


def digest_of_bytes(data: bytes) -> str:
    """sha256:HEX, as registries name what they hold."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def described(document: Manifest | ImageIndex, data: bytes | None = None) -> Descriptor:
    """The descriptor of a document: of its own bytes, or of those that it was read from."""
    data = document.data if data is None else data
    return Descriptor(
        media_type=document.media_type,
        digest=digest_of_bytes(data),
        size=len(data),
        artifact_type=document.artifact_type,
    )


def read_document(data: bytes, media_type: str = "") -> Manifest | ImageIndex:
    """A manifest or an index. Raises ValueError, with what is wrong with it in one line."""
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError as error:
        raise ValueError("no JSON") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    said = found.get("mediaType") or media_type.partition(";")[0].strip()
    if media_type and said != media_type.partition(";")[0].strip():
        raise ValueError("it says another media type than the registry")
    model = Manifest if said in (IMAGE, DOCKER_IMAGE) else ImageIndex if said in (INDEX, DOCKER_INDEX) else None
    if model is None:
        raise ValueError("neither a manifest nor an index")
    try:
        return model.model_validate({**found, "mediaType": said})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
