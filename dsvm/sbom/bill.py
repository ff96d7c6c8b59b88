"""What a bill of materials says, whatever it is written in."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from packageurl import PackageURL


# What of a component of an image agrees with the lock, best first
FILES = "each of its files is the one that the locked artefact has"
POOL = "its record is the locked artefact's, and each file beside it is of some locked artefact"
RECORD = "its name and version are as locked"
OTHERS = "its name and version are as locked, and files of it are not those of the locked artefact"
UNLOCKED = "it is not in the lock"
UNSEEN = "packages of its kind leave no record: taken from the lock"
ORDER = (FILES, POOL, RECORD, UNSEEN, OTHERS, UNLOCKED)


@dataclass(frozen=True)
class Part:
    """What a package brings of others inside itself."""

    name: str
    version: str | None
    # what says so, or what it is: a path inside the artefact
    file: str
    purl: str | None = None
    sha256: str | None = None
    license: str | None = None

    def ref(self, whole: str) -> str:
        """SECTION/NAME@VERSION!NAME@VERSION, with the file where that does not tell parts apart."""
        return f"{whole}!{self.name}@{self.version or ''}({self.file})"


@dataclass(frozen=True)
class Component:
    """A package in one place of an image; the same one in another place is another component."""

    # SECTION/NAME@VERSION: nothing else of a bill is called so
    ref: str
    name: str
    version: str
    purl: PackageURL
    section: str
    ecosystem: str
    # the tools that bring it, as far as that is known; all of its section where it is not
    tools: tuple[str, ...] = ()
    # the Python environment
    env: str | None = None
    sha256: str | None = None
    # bytes of the artefact
    size: int | None = None
    registry: str | None = None
    # of a plain download
    url: str | None = None
    # an SPDX expression; None where it is not known
    license: str | None = None
    # refs of what it needs; None where its artefact could not be asked
    needs: tuple[str, ...] | None = None
    # what its artefact brings of others
    parts: tuple[Part, ...] = ()
    # in the bill of an image: what of it agrees with the lock, one of the words above
    evidence: str | None = None


@dataclass(frozen=True)
class Product:
    """A tool: what people asked for, made of components."""

    ref: str
    name: str
    version: str | None
    summary: str
    homepage: str | None
    license: str | None
    # refs of the components that it asks for itself
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Bill:
    """What is in the image of a variant; everything sorted by ref."""

    variant: str
    summary: str
    version: str
    # of what the image has of the lock, in hex, as the label org.dsvm.lock has it
    lock: str
    # seconds since 1970: when a pin last changed
    epoch: int
    base: str
    tools: tuple[Product, ...]
    components: tuple[Component, ...]
    # of the image that was looked into; None for a bill of the lock
    image: str | None = None
    # of that image: refs of what its lock has and it lacks
    missing: tuple[str, ...] = ()
    # and its records of packages that tell nothing, with why
    unread: tuple[str, ...] = ()

    def with_evidence(self, evidence: str) -> tuple[str, ...]:
        """The refs of components of which no more can be said."""
        return tuple(one.ref for one in self.components if one.evidence == evidence)

    @property
    def ref(self) -> str:
        return f"image/{self.variant}"

    @property
    def serial(self) -> uuid.UUID:
        """The same for the same lock, or for the same image and lock."""
        of = f"{self.lock}:{self.image}" if self.image else self.lock
        return uuid.uuid5(uuid.NAMESPACE_URL, f"dsvm-sbom:{self.variant}:{of}")

    @property
    def entries(self) -> tuple[Product | Component, ...]:
        return (*self.tools, *self.components)

    @property
    def unknown(self) -> int:
        """How many components there are of which nobody could say what they need."""
        return sum(one.needs is None for one in self.components)

    def edges(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each ref with the refs that it needs: image, tools, components. What nothing else needs, the image does."""
        needed = {ref for one in self.entries for ref in one.needs or () if ref != one.ref}
        loose = [one.ref for one in self.components if one.ref not in needed]
        yield self.ref, tuple(sorted([*(one.ref for one in self.tools), *loose]))
        for one in self.entries:
            yield one.ref, tuple(ref for ref in one.needs or () if ref != one.ref)


def written(document: Mapping[str, Any]) -> str:
    """JSON with a line for each member of its lists, so that bills can be compared; ends in a newline."""
    members = []
    for key, value in document.items():
        lines = [json.dumps(one) for one in value] if isinstance(value, list) else []
        text = "[\n" + ",\n".join(lines) + "\n]" if lines else json.dumps(value)
        members.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(members) + "\n}\n"


def uri(url: str) -> str:
    """A URL with everything escaped that may not stand in one."""
    return quote(url, safe=":/?#[]@!$&'()*+,;=%~")
