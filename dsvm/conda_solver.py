"""rattler's solver as a program of its own: a question as JSON on stdin, the packages as JSON on stdout.

The question: `specs`; `machine`, virtual packages as [name, version, build]; `indexes` as [channel, subdir, file], the
preferred channel first; `seconds`. The answer: `packages`; or `fault`, the solver's explanation; or `broken`, what is
wrong with an index.

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
    try:
        found = asyncio.run(
            rattler.solve_with_sparse_repodata(
                [rattler.MatchSpec(text, strict=True) for text in question["specs"]],
                indexes,
                virtual_packages=machine,
                timeout=datetime.timedelta(seconds=question["seconds"]),
            )
        )
    except SolverError as error:
        return {"fault": str(error)}
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
    return {"packages": packages}


if __name__ == "__main__":
    json.dump(solve(json.load(sys.stdin)), sys.stdout)
    sys.stdout.flush()
    os._exit(0)
