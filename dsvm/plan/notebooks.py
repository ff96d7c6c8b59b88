"""Sample notebooks: which of them an image has, and what they say of themselves."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from dsvm.catalog import Catalog
from dsvm.model import InputError, Lock, Notebook, PlannedNotebook, Tool

FOLDER = "/usr/local/share/dsvm/notebooks"


def planned_notebook(catalog: Catalog, lock: Lock, tool: Tool) -> PlannedNotebook | None:
    """The notebook of a locked tool; None where a tool that it uses is missing, or its kernel.

    Raises InputError when its file is none.
    """
    if tool.notebook is None:
        return None
    locked = {choice.tool for choice in lock.choices}
    found = _read(catalog, tool.notebook)
    kernels = {one.kernel.name for name in locked if (one := catalog.tools[name]).kernel is not None}
    return found if found.kernel in kernels and locked.issuperset(tool.notebook.uses) else None


def notebook_text(catalog: Catalog, notebook: Notebook) -> str:
    """The file, as it is."""
    return catalog.file(notebook.source).read_text(encoding="utf-8")


def _read(catalog: Catalog, notebook: Notebook) -> PlannedNotebook:
    """https://nbformat.readthedocs.io/en/latest/format_description.html"""
    name = PurePosixPath(notebook.source).name
    try:
        said = json.loads(notebook_text(catalog, notebook))
        title = _source(said["cells"][0]).partition("\n")[0]
        if not title.startswith("# "):
            raise ValueError("its first cell does not begin with a heading, '# ...'")
        kernel = said["metadata"]["kernelspec"]["name"]
        return PlannedNotebook(title=title.removeprefix("# "), path=f"{FOLDER}/{name}", kernel=kernel)
    except (ValueError, LookupError, TypeError, ValidationError) as error:
        why = f"no {error}" if isinstance(error, LookupError) else str(error)
        raise InputError(f"{catalog.file(notebook.source)}: no notebook of Jupyter: {why}") from error


def _source(cell: Any) -> str:
    """The text of a cell, which is one or many."""
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
