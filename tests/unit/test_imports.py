"""Rooms import downwards and through their front doors, and importing the commands stays cheap."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from dsvm.ecosystems import registry

PACKAGE = Path(__file__).parents[2] / "dsvm"
# The lowest first: a room imports from those before it.
ROOMS = (
    *("model", "host", "store", "ecosystems", "catalog", "lock", "gate", "plan", "ledger", "session"),
    *(
        "checks",
        "container",
        "vm",
        "cloud",
        "audit",
        "diff",
        "sbom",
        "report",
        "release",
        "nightly",
        "screen",
        "pipeline",
    ),
)


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of everything of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dsvm":
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "dsvm")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def handed_out(room: str) -> set[str]:
    """The names in a room's stub, which its `__init__.py` reads."""
    tree = ast.parse((PACKAGE / room / "__init__.pyi").read_text())
    return {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_every_room_has_its_place() -> None:
    found = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert found == set(ROOMS), "name the room in ROOMS, above those that it imports from"


def test_rooms_import_from_rooms_below_them() -> None:
    wrong = []
    for path in sorted(PACKAGE.glob("*/**/*.py")):
        here = ROOMS.index(room_of(path))
        for module, name in imported(path):
            other = module.split(".")[1] if "." in module else name
            if other in ROOMS and ROOMS.index(other) > here:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}, which is above it")
    assert not wrong


def test_nothing_reaches_past_the_front_door_of_a_room() -> None:
    wrong = []
    for path in [*sorted(PACKAGE.rglob("*.py")), PACKAGE.parent / "tasks.py"]:
        here = room_of(path) if path.is_relative_to(PACKAGE) else ""
        for module, name in imported(path):
            parts = module.split(".")
            if len(parts) > 1 and parts[1] in ROOMS and parts[1] != here:
                if len(parts) > 2:
                    wrong.append(f"{path.name} reaches into {module}")
                elif (PACKAGE / parts[1]).is_dir() and name not in handed_out(parts[1]):
                    wrong.append(f"{path.name} takes {name}, which {module} does not hand out")
    assert not wrong


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_a_room_hands_out_what_it_names(room: str) -> None:
    module = importlib.import_module(f"dsvm.{room}")
    names = handed_out(room)
    assert names == set(module.__all__)
    assert [name for name in names if getattr(module, name, None) is None] == []
    shadowed = [name for name in names if (PACKAGE / room / f"{name}.py").exists() and callable(getattr(module, name))]
    assert not shadowed, "once the module of that name is imported, it would take the name's place"


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in PACKAGE.glob("**/__init__.py")), ids=lambda one: one.name
)
def test_the_modules_of_a_folder_import_each_other_in_one_direction(folder: Path) -> None:
    package = ".".join(folder.relative_to(PACKAGE.parent).parts)
    graph = {
        path.stem: {
            module.removeprefix(f"{package}.").split(".")[0] if module != package else name
            for module, name in imported(path)
            if module == package or module.startswith(f"{package}.")
        }
        for path in folder.glob("*.py")
        if path.stem != "__init__"
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def test_only_the_one_door_starts_other_programs() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(alias.name == "subprocess" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "subprocess")
    }
    assert users == {"host/programs.py"}


def test_no_ecosystem_is_named_outside_its_room() -> None:
    """No `if ecosystem == ...`: what one of them needs stands behind the Protocol."""
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        if room_of(path) == "ecosystems":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                words = [one.value for one in (node.left, *node.comparators) if isinstance(one, ast.Constant)]
                wrong += [f"{path.name}:{node.lineno}" for word in words if word in registry()]
    assert not wrong


def test_listing_the_commands_loads_nothing_heavy() -> None:
    code = "import sys, tasks; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    heavy = {"pydantic", "httpx", "rich", "jinja2", "docker", "dsvm.pipeline"}
    loaded = set(done.stdout.split())
    assert "dsvm.screen.console" in loaded
    assert not heavy & loaded


@pytest.mark.parametrize(("environment", "kept"), [({}, True), ({"PYTHONDONTWRITEBYTECODE": "1"}, False)])
def test_a_command_keeps_what_python_compiled_unless_the_user_says_otherwise(
    environment: dict[str, str], kept: bool, tmp_path: Path
) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPYCACHEPREFIX": str(tmp_path), **environment}
    argv = [sys.executable, "-m", "invoke", "--list"]
    subprocess.run(argv, env=env, cwd=PACKAGE.parent, capture_output=True, check=True)
    assert any(tmp_path.glob("**/dsvm/screen/console.*.pyc")) is kept
