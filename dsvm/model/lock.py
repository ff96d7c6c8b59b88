"""What a lock holds: sections of pins, and the choices that led to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dsvm.model.common import BaseKind, Format, Line, Model, Name, Sha256, digest_of, is_empty, is_none

LONGEST_WORD = 500  # characters
LAST_TIME = 1 << 33  # seconds since 1970: the year 2242


def _is_word(text: str) -> str:
    if not text.isprintable() or " " in text or not 0 < len(text) <= LONGEST_WORD:
        raise ValueError(f"it is no word of 1 to {LONGEST_WORD} printable characters")
    return text


def _is_place(text: str) -> str:
    """A URL, or a path that leads nowhere but down."""
    scheme, _, rest = text.rpartition("://")
    parts = rest.split("/")
    if scheme not in ("", "http", "https", "file") or (not scheme and not {"", ".", ".."}.isdisjoint(parts)):
        raise ValueError("it is neither a relative path nor a URL")
    if "\\" in text:
        raise ValueError("a path has no backslash")
    return text


# What people read in tables and reviews: nothing in it is invisible, or turns the text around.
Word = Annotated[str, AfterValidator(_is_word)]


class Pin(Model):
    """One resolved artefact. `file` is a file name or pool-relative path; only plain downloads have their URL there."""

    name: Word
    version: Word
    file: Annotated[Word, AfterValidator(_is_place)]
    size: int = Field(ge=0, description="bytes")
    sha256: Sha256
    registry: Word = Field(description="name of the registry it comes from: debian, pypi, npm, pytorch-cpu, url")
    integrity: Line | None = Field(None, description="npm's own digest, sha512-BASE64")

    @property
    def filename(self) -> str:
        return self.file.rsplit("/", 1)[-1]

    @property
    def plain_name(self) -> str:
        """The name without the version that tells it from others of its name, as several of npm's are in a section."""
        return self.name.removesuffix(f"@{self.version}")


class NoExtra(Model):
    """The `extra` of a section that needs none."""


class Later(Model):
    """Packages that came to a section while nothing else of it moved: a layer of their own, on top of all others."""

    packages: tuple[Word, ...] = Field(min_length=1, description="names of its pins, sorted")
    epoch: int = Field(ge=0, le=LAST_TIME, description="seconds since 1970: when they came, or last changed")


class Section(Model):
    """What one ecosystem resolved for one place in the image; re-locked as a whole."""

    id: Word = Field(description="system, env-pytorch, code-server, code-server-build-apt, ...")
    ecosystem: Name
    tools: tuple[Name, ...] = Field((), description="tools that asked for it")
    request: Any = Field(description="what was asked, as JSON")
    input: Sha256 = Field(description="digest of request and base: the section is stale when it differs")
    epoch: int = Field(
        ge=0, le=LAST_TIME, description="seconds since 1970: when its pins last changed; mtime of its system packages"
    )
    pins: tuple[Pin, ...]
    extra: dict[str, Any] = Field(default_factory=dict, description="what the ecosystem needs for installing")
    formats: tuple[Format, ...] = Field(
        (), exclude_if=is_empty, description="only in images of these formats; in all when empty"
    )
    later: Later | None = Field(None, exclude_if=is_none)

    @model_validator(mode="after")
    def _later_are_pins(self) -> Self:
        if self.later and (unknown := {*self.later.packages} - {pin.name for pin in self.pins}):
            raise ValueError(f"what came later is none of its pins: {', '.join(sorted(unknown))}")
        return self

    def pin(self, name: str) -> Pin | None:
        return next((pin for pin in self.pins if pin.name == name), None)


# In a lock only the first two; what is for other formats follows from the manifests.
LeftOutKind = Literal["requested", "unreachable", "unsuited"]
ON_REQUEST = "left out on request"
OUT_OF_REACH = "not within reach when this was locked"


class LeftOut(Model):
    """A tool that a variant names and its images do not have."""

    tool: Name = Field(description="name of the tool")
    reason: Line = Field(description="why, in words")
    kind: LeftOutKind = Field(
        "requested",
        description="requested: until it is put back; unreachable: it, or a tool that it needs, until its source "
        "answers; unsuited: it is for other formats only",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_old(cls, data: Any) -> Any:
        """Locks had no kind once, and said what was out of reach in words alone."""
        if isinstance(data, dict) and "kind" not in data and data.get("reason") == OUT_OF_REACH:
            return {**data, "kind": "unreachable"}
        return data


class Choice(Model):
    """Which source of a tool was taken, and why the earlier ones were not."""

    tool: Name
    source: int = Field(ge=0, description="place in the tool's sources, from 0")
    passed_over: tuple[Word, ...] = Field((), description="sources out of reach when it was locked, by ecosystem")
    formats: tuple[Format, ...] = Field(
        (), exclude_if=is_empty, description="only in images of these formats; in all when empty"
    )


class Lock(Model):
    """Every artefact of a variant."""

    version: Literal[1] = 1
    variant: Name
    base: Name
    base_kind: BaseKind
    choices: tuple[Choice, ...]
    left_out: tuple[LeftOut, ...] = ()
    sections: tuple[Section, ...]

    def section(self, section_id: str) -> Section | None:
        return next((section for section in self.sections if section.id == section_id), None)

    def of(self, format: Format) -> Lock:
        """What of it is in an image of `format`: what only others have moves neither its digest nor its epoch."""
        return self.model_copy(
            update={
                "choices": tuple(one for one in self.choices if not one.formats or format in one.formats),
                "sections": tuple(one for one in self.sections if not one.formats or format in one.formats),
            }
        )

    @property
    def artefacts(self) -> str:
        """A digest of what it holds alone: whenever it was locked, it is the same."""
        return digest_of([[section.id, [pin.sha256 for pin in section.pins]] for section in self.sections])

    @property
    def digest(self) -> str:
        return digest_of(self.model_dump(mode="json"))

    @property
    def epoch(self) -> int:
        """SOURCE_DATE_EPOCH of the image: when any of its pins last changed."""
        return max(max(one.epoch, one.later.epoch if one.later else 0) for one in self.sections)
