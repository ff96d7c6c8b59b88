"""Every tool: at its locked version, on PATH, and at work."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import PurePosixPath

from dsvm.checks.planned import Case
from dsvm.checks.suite import SCRIPTS_INSIDE
from dsvm.model import Plan, PlannedTool
from dsvm.model.versions import printed_versions, same_version
from image.harness import Image, fail

INTERPRETERS = {".py": "python", ".R": "Rscript", ".jl": "julia", ".sh": "bash"}


def _tool(plan: Plan, case: Case) -> PlannedTool:
    return next(tool for tool in plan.tools if tool.name == case.tool)


def test_version(case: Case, plan: Plan, image: Image) -> None:
    assert case.check is not None and case.check.version is not None
    wanted = case.check.version
    tool = _tool(plan, case)
    package = wanted.package or tool.package
    locked = tool.versions.get(package, tool.version if package == tool.package else None)
    if locked is None:
        fail(f"the lock has no package '{package}'")
    done = image.shell(wanted.run, env=case.env, timeout=case.check.timeout).expect_success()
    found = list(printed_versions(done.output))
    if not any(same_version(one, locked, parts=wanted.parts) for one in found):
        fail(
            f"{package} is locked at {locked}, but '{wanted.run}' prints {', '.join(found) or 'no version'}:",
            done.output,
        )


def test_commands(case: Case, plan: Plan, image: Image) -> None:
    commands = _tool(plan, case).commands
    # `command -v` finds shell functions too: only a path counts.
    script = 'for name; do case $(command -v "$name") in /*) ;; *) echo "$name" ;; esac; done'
    done = image.run(["bash", "-c", script, "bash", *commands]).expect_success()
    if done.output.strip():
        fail(f"not on PATH: {', '.join(done.output.split())}")
    if faults := image.probe("starts.py", *commands, timeout=60 * len(commands)):
        fail("does not start: " + "; ".join(f"{name}: {why}" for name, why in faults.items()))


def test_run(case: Case, image: Image) -> None:
    assert case.check is not None and case.check.run is not None
    done = image.shell(case.check.run, env=case.env, timeout=case.check.timeout).expect_success()
    if case.check.expect is not None and not re.search(case.check.expect, done.output, re.MULTILINE):
        fail(f"'{case.check.run}' prints nothing that matches '{case.check.expect}':", done.output)


def test_script(case: Case, image: Image) -> None:
    assert case.check is not None and case.check.script is not None
    path = PurePosixPath(SCRIPTS_INSIDE, case.check.script.removeprefix("checks/"))
    command = shlex.join([INTERPRETERS[path.suffix], str(path)])
    done = image.shell(command, env=case.env, timeout=case.check.timeout).expect_success()
    # A stub in the interpreter's place ends well too, and has done nothing.
    if not any(_says_ok(line) for line in done.output.splitlines()):
        fail(f'{case.check.script} ended without a line of JSON that says "ok": true:', done.output)


def _says_ok(line: str) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("ok") is True
