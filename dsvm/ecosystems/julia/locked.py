"""What a lock says of Julia's environment, compared with its pins and with what was asked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from dsvm.ecosystems.julia.depot import slug
from dsvm.ecosystems.julia.registry import TREE, UUID
from dsvm.model import Model, Pin, Sha256

PACKAGE_FILE = re.compile(rf"package/(?P<uuid>{UUID})/(?P<tree>{TREE})")
ARTIFACT_FILE = re.compile(rf"artifact/(?P<tree>{TREE})")


class State(Model):
    """The registry in the state that the packages were chosen from."""

    file: str
    name: str
    sha256: Sha256
    size: int = Field(ge=0, description="bytes")


class Texts(Model):
    """Files of the environment, and the orders in which packages are built and loaded, a line each."""

    project: str = Field(alias="Project.toml")
    manifest: str = Field(alias="Manifest.toml")
    build: str = Field(alias="Build.toml")
    builds: str
    loads: str


class Extra(Model):
    """What installing Julia packages needs to know beside their pins."""

    environment: dict[str, str]
    julia: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    registry: State
    texts: Texts


def odd_files(pins: Sequence[Pin]) -> Iterator[str]:
    """Pins that are neither a package nor a part of one, a line each."""
    names = {pin.name for pin in pins if PACKAGE_FILE.fullmatch(pin.file)}
    for pin in pins:
        if pin.name in names:
            continue
        found = ARTIFACT_FILE.fullmatch(pin.file)
        if found is None or found["tree"] != pin.version or pin.name.partition("/")[0] not in names:
            yield f"{pin.name} {pin.version}: {pin.file} is no file of it"


def odd_texts(extra: Mapping[str, Any], pins: Sequence[Pin], asked: Collection[str]) -> Iterator[str]:
    """What the texts say that pins and requests do not, a line each."""
    texts = extra["texts"]
    try:
        read = {name: tomllib.loads(texts[f"{name}.toml"]) for name in ("Project", "Manifest", "Build")}
        known = read["Manifest"]["deps"] if "manifest_format" in read["Manifest"] else read["Manifest"]
        entries = {name: one for name, (one,) in known.items()}
        deps = {name: [str(need) for need in one.get("deps", [])] for name, one in entries.items()}
        uuids = {name: one["uuid"] for name, one in entries.items()}
        trees = {name: one["git-tree-sha1"] for name, one in entries.items() if "git-tree-sha1" in one}
        versions = {name: entries[name]["version"] for name in trees}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield f"its environment cannot be read: {type(error).__name__}: {error}"
        return
    packages = {pin.name: (pin.version, pin.file) for pin in pins if PACKAGE_FILE.fullmatch(pin.file)}
    if packages != {name: (versions[name], f"package/{uuids[name]}/{trees[name]}") for name in trees}:
        yield "its Manifest.toml names other packages than its pins"
        return
    if read["Project"] != {"deps": {name: uuids.get(name) for name in asked}}:
        yield "its Project.toml has other packages than the manifests ask for"
    if any(uuids.get(name) != uuid for name, uuid in read["Build"].get("deps", {}).items()) or len(read["Build"]) > 1:
        yield "its Build.toml has other packages than its Manifest.toml"
    if sorted(texts["loads"].split()) != sorted(asked):
        yield "it loads other packages than the manifests ask for"
    if not {*texts["builds"].split()} <= {f"packages/{name}/{slug(uuids[name], trees[name])}" for name in trees}:
        yield "it builds other packages than its pins"
    reached: set[str] = set()
    waiting = [*asked]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += deps.get(name, [])
    yield from (f"{name}: nothing that was asked for needs it" for name in sorted(packages.keys() - reached))
