"""Commands are the same programs in every shell, whatever that reads when it starts."""

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
