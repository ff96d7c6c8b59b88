"""rattler's solver as a program of its own: a question as JSON on stdin, the packages as JSON on stdout.

The question: `specs`; `machine`, virtual packages as [name, version, build]; `indexes` as [channel, subdir, file], the
preferred channel first; `newest`, names of which the newest version is asked; `prefer`, name -> version, which stay
where nothing forbids it; `seconds`. The answer: `newest`, and
`packages`; or `fault`, the solver's explanation; or `broken`, what is wrong with an index.

A program, for threads of rattler end later than its answer comes, and a Python that takes itself apart meanwhile
crashes; this one leaves without. And the memory that the index of a large channel takes is free again.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import sys
from typing import Any


def solve(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to a question."""
    import rattler
    from rattler.exceptions import SolverError

    names = {rattler.Channel(name).base_url: name for name, _, _ in question["indexes"]}
    machine = [
        rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build))
        for name, version, build in question["machine"]
    ]
    indexes = []
    for name, subdir, file in question["indexes"]:
        try:
            indexes.append(rattler.SparseRepoData(rattler.Channel(name), subdir, file))
        except (OSError, ValueError) as error:
            return {"broken": f"channel {name}: what it serves for {subdir} is no index: {error}"}
    stay = [one for name, version in question["prefer"].items() for one in _at(name, version, indexes)]
    newest = {name: version for name in question["newest"] if (version := _newest(name, indexes))}
    try:
        found = asyncio.run(
            rattler.solve_with_sparse_repodata(
                [rattler.MatchSpec(text, strict=True) for text in question["specs"]],
                indexes,
                locked_packages=stay,
                virtual_packages=machine,
                timeout=datetime.timedelta(seconds=question["seconds"]),
            )
        )
    except SolverError as error:
        return {"fault": str(error), "newest": newest}
    packages = [
        {
            "name": one.name.normalized,
            "version": str(one.version),
            "file": f"{one.subdir}/{one.file_name}",
            "channel": names[one.channel],
            "sha256": one.sha256.hex() if one.sha256 else None,
            "size": one.size,
        }
        for one in found
    ]
    return {"packages": packages, "newest": newest}


def _newest(name: str, indexes: list[Any]) -> str | None:
    """The newest version in the first channel that has a package, for that hides the later ones."""
    import rattler

    found: dict[str, list[Any]] = {}
    for index in indexes:
        for one in index.load_records(rattler.PackageName(name)):
            found.setdefault(one.channel, []).append(one.version)
    versions = next(iter(found.values()), [])
    best = max((one for one in versions if not one.is_dev), default=None)
    return None if best is None else str(best)


def _at(name: str, version: str, indexes: list[Any]) -> list[Any]:
    """The last build of a version of a package, from the first channel that has it; nothing where none has."""
    import rattler

    found: dict[str, list[Any]] = {}
    for index in indexes:
        for one in index.load_records(rattler.PackageName(name)):
            if str(one.version) == version:
                found.setdefault(one.channel, []).append(one)
    return [max(builds, key=lambda one: one.build_number) for builds in [*found.values()][:1]]


if __name__ == "__main__":
    json.dump(solve(json.load(sys.stdin)), sys.stdout)
    sys.stdout.flush()
    os._exit(0)
