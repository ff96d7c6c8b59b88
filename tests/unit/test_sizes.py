"""How many bytes of an image tools take, and what their manifests let them take."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from pydantic import ValidationError
from sights import file

from dsvm.audit import Evidence
from dsvm.audit.budgets import size_findings, tool_sizes
from dsvm.ledger import Account
from dsvm.ledger.sizes import sizes
from dsvm.model import Tool
from dsvm.plan import make_plan
from dsvm.store import Store

SITE = "/opt/envs/nets/lib/python3.11/site-packages"
TAKEN = {
    "env-nets": {"notebooks": 20_000_000, "pip": 3, "": 5},
    "env-base": {"arrays": 1_000_000, "numpy": 400},
    "editor-url": {"editor-1.2.tar.gz": 2_000_000, "": 7},
}
TOOL = {
    "tool": "editor",
    "summary": "Edits",
    "homepage": "x",
    "license": "MIT",
    "group": "ide",
    "sources": [{}],
    "checks": [{"version": "editor --version"}, {"run": "editor"}],
}


def evidence(tmp_path: Path, **budgets: int) -> Evidence:
    catalog = tiny.catalog()
    tools = {name: tool.model_copy(update={"size": budgets.get(name)}) for name, tool in catalog.tools.items()}
    lock = tiny.lock()
    shared = {"env-base": {"tools": ("arrays", "notebooks")}}
    sections = tuple(one.model_copy(update=shared.get(one.id, {})) for one in lock.sections)
    lock = lock.model_copy(update={"sections": sections})
    return Evidence(replace(catalog, tools=tools), lock, Store(tmp_path), datetime.date(2026, 11, 27))


def test_bytes_count_for_the_artefact_that_brings_them() -> None:
    paths = {
        f"{SITE}/notebooks.py": file("1234"),
        f"{SITE}/__pycache__/notebooks.cpython-311.pyc": file("123"),
        f"{SITE}/made_by_the_installer": file("12"),
        "/usr/bin/python3": file("1"),
        "/srv/planted": file("12345"),
    }
    brought = {("env-nets", "notebooks"): [f"{SITE}/notebooks.py"], ("system", "python3-minimal"): ["/bin/python3"]}
    tree = {path: (entry, 0) for path, entry in paths.items()}
    tree["/bin"] = file()._replace(kind="link", target="usr/bin"), 0
    found = sizes(tree, make_plan(tiny.catalog(), tiny.lock()), brought)
    assert found == {"env-nets": {"notebooks": 7, "": 2}, "system": {"python3-minimal": 1}}


def test_a_tool_takes_what_it_is_and_what_is_there_for_it_alone(tmp_path: Path) -> None:
    found = tool_sizes(TAKEN, evidence(tmp_path))
    assert found["editor"] == 2_000_007
    assert found["arrays"] == 1_000_000, "its own package; who needs numpy, no artefact says here"


def test_a_tool_that_takes_more_than_it_may_is_found(tmp_path: Path) -> None:
    account = Account("sha256:1", 1, 1, (), {}, TAKEN)
    (one,) = size_findings(account, evidence(tmp_path, editor=2_000_000, arrays=1_000_000))
    assert (one.rule, one.id, one.level) == ("size", "editor", "warning")
    assert one.where.file is not None and one.where.file.endswith("editor.yaml")
    assert not list(size_findings(account, evidence(tmp_path)))


@pytest.mark.parametrize(
    ("text", "bytes"), [("1.5 GB", 1_500_000_000), ("300 MB", 300_000_000), ("0.125 GB", 125_000_000)]
)
def test_a_budget_is_written_in_mb_or_gb(text: str, bytes: int) -> None:
    assert Tool.model_validate({**TOOL, "size": text}).size == bytes


@pytest.mark.parametrize("text", ["", "1.5", "1.5GB", "-1 MB", "1 TB", 300, "1e9 MB", "1 MB\n"])
def test_a_budget_of_another_form_is_refused(text: object) -> None:
    with pytest.raises(ValidationError, match="'size' is a number of MB or GB"):
        Tool.model_validate({**TOOL, "size": text})
