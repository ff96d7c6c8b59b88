"""A lock of the real manifests for Rocky Linux, made by the real dnf from archives whose packages are empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import rpm_archive as archives

from dsvm import ecosystems
from dsvm import lock as locks
from dsvm.catalog import Catalog, load
from dsvm.ecosystems import Context
from dsvm.ecosystems.repositories import named_by
from dsvm.host import Host
from dsvm.model import Base, Key, Lock
from dsvm.store import Store

BASE = "rocky-9"
# In an overlay of its own: tools that dnf alone brings, so that nothing else has to be reached.
VARIANT = """\
variant: rocky-system
summary: What dnf brings to Rocky Linux
base: rocky-9
accelerator: cpu
tools: [git, git-lfs, curl, build-tools, openjdk, pandoc, r, postgresql, postgresql-client, sqlite, locales, fonts,
        sudo, tini, docker-cli]
"""
STREAM = """\
---
document: modulemd
version: 2
data:
  name: {name}
  stream: "{stream}"
  version: 1
  context: aaaa
  arch: x86_64
  summary: test
  description: test
  license: {{module: [MIT]}}
"""


@dataclass(frozen=True)
class Place:
    """Archives in `folder` for the base and its repositories, each signed as the manifests say, but by keys of ours."""

    folder: Path

    @cached_property
    def catalog(self) -> Catalog:
        """The real manifests with the variant, and with our keys in the place of the real ones."""
        overlay = self.folder / "manifests/variants"
        overlay.mkdir(parents=True, exist_ok=True)
        (overlay / "rocky-system.yaml").write_text(VARIANT)
        found = load([overlay.parent])
        base = found.bases[BASE]
        assert base.bootstrap is not None
        assert base.bootstrap.key is not None
        bootstrap = base.bootstrap.model_copy(update={"key": self._ours(base.bootstrap.key)})
        repositories = {}
        for name, repository in found.repositories.items():
            places = [
                place.model_copy(update={"key": (key := place.key or repository.key) and self._ours(key)})
                if BASE in place.base
                else place
                for place in repository.places
            ]
            repositories[name] = repository.model_copy(update={"places": tuple(places)})
        bases = {**found.bases, BASE: base.model_copy(update={"bootstrap": bootstrap})}
        return replace(found, bases=bases, repositories=repositories)

    @cached_property
    def base(self) -> Base:
        return self.catalog.bases[BASE]

    @cached_property
    def signer(self) -> archives.Signer:
        return archives.Signer(self.folder / "gpg")

    def _ours(self, key: Key) -> Key:
        return key.model_copy(update={"fingerprint": self.signer.fingerprint, "urls": (self._key.as_uri(),)})

    @cached_property
    def _key(self) -> Path:
        path = self.folder / "key.asc"
        path.write_text(self.signer.armored)
        return path

    def requests(self) -> Iterator[tuple[str | None, tuple[str, ...]]]:
        """Everything that the manifests ask dnf for, each with the repository that it is asked of."""
        for tool in self.catalog.tools.values():
            for source in tool.sources:
                asked = (source.requests().get("dnf"), source.build.get("dnf"))
                yield from ((source.repository, tuple(one)) for one in asked if one)
        assert self.base.bootstrap is not None
        own = (self.base.system, *self.base.runtimes.values(), *self.base.compilers.values())
        yield from ((None, tuple(one)) for one in own)
        yield None, (*ecosystems.system(self.base).essential, *self.base.bootstrap.include)

    def publish(self) -> None:
        """Archives that have what the manifests ask for, where they say that it is."""
        asked = {one for _, request in self.requests() for one in request}
        built = archives.many(self.folder, (one for one in asked if not one.startswith("@")))
        streams = [one.removeprefix("@").split(":") for one in sorted(asked) if one.startswith("@")]
        modules = "".join(STREAM.format(name=name, stream=stream) for name, stream in streams)
        assert self.base.bootstrap is not None
        left = dict(built)
        for repository in self.catalog.repositories.values():
            place = repository.place(BASE)
            if place is None:
                continue
            theirs = [left.pop(name) for name in list(left) if named_by(repository, name)]
            assert place.key is not None
            if place.key.signs == "packages" and theirs:
                self.signer.sign_package(*theirs)
            root = self.folder / (repository.archive or repository.repository) / place.path
            archives.publish(root, theirs, self.signer if place.key.signs == "metadata" else None)
        for suite in self.base.bootstrap.suites:
            archives.publish(self.folder / suite, left.values(), self.signer, modules=modules)
            left, modules = {}, ""

    @cached_property
    def context(self) -> Context:
        names = {one.archive or one.repository for one in self.catalog.repositories.values() if one.place(BASE)}
        sources: dict[str, Any] = {name: ((self.folder / name).as_uri(),) for name in {"rocky", *names}}
        # no registry: the base is made of packages
        host = Host(
            environ={"HOME": str(self.folder)},
            sources={**sources, "docker": ("http://127.0.0.1:9",)},
            etc=self.folder / "etc",
        )
        (self.folder / "work").mkdir()
        return Context(
            base=self.base,
            host=host,
            store=Store(self.folder / "store"),
            work=self.folder / "work",
            repositories=self.catalog.repositories,
        )

    def lock(self) -> Lock:
        return locks.resolve(self.catalog, "rocky-system", self.context)
