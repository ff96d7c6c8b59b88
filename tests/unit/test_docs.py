"""What the documents say is so: commands, options, exit codes, links and the list of tools."""

from __future__ import annotations

import ast
import re
from itertools import groupby
from pathlib import Path

import golden_file
import pytest
from invoke.collection import Collection
from invoke.loader import FilesystemLoader
from test_imports import PACKAGE, ROOMS

from dsvm import catalog
from dsvm.catalog.models import kinds as catalog_kinds
from dsvm.model import errors

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
TREE = re.compile(r"(<!-- begin: rooms.*?-->\n)(.*?)(<!-- end -->)", re.DOTALL)
TOOLS = re.compile(r"(<!-- begin: tools of cpu-debian.*?-->\n)(.*?)(<!-- end -->)", re.DOTALL)


def tools_table() -> str:
    """The tools of cpu-debian by group, in the order in which the variant names them."""
    ours = catalog.load()
    tools = [ours.tools[name] for name in ours.variants["cpu-debian"].tools]
    order = list(dict.fromkeys(tool.group for tool in tools))
    rows = [
        f"| {group.replace('-', ' ')} | {', '.join(tool.tool for tool in members)} |"
        for group, members in groupby(sorted(tools, key=lambda tool: order.index(tool.group)), lambda tool: tool.group)
    ]
    return "\n".join(["| group | tools |", "| --- | --- |", *rows, ""])


def test_the_list_of_tools_is_current() -> None:
    text = README.read_text()
    assert len(TOOLS.findall(text)) == 1
    current = TOOLS.sub(lambda match: match[1] + tools_table() + match[3], text)
    golden_file.check(README, current)


def rooms_tree() -> str:
    """The rooms, the highest first, each with the first line of what it says of itself."""
    lines = ["```", f"{'tasks.py':<16}{first_line(ROOT / 'tasks.py')}", "dsvm/"]
    for room in reversed(ROOMS):
        path = PACKAGE / room / "__init__.py" if (PACKAGE / room).is_dir() else PACKAGE / f"{room}.py"
        name = f"{room}/" if (PACKAGE / room).is_dir() else f"{room}.py"
        lines.append(f"  {name:<14}{first_line(path)}")
    return "\n".join([*lines, "```", ""])


def first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/design.md"])
def test_the_tree_of_rooms_is_true(page: str) -> None:
    text = (ROOT / page).read_text()
    assert len(TREE.findall(text)) == 1
    golden_file.check(ROOT / page, TREE.sub(lambda match: match[1] + rooms_tree() + match[3], text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_project_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:dsvm|scripts|templates|tests|manifests|docs|benchmarks)/[\w./-]*)`", page.read_text())
    made = ("dsvm/cpu-debian", "dsvm/machines/VARIANT", "dsvm/VARIANT", "manifests/retired.yaml")
    assert not [one for one in named if not (ROOT / one).exists() and not one.startswith(made)]


@pytest.fixture(scope="module")
def commands() -> Collection:
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    return Collection.from_module(module)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path, commands: Collection) -> None:
    """Options are looked for only where they stand right behind their command."""
    known = {
        name: {flag for argument in commands[name].get_arguments() for flag in (argument.name, f"no-{argument.name}")}
        for name in commands.task_names
    }
    unknown = []
    for command, rest in re.findall(r"invoke ([a-z]+(?:-[a-z]+)*)((?:[ \t]+[\w./~-]+)*)", page.read_text()):
        if command not in known:
            unknown.append(f"invoke {command}")
            continue
        options = {option.replace("_", "-") for option in known[command]}
        used = re.findall(r"--([a-z-]+)", rest)
        unknown += [f"invoke {command} --{option}" for option in used if option not in {*options, "help"}]
    assert unknown == []


def test_every_command_is_in_the_readme(commands: Collection) -> None:
    text = README.read_text()
    assert [name for name in commands.task_names if not re.search(rf"`invoke {name}[ `]", text)] == []


def test_every_exit_code_is_in_the_readme() -> None:
    codes = {
        one.exit_code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.DsvmError)
    }
    listed = {int(code) for code in re.findall(r"^\| (\d+) \| ", README.read_text(), re.MULTILINE)}
    assert listed >= codes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_manifests_in_the_text_are_right(page: Path, tmp_path: Path) -> None:
    """Blocks that begin with the comment `# FOLDER/tools/NAME.yaml` are loaded as one overlay."""
    kinds = "|".join(catalog_kinds())
    blocks = re.findall(rf"```yaml\n# \S*?((?:{kinds})/\S+)\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    for name, text in blocks:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        for script in re.findall(r"script: (\S+)", text):
            (tmp_path / script).parent.mkdir(exist_ok=True)
            (tmp_path / script).touch()
    catalog.load([tmp_path])
