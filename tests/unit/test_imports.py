"""The modules form a DAG in one order, and importing the commands stays cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from dsvm.ecosystems import registry

PACKAGE = Path(__file__).parents[2] / "dsvm"
# Lower layers first: a module imports only from layers before its own.
LAYERS = (
    ("errors", "model", "units", "files", "versions", "urls", "conda_solver", "dnf_solver"),
    ("run", "scratch", "claims", "console", "config", "platforms", "ports", "services", "cloud_disks"),
    ("machine", "condarc", "download", "store", "progress", "engine", "qemu"),
    ("ecosystems",),
    ("catalog",),
    ("bases", "blame"),
    ("lock",),
    ("release",),
    ("plan", "report", "compat", "packer_sources"),
    ("render",),
    ("builders", "clouds"),
    ("images", "checks", "publish"),
    ("pipeline",),
    ("cleaning", "vm"),
    ("cloud",),
    ("roads", "overview"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imports(path: Path) -> set[str]:
    """Top-level modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dsvm"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dsvm.")}
    return found


def test_every_module_imports_only_from_layers_before_its_own() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name == "__init__":
            continue
        assert name in RANK, f"{path}: give it a place in LAYERS"
        wrong += [f"{name} imports {other}" for other in imports(path) - {name} if RANK[other] > RANK[name]]
        same = [other for other in imports(path) - {name} if RANK[other] == RANK[name] and name in imports_of(other)]
        wrong += [f"{name} and {other} import each other" for other in same]
    assert not wrong


def imports_of(name: str) -> set[str]:
    files = (PACKAGE / name).rglob("*.py") if (PACKAGE / name).is_dir() else [PACKAGE / f"{name}.py"]
    return set().union(*(imports(path) for path in files))


@pytest.mark.parametrize("package", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_the_modules_of_a_package_import_each_other_in_one_direction(package: str) -> None:
    graph = {
        path.stem: {
            name.split(".")[2] if name.count(".") > 1 else alias
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and (name := node.module or "").startswith(f"dsvm.{package}")
            for alias in (one.name for one in node.names)
        }
        for path in (PACKAGE / package).glob("*.py")
        if path.stem != "__init__"
    }
    assert graph
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def test_only_the_one_door_starts_other_programs() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(alias.name == "subprocess" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "subprocess")
    }
    assert users == {"run.py"}


def test_no_ecosystem_is_named_outside_its_folder() -> None:
    """No `if ecosystem == ...`: what one of them needs stands behind the Protocol."""
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "ecosystems":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                words = [one.value for one in (node.left, *node.comparators) if isinstance(one, ast.Constant)]
                wrong += [f"{path.name}:{node.lineno}" for word in words if word in registry()]
    assert not wrong


def test_listing_the_commands_loads_nothing_heavy() -> None:
    code = "import sys, tasks; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    heavy = {"pydantic", "httpx", "rich", "jinja2", "dsvm.pipeline"}
    loaded = set(done.stdout.split())
    assert "dsvm.console" in loaded
    assert not heavy & loaded
