"""Every file of end-to-end tests has its group: one without would stop them all, and that is learnt late."""

from __future__ import annotations

import ast
from pathlib import Path

E2E = Path(__file__).parents[1] / "e2e"


def test_every_file_of_end_to_end_tests_has_a_group() -> None:
    tree = ast.parse((E2E / "conftest.py").read_text())
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(ast.unparse(one) == "GROUPS" for one in node.targets)
    )
    grouped = [file for group in ast.literal_eval(value) for file in group]
    assert sorted(grouped) == sorted(path.stem for path in E2E.glob("test_*.py"))
