"""What uv is given to solve: a project, the versions to stay at, what packages need; and what it says of a failure."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dsvm.ecosystems.pypi.metadata import name_of
from dsvm.model import Base, Index

if TYPE_CHECKING:
    from packaging.metadata import RawMetadata

# What uv says of a name that no index gives, whether it has none or lets nobody in
NOT_FOUND = re.compile(r"(?:Because|and|no versions of) ([a-z0-9]+(?:-[a-z0-9]+)*)(?= was not found| and )")


def explanation(output: str) -> str:
    """What uv says of a failure, indented, without the words that introduce it."""
    lines = output.strip().splitlines()
    if len(lines) > 1 and lines[0].startswith("error: No solution found"):
        lines = [lines[1].replace("cause: ", "       "), *lines[2:]]
    return "\n".join(f"    {line}" for line in textwrap.dedent("\n".join(lines)).splitlines())


def project_file(
    wanted: Sequence[str], indexes: Sequence[Index], places: Mapping[str, tuple[str, bool]], base: Base
) -> str:
    """A pyproject.toml for uv in which the packages of a named index come from there and nowhere else.

    JSON strings are TOML strings.
    """
    lines = [
        "[project]",
        'name = "this-environment"',
        'version = "0"',
        f'requires-python = ">= {base.python}"',
        f"dependencies = {json.dumps(list(wanted))}",
    ]
    if indexes:
        lines.append("[tool.uv.sources]")
        lines += [
            f"{json.dumps(name)} = {{index = {json.dumps(index.index)}}}"
            for index in indexes
            for name in index.packages
            if any(name_of(text) == name for text in wanted)
        ]
    for name, (url, flat) in places.items():
        lines += [
            "[[tool.uv.index]]",
            f"name = {json.dumps(name)}",
            f"url = {json.dumps(url)}",
            "explicit = true",
        ]
        lines += ['format = "flat"'] if flat else []
    return "\n".join(lines) + "\n"


def preferences(versions: Mapping[str, str], indexes: Sequence[Index], places: Mapping[str, tuple[str, bool]]) -> str:
    """A lock for uv, which stays at what one says; "" where nothing is preferred.

    https://packaging.python.org/en/latest/specifications/pylock-toml/
    """
    if not versions:
        return ""
    bound = {name: places[index.index][0] for index in indexes for name in index.packages}
    lines = ['lock-version = "1.0"', 'created-by = "dsvm"']
    for name, version in sorted(versions.items()):
        lines += ["[[packages]]", f"name = {json.dumps(name)}", f"version = {json.dumps(version)}"]
        # uv passes over a version that it does not know to be of the index that a package is bound to
        lines += [f"index = {json.dumps(bound[name])}"] if name in bound else []
    return "\n".join(lines) + "\n"


def metadata_file(known: Sequence[RawMetadata]) -> str:
    """A uv.toml that says what packages need whose own program would otherwise be run and asked."""
    lines = []
    for one in known:
        lines += [
            "[[dependency-metadata]]",
            f"name = {json.dumps(one['name'])}",
            *([f"version = {json.dumps(one['version'])}"] if "version" in one else []),
            f"requires-dist = {json.dumps(one.get('requires_dist', []))}",
            f"provides-extra = {json.dumps(one.get('provides_extra', []))}",
        ]
    return "\n".join(lines) + "\n"
