"""Sample notebooks: which an image gets, what is wrong with one, and those of the project itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny

from dsvm.catalog import load
from dsvm.model import InputError, Plan
from dsvm.plan import image_manifest, make_plan

FOLDER = "/usr/local/share/dsvm/notebooks"


def notebook(title: str = "# Nets, and what they catch", kernel: str = "nets") -> dict[str, Any]:
    return {
        "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": [title, "\n", "More."]},
            {"cell_type": "code", "id": "b", "metadata": {}, "source": "1", "execution_count": None, "outputs": []},
        ],
        "metadata": {"kernelspec": {"name": kernel, "display_name": kernel}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """The tiny catalog, in which the tool `arrays` has a notebook for the kernel of `notebooks`."""
    shutil.copytree(tiny.MANIFESTS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/nets.ipynb").write_text(json.dumps(notebook()))
    ask(tmp_path, "notebook:\n  source: notebooks/nets.ipynb\n  uses: [notebooks]\n")
    return tmp_path


def ask(manifests: Path, text: str) -> None:
    """Put this beside the checks of `arrays`."""
    path = manifests / "tools/arrays.yaml"
    plain = (tiny.MANIFESTS / "tools/arrays.yaml").read_text()
    path.write_text(plain.replace("\nchecks:", f"\n{text}checks:"))


def planned(manifests: Path) -> Plan:
    return make_plan(load(main=manifests), tiny.lock())


def test_an_image_has_the_notebooks_whose_tools_it_has(manifests: Path) -> None:
    plan = planned(manifests)
    assert json.loads(plan.files[f"{FOLDER}/nets.ipynb"].text or "") == notebook()
    said = {tool["name"]: tool.get("notebook") for tool in image_manifest(plan)["tools"]}
    assert said.pop("arrays") == {
        "title": "Nets, and what they catch",
        "path": f"{FOLDER}/nets.ipynb",
        "kernel": "nets",
    }
    assert {*said.values()} == {None}


@pytest.mark.parametrize("change", ["another tool", "another kernel"])
def test_it_has_none_that_could_not_run(manifests: Path, change: str) -> None:
    if change == "another tool":
        text = (manifests / "tools/editor.yaml").read_text().replace("tool: editor", "tool: other")
        (manifests / "tools/other.yaml").write_text(text)
        ask(manifests, "notebook: {source: notebooks/nets.ipynb, uses: [other]}\n")
    else:
        (manifests / "notebooks/nets.ipynb").write_text(json.dumps(notebook(kernel="ir")))
    plan = planned(manifests)
    assert not [path for path in plan.files if path.endswith(".ipynb")]
    assert all(tool.notebook is None for tool in plan.tools)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting"),
        ("[]", "indices"),
        ("{}", "no 'cells'"),
        (json.dumps(notebook(title="Nets")), "does not begin with a heading"),
        (json.dumps({**notebook(), "metadata": {}}), "no 'kernelspec'"),
        (json.dumps(notebook(kernel="../etc")), "kernel"),
    ],
)
def test_what_is_no_notebook_is_said(manifests: Path, text: str, why: str) -> None:
    (manifests / "notebooks/nets.ipynb").write_text(text)
    with pytest.raises(InputError, match=r"notebooks/nets.ipynb: no notebook of Jupyter: ") as caught:
        planned(manifests)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("{source: notebooks/none.ipynb}", "no file 'notebooks/none.ipynb'"),
        ("{source: ../nets.ipynb}", "notebook.source"),
        ("{source: notebooks/nets.ipynb, uses: [arrys]}", "its notebook uses unknown tool 'arrys' (did you mean"),
    ],
)
def test_a_manifest_that_names_what_is_not_there(manifests: Path, told: str, why: str) -> None:
    ask(manifests, f"notebook: {told}\n")
    with pytest.raises(InputError) as caught:
        load(main=manifests)
    assert why in str(caught.value)
    assert "arrays.yaml:" in str(caught.value)


def test_those_of_the_project_are_as_nobody_ran_them_yet() -> None:
    catalog = tiny.project()
    named = {tool.notebook.source for tool in catalog.tools.values() if tool.notebook}
    folder = catalog.folders[0]
    assert named == {str(path.relative_to(folder)) for path in folder.glob("notebooks/*")}
    for source in named:
        said = json.loads((folder / source).read_text())
        code = [cell for cell in said["cells"] if cell["cell_type"] == "code"]
        assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)
        assert len({cell["id"] for cell in said["cells"]}) == len(said["cells"])
        text = "".join(line for cell in code for line in cell["source"])
        assert "assert" in text or "stopifnot" in text or "assert_allclose" in text, f"{source} looks at nothing"
