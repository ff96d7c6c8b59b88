"""docs/dsvm.md against the manifests: what it calls here, retired or absent is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsvm.catalog import Catalog, load

PAGE = Path(__file__).parents[2] / "docs" / "dsvm.md"


def rows(text: str) -> list[tuple[str, str, str]]:
    table = text.partition("<!-- begin: the list -->\n")[2].partition("<!-- end -->")[0]
    cells = [
        [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        for line in table.splitlines()[2:]
    ]
    return [(what, here, why) for what, here, why in cells]


def faults(text: str, catalog: Catalog) -> list[str]:
    found = []
    for what, here, why in rows(text):
        names = re.findall(r"`([a-z0-9.-]+)`", here)
        said = re.findall(r"`([a-z0-9.-]+)`", why)
        if here == "absent":
            found += [f"{what}: absent, without a reason"] * (not why)
            found += [f"{what}: is a tool"] * (what.lower().replace(" ", "-") in catalog.tools)
        elif here.startswith("retired: "):
            (name,) = names
            row = catalog.retired.get(name)
            if row is None:
                found.append(f"{what}: '{name}' is not retired")
            elif list(row.successors) != said:
                found.append(f"{what}: successors are {', '.join(row.successors)}")
        else:
            found += [f"{what}: no tool '{name}'" for name in names if name not in catalog.tools]
            found += [f"{what}: names nothing"] * (not names)
        found += [f"{what}: no tool '{name}'" for name in said if " " not in name and name not in catalog.tools]
    return found


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


def test_the_page_says_what_the_manifests_say(catalog: Catalog) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(rows(text)) >= 50
    assert faults(text, catalog) == []


def test_every_retired_tool_is_on_the_page(catalog: Catalog) -> None:
    named = set(re.findall(r"retired: `([a-z0-9.-]+)`", PAGE.read_text(encoding="utf-8")))
    assert named == {row.tool for row in catalog.retired.values()}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("| NumPy | absent | |", "NumPy: absent, without a reason"),
        ("| NumPy | absent | why | ", "NumPy: is a tool"),
        ("| Arrays | `nunpy` | |", "Arrays: no tool 'nunpy'"),
        ("| CNTK | retired: `cntk` | `jax` |", "CNTK: successors are pytorch, onnxruntime"),
        ("| Arrays | retired: `numpy` | `jax` |", "Arrays: 'numpy' is not retired"),
    ],
)
def test_a_row_that_is_wrong_is_found(catalog: Catalog, row: str, fault: str) -> None:
    assert fault in faults(f"<!-- begin: the list -->\n| a | b | c |\n| - | - | - |\n{row}\n<!-- end -->", catalog)
