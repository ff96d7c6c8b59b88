"""Commands are the same programs in every shell, whatever that reads when it starts; a terminal says what is here."""

from __future__ import annotations

import json

from dsvm.checks.planned import Case
from dsvm.model import Plan
from image.harness import Image, fail


def test_shells(case: Case, plan: Plan, image: Image) -> None:
    commands = {name for tool in plan.tools for name in tool.commands}
    if any(section.extra.get("env") == "base" for section in plan.sections):
        commands.add("python")
    variables = {name: value for name, value in plan.environment.items() if name != "PATH"}
    faults = image.probe("shells.py", json.dumps(variables), *sorted(commands), timeout=120)
    if faults:
        fail("not every shell finds what programs find:", "\n".join(faults))


LINES, COLUMNS = 24, 80


def test_greeting(case: Case, plan: Plan, image: Image) -> None:
    said = image.probe("greeting.py", str(LINES), str(COLUMNS), timeout=120)
    faults = []
    for shell, lines in said["told"].items():
        text = " ".join(" ".join(lines).split())
        envs = sorted({tool.env for tool in plan.tools if tool.env})
        wanted = (plan.variant, f"{len(plan.tools)}: dsvm-info", *envs[:1], "GPU", "dsvm-info --html")
        faults += [f"{shell}: it does not say '{word}'" for word in wanted if word not in text]
        if len(lines) >= LINES or max(map(len, lines), default=0) > COLUMNS:
            faults.append(f"{shell}: it is larger than a screen")
    faults += [f"{shell}: it says {lines[0]!r}" for shell, lines in said["quiet"].items() if lines]
    if faults:
        fail("what a terminal begins with:", "\n".join(faults))
