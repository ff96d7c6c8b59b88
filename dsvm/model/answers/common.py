"""What answers share: faults of manifests, the state of a lock, and text that came from elsewhere."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field

from dsvm.model.common import Model

_FAULT = re.compile(r"(?P<file>.+?)(?::(?P<line>\d+))?: (?P<message>.*)", re.DOTALL)


def _sound(text: object) -> object:
    """Text without halves of surrogate pairs, by which Python writes bytes of paths that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else text


Text = Annotated[str, BeforeValidator(_sound)]


class Answer(Model):
    """What a command answers. What is absent is null; keys may come to a version of a schema, and none goes."""


class Fault(Model):
    """What is wrong with a manifest."""

    file: Text | None = Field(description="path of the manifest")
    line: int | None = Field(description="line, from 1; null: the whole file")
    message: Text = Field(description="what is wrong, in words")
    variants: tuple[str, ...] = Field(description="names of the variants that cannot be used because of it")

    @classmethod
    def of(cls, text: str, variants: tuple[str, ...]) -> Self:
        """A fault as the catalog says it: `file:line: message`, or `file: message`."""
        found = _FAULT.fullmatch(text)
        if found is None:
            return cls(file=None, line=None, message=text, variants=variants)
        line = int(found["line"]) if found["line"] else None
        return cls(file=found["file"], line=line, message=found["message"], variants=variants)


class LockState(Model):
    """A lock, and whether it fits the manifests."""

    state: Literal["current", "stale"] = Field(description="stale: the manifests ask for something else by now")
    digest: str = Field(description="SHA-256, in hex, of what container images take from it")
    changed: datetime.datetime | None = Field(
        description="when any of its artefacts last changed, ISO 8601 in UTC; null: it has none"
    )
    size: int = Field(description="bytes of all its artefacts, each counted once")
