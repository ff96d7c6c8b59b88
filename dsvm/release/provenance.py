"""Where an image comes from, in words that others read: an in-toto statement with SLSA's provenance.

https://github.com/in-toto/attestation/blob/v1.1.2/spec/v1/statement.md, https://slsa.dev/spec/v1.2/build-provenance
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeVar

from packageurl import PackageURL
from pydantic import ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from dsvm.model import Base, Format, Line, Lock, Model, Pin, Section, Sha256
from dsvm.release.surroundings import Revision, Surroundings
from dsvm.sbom import purl_of

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
CYCLONEDX = "https://cyclonedx.org/bom"
BUILD_TYPE: Final = "urn:dsvm:build:v1"  # docs/release.md says what its parameters mean
LEVEL = "SLSA Build L1: said by the build itself, and by whoever else could run it or had its key"


class Said(Model):
    """Something of these formats, in its own words; of what others add to it nothing is read."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="ignore")

    @property
    def data(self) -> bytes:
        """Its bytes: the same for the same content."""
        found = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Resource(Said):
    """Something with a digest."""

    name: str | None = None
    uri: str | None = None
    digest: dict[str, str]
    annotations: dict[str, Any] | None = None


class Statement(Said):
    """Something that is said of things with digests."""

    type_: Literal["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"] = Field(
        STATEMENT, alias="_type"
    )
    subject: tuple[Resource, ...]
    predicate_type: str
    predicate: dict[str, Any]

    @classmethod
    def of(cls, data: bytes) -> Statement:
        """Raises ValueError, in one line."""
        return _read(cls, data)

    def speaks_of(self, digest: str) -> bool:
        algorithm, _, value = digest.partition(":")
        return any(one.digest.get(algorithm) == value for one in self.subject)


class Asked(Said):
    """What was asked for."""

    variant: Line
    format: Format


class Found(Said):
    """What that led to here."""

    base: Line
    base_kind: Line
    lock: Sha256
    plan: Sha256 | None = None
    claim: str = LEVEL


class BuildDefinition(Said):
    build_type: Literal["urn:dsvm:build:v1"] = BUILD_TYPE
    external_parameters: Asked
    internal_parameters: Found
    resolved_dependencies: tuple[Resource, ...]


class Builder(Said):
    id: str
    version: dict[str, str]


class BuildMetadata(Said):
    invocation_id: str
    started_on: datetime.datetime | None = None
    finished_on: datetime.datetime | None = None


class RunDetails(Said):
    builder: Builder
    metadata: BuildMetadata


class Provenance(Said):
    """What a build says of what it made."""

    build_definition: BuildDefinition
    run_details: RunDetails

    @classmethod
    def of(cls, predicate: Mapping[str, Any]) -> Provenance:
        """Raises ValueError, in one line."""
        return _read(cls, json.dumps(predicate).encode())

    @property
    def written(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def artefacts(self) -> set[str]:
        """SHA-256 of everything that was locked."""
        return {found for one in self.build_definition.resolved_dependencies if (found := one.digest.get("sha256"))}


T = TypeVar("T", bound=Said)


def statement_about(
    place: str, digest: str, predicate_type: str, predicate: Mapping[str, Any], notes: Mapping[str, str] | None = None
) -> Statement:
    """What is said of the document with that digest in HOST/REPOSITORY; `notes` are annotations of it."""
    algorithm, _, value = digest.partition(":")
    subject = Resource(name=place, digest={algorithm: value}, annotations=dict(notes) if notes else None)
    return Statement(subject=(subject,), predicate_type=predicate_type, predicate=dict(predicate))


def provenance_of(
    lock: Lock,
    base: Base,
    around: Surroundings,
    revisions: Iterable[Revision],
    *,
    format: Format,
    plan: str | None,
    version: str,
    times: tuple[datetime.datetime, datetime.datetime] | None = None,
) -> Provenance:
    """Where what was built from `lock` comes from; `times` are when its build began and ended, where that is known.

    `plan` is the digest of the plan, as the label of a container and the description of a disk say it; `version` is
    that of DSVM.
    """
    lock = lock.of(format)
    began, ended = times or (None, None)
    return Provenance(
        build_definition=BuildDefinition(
            external_parameters=Asked(variant=lock.variant, format=format),
            internal_parameters=Found(base=lock.base, base_kind=lock.base_kind, lock=lock.digest, plan=plan),
            resolved_dependencies=(*_revisions(revisions), *_artefacts(lock, base)),
        ),
        run_details=RunDetails(
            builder=Builder(id=around.builder, version={"dsvm": version}),
            metadata=BuildMetadata(
                invocation_id=around.invocation or _invocation(lock, ended),
                started_on=_to_second(began),
                finished_on=_to_second(ended),
            ),
        ),
    )


def _revisions(revisions: Iterable[Revision]) -> list[Resource]:
    return [
        Resource(
            name=one.name,
            uri=f"git+{one.remote}@{one.commit}" if one.remote else None,
            digest={"gitCommit": one.commit},
            annotations={"modified": True} if one.modified else None,
        )
        for one in revisions
    ]


def _artefacts(lock: Lock, base: Base) -> list[Resource]:
    found = [
        Resource(
            name=f"{section.id}/{pin.name}", uri=_purl(section, pin, base).to_string(), digest={"sha256": pin.sha256}
        )
        for section in lock.sections
        for pin in section.pins
    ]
    return sorted(found, key=lambda one: (one.name or "", one.digest["sha256"]))


def _purl(section: Section, pin: Pin, base: Base) -> PackageURL:
    repository, of_image, _ = pin.file.partition("@sha256:")
    if of_image:
        name = repository.rpartition("/")[2]
        return PackageURL("oci", None, name, f"sha256:{pin.sha256}", {"repository_url": repository})
    return purl_of(section.ecosystem, pin, base)


def _invocation(lock: Lock, ended: datetime.datetime | None) -> str:
    """One for each build where nobody counts them."""
    import uuid

    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'dsvm-build:{lock.variant}:{lock.digest}:{ended}')}"


def _to_second(time: datetime.datetime | None) -> datetime.datetime | None:
    return time.astimezone(datetime.UTC).replace(microsecond=0) if time is not None else None


def _read(model: type[T], data: bytes) -> T:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
