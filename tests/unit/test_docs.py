"""What the documents say is so: commands, options, exit codes, links and the list of tools."""

from __future__ import annotations

import os
import re
from itertools import groupby
from pathlib import Path

import pytest
from invoke.collection import Collection
from invoke.loader import FilesystemLoader

from dsvm import catalog, errors

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
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
    if os.environ.get("DSVM_UPDATE_GOLDEN"):
        README.write_text(current)
    assert current == README.read_text(), "DSVM_UPDATE_GOLDEN=1 pytest tests/unit/test_docs.py writes it anew"


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
    for command, rest in re.findall(r"invoke ([a-z]+)((?:[ \t]+[\w./~-]+)*)", page.read_text()):
        if command not in known:
            unknown.append(f"invoke {command}")
            continue
        options = {option.replace("_", "-") for option in known[command]}
        used = re.findall(r"--([a-z-]+)", rest)
        unknown += [f"invoke {command} --{option}" for option in used if option not in {*options, "help"}]
    assert unknown == []


def test_every_command_is_in_the_readme(commands: Collection) -> None:
    text = README.read_text()
    assert [name for name in commands.task_names if f"`invoke {name}`" not in text] == []


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
    kinds = "|".join(catalog.kinds())
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
