"""PowerShell: every script and all rendered text parse, values stay data, and calls are of what exists."""

from __future__ import annotations

import re
import string
from itertools import pairwise
from pathlib import Path

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from powershell import faults, nodes, parse, text_of, value_of
from tiny import project

from dsvm.model import PLATFORMS
from dsvm.plan import make_plan
from dsvm.plan import rendering as render

FOLDER = PLATFORMS["windows"].scripts
SCRIPTS = sorted(FOLDER.iterdir())
COMMON = (FOLDER / "Common.ps1").read_text()
# Of those that Windows PowerShell 5.1 brings, the ones that are used here
CMDLETS = {
    *("Add-Content", "Add-Type", "ConvertFrom-Json", "ConvertTo-Json", "Copy-Item", "Get-ChildItem", "Get-Content"),
    *("Get-FileHash", "Get-ItemProperty", "Join-Path", "New-Item", "New-Object", "Remove-Item", "Select-Object"),
    *("Set-Content", "Set-StrictMode", "Split-Path", "Test-Path", "Where-Object", "Write-Host"),
}


def rendered() -> str:
    return render.main_text(make_plan(tiny.windows_catalog(), tiny.windows_lock()))


# --- the parser, and what it finds -------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_parses_and_needs_no_code_page(path: Path) -> None:
    assert path.suffix == ".ps1"
    text = path.read_text()
    assert faults(text) == []
    assert text.isascii(), "without a byte order mark, Windows PowerShell reads other characters as something else"


def test_rendered_text_parses() -> None:
    assert faults(rendered()) == []


def test_the_commands_of_checks_for_windows_parse() -> None:
    tools = project().tools.values()
    checks = [check for tool in tools for check in tool.checks if check.when.platform == "windows"]
    commands = [check.run or (check.version.run if check.version else "") for check in checks]
    assert len(commands) > 10
    assert {command: faults(command) for command in commands if faults(command)} == {}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_broken_script_is_caught(path: Path) -> None:
    """Whichever bracket or quote is lost, hardly ever is the rest PowerShell, too, as "(1)" without its bracket is."""
    whole = path.read_bytes()
    brackets = list(nodes(parse(whole.decode()), "(", ")", "{", "}", "verbatim_string_characters"))
    assert len(brackets) > 30
    missed = []
    for node in brackets:
        broken = whole[: node.end_byte - 1] + whole[node.end_byte :]
        missed += [] if faults(broken.decode()) else [f"{node.start_point.row + 1}: {text_of(node)}"]
    assert len(missed) <= 2, missed


def test_broken_rendered_text_is_caught() -> None:
    assert faults(rendered().replace("'system packages'", "'system' packages'")) != []
    assert faults(rendered() + "\nif (") != []


# --- values ------------------------------------------------------------------------------------------------

# whatever UTF-8 can say, but for the control characters that are refused; quotes and their like more often
VALUES = st.text(
    st.sampled_from("'\u2018\u2019\u201a\u201b\"`$@#(){};|&\n\t \\%\ufeff\u0085\u2028\u0452")
    | st.characters(codec="utf-8")
).filter(lambda value: not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value))


@given(VALUES)
def test_a_value_is_read_back_as_one_literal(value: str) -> None:
    """By the parser: the statement after it is still one, and between them stands one string and nothing else."""
    text = f"$value = {render.literal(value)}\n$next = 1\n"
    assert faults(text) == []
    root = parse(text)
    first, second = nodes(root, "assignment_expression")
    assert text_of(second) == "$next = 1"
    (literal,) = nodes(first, "verbatim_string_characters")
    assert [text_of(one) for one in nodes(first, "variable")] == ["$value"]
    assert value_of(text_of(literal)) == value


@given(VALUES, VALUES)
def test_values_after_each_other_stay_apart(one: str, other: str) -> None:
    """As they stand in the rendered text: arguments of a call."""
    root = parse(f"& 'x' @common {render.literal(one)} {render.literal(other)}\nWrite-Host 1\n")
    assert not root.has_error
    call, following = nodes(root, "command")
    assert [value_of(text_of(node)) for node in nodes(call, "verbatim_string_characters")] == ["x", one, other]
    assert text_of(following) == "Write-Host 1"


@pytest.mark.parametrize("value", ["a\rb", "\x00", "\x1b[0m", "a\x7f"])
def test_a_control_character_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        render.literal(value)


def test_rendered_text_holds_the_values_of_the_manifest() -> None:
    values = [value_of(text_of(node)) for node in nodes(parse(rendered()), "verbatim_string_characters")]
    environment = tiny.windows_catalog().tools["arrays"].environment
    assert set(environment.items()) <= set(pairwise(values))


# --- what is called exists ---------------------------------------------------------------------------------


def functions(text: str) -> dict[str, set[str]]:
    """Function -> its parameters, of a script."""
    found = {}
    for function in nodes(parse(text), "function_statement"):
        (name,) = (node for node in function.children if node.type == "function_name")
        parameters = nodes(function, "script_parameter")
        found[text_of(name)] = {text_of(next(nodes(one, "variable"))).lstrip("$").lower() for one in parameters}
    return found


@pytest.mark.parametrize("name", [*(path.name for path in SCRIPTS), "provision.ps1"])
def test_every_command_is_one_that_exists_with_its_parameters(name: str) -> None:
    text = rendered() if name == "provision.ps1" else (FOLDER / name).read_text()
    known = {**functions(COMMON), **functions(text)}
    for command in nodes(parse(text), "command"):
        called = [text_of(node) for node in nodes(command, "command_name")][:1]
        if not called or called[0][0] not in string.ascii_letters:
            continue
        assert called[0] in {*known, *CMDLETS}, text_of(command)
        if called[0] in known:
            own = [node for node in nodes(command, "command_parameter") if _command_of(node) == command]
            given = {text_of(node).lstrip("-").rstrip(":").lower() for node in own}
            assert given <= known[called[0]], text_of(command)


def _command_of(node: object) -> object:
    while node is not None and getattr(node, "type", None) != "command":
        node = getattr(node, "parent", None)
    return node


def test_each_step_has_the_arguments_that_its_script_takes() -> None:
    plan = make_plan(tiny.windows_catalog(), tiny.windows_lock())
    steps = [step for stage in plan.stages for step in stage.steps]
    assert {step.script for step in steps} == {"Install-Winget.ps1", "Install-Pypi.ps1"}
    for step in steps:
        text = (FOLDER / step.script).read_text()
        positions = [int(one) for one in re.findall(r"\[Parameter\(Mandatory, Position = (\d)\)\]", text)]
        assert positions == [*range(len(step.args))], step.script
        assert re.search(r"\[string\] \$Store,\n    \[Parameter\(Mandatory\)\] \[string\] \$Log\n\)", text)
        assert set(step.helpers) == {"Common.ps1"}
