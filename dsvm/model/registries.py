"""Where packages come from beside the ordinary places: indexes, and repositories of system packages."""

from __future__ import annotations

import datetime
import operator
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from dsvm.model.common import BaseName, Line, Model, Name, as_list, is_none


class Index(Model):
    """A package index of its own, for packages that the ecosystem's ordinary one has in another build."""

    index: Name
    url: Line
    packages: tuple[Name, ...] = Field(
        (), description="packages that come from here and nowhere else; all, when it is a snapshot with a date"
    )
    everywhere: bool = Field(
        False,
        exclude_if=operator.not_,
        description="its Python packages come from here in every environment, whoever needs them, and not only where a "
        "tool's source names it",
    )
    local: Line | None = Field(None, description="local version label that proves the build, for example cpu")
    date: datetime.date | None = Field(None, description="day of the snapshot, for {date} in URLs")
    tree: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = Field(
        None, exclude_if=is_none, description="git's hash of the snapshot's files, for {tree} in URLs"
    )

    @model_validator(mode="after")
    def _packages_or_snapshot(self) -> Self:
        state = {name: value for name in ("date", "tree") if (value := getattr(self, name)) is not None}
        if len(state) + bool(self.packages) != 1:
            raise ValueError("an index has either 'packages' or, for a whole snapshot, a 'date' or a 'tree'")
        if self.everywhere and not self.packages:
            raise ValueError("'everywhere' is for an index with 'packages'")
        if missing := [f"{{{name}}}" for name in state if f"{{{name}}}" not in self.url]:
            raise ValueError(f"the 'url' of a snapshot has a place for its state: {missing[0]}")
        return self

    def at(self, url: str) -> str:
        """`url`, the index's own or a mirror's, with the snapshot's state in its place."""
        return url.replace("{date}", str(self.date)).replace("{tree}", str(self.tree))


# A package name, or a pattern of names in which * and ? stand for other characters.
PackagePattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.*?-]+$", max_length=100)]


def _is_metadata(value: str) -> bool:
    return value == "metadata"


class Key(Model):
    """The OpenPGP key that signs a repository."""

    urls: tuple[Line, ...] = Field(
        min_length=1, description="where it may be had, tried in order; one without a scheme is below the place's root"
    )
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{40}([0-9A-F]{24})?$")] = Field(
        description="fingerprint of its primary key in full, 40 hexadecimal digits"
    )
    signs: Literal["metadata", "packages"] = Field(
        "metadata",
        exclude_if=_is_metadata,
        description="the list of its packages, or only each package, as some repositories of dnf do",
    )

    @field_validator(
        "fingerprint",
        mode="before",
        json_schema_input_type=Annotated[
            str, StringConstraints(pattern=r"^ *([0-9A-Fa-f] *){40}(([0-9A-Fa-f] *){24})?$")
        ],
    )
    @classmethod
    def _as_people_write_it(cls, value: object) -> object:
        return value.replace(" ", "").upper() if isinstance(value, str) else value


class Place(Model):
    """Where in a repository the packages for some bases are."""

    base: tuple[BaseName, ...] = Field(min_length=1)
    path: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*)?$")] = Field(
        "", description="folder below the repository's root"
    )
    suite: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*/?|/)$")] = Field(
        "/", description="name of the suite, or a flat folder, which ends in a slash"
    )
    components: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+/-]+$")], ...] = ()
    key: Key | None = Field(None, description="where it is not the repository's")

    _one_base = field_validator("base", mode="before", json_schema_input_type=tuple[BaseName, ...] | BaseName)(as_list)

    @model_validator(mode="after")
    def _flat_or_not(self) -> Self:
        if self.suite.endswith("/") == bool(self.components):
            raise ValueError("a suite has components, and a flat folder ('suite' that ends in a slash) has none")
        return self


class Repository(Model):
    """A repository of system packages beside the base's own: a vendor's, or another suite of the distribution."""

    repository: Name
    summary: Line
    uri: Annotated[str, StringConstraints(pattern=r"^(https?|file)://[^\s\[\]'\"]+$")] | None = Field(
        None, description="its root; 'sources' of a user's own configuration can name another"
    )
    archive: Name | None = Field(
        None, description="instead of 'uri': an archive whose place this host knows, such as debian or cran"
    )
    key: Key | None = Field(None, description="what signs it; the base's own keyring when there is none")
    places: tuple[Place, ...] = Field(min_length=1)
    packages: tuple[PackagePattern, ...] = Field(
        min_length=1, description="packages, or patterns of their names, that come from here"
    )
    needs: bool = Field(
        False, description="what these packages need and nobody else has comes from here too; nothing else ever does"
    )
    priority: int = Field(600, ge=501, le=999, description="of these packages; the base's own have 500")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.uri is None) == (self.archive is None):
            raise ValueError("a repository has exactly one of 'uri' and 'archive'")
        if self.uri is not None and not all(place.key or self.key for place in self.places):
            raise ValueError("a repository with a 'uri' has a 'key': urls and fingerprint")
        bases = [base for place in self.places for base in place.base]
        if len(bases) != len(set(bases)):
            raise ValueError("a base has one place in a repository")
        return self

    def place(self, base: str) -> Place | None:
        """The place for `base`, with its key; None when the repository has none."""
        found = next((place for place in self.places if base in place.base), None)
        return found and found.model_copy(update={"key": found.key or self.key})
