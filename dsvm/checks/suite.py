"""The pytest suite in tests/image, run against a started image."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsvm import ROOT
from dsvm.checks.planned import Case
from dsvm.host import Log, scratch, stream, tail
from dsvm.model import CheckResult, Plan, VerifyError, canonical_json
from dsvm.session import CheckView

# Where a started image has the check scripts, in its own file system.
SCRIPTS_INSIDE = "/tmp/dsvm-checks"  # noqa: S108
SUITE = ROOT / "tests" / "image"
KEPT_OUTPUT = 20_000  # characters of a failure's output in the report


@contextmanager
def staged_scripts(cases: Sequence[Case], manifests: Sequence[Path]) -> Iterator[Path]:
    """A folder with the check scripts and what stands beside them, readable for everybody."""
    with scratch("checks") as place:
        staged = place / "checks"
        staged.mkdir()
        for folder in manifests:
            if (folder / "checks").is_dir():
                shutil.copytree(
                    folder / "checks",
                    staged,
                    dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("__pycache__"),
                )
        scripts = {case.check.script for case in cases if case.check and case.check.script}
        if missing := sorted(name for name in scripts if not (staged / name.removeprefix("checks/")).is_file()):
            raise VerifyError(
                f"check scripts are missing: {', '.join(missing)}",
                hint=f"Looked in {', '.join(map(str, manifests))}",
            )
        for path in (staged, *staged.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield staged


def run_suite(
    cases: Sequence[Case],
    plan: Plan,
    hosts: Sequence[str],
    env: Mapping[str, str],
    *,
    log: Path,
    workers: int | None,
    view: CheckView,
    settings: Mapping[str, Any] | None = None,
) -> list[CheckResult]:
    """Run checks on a started image; `hosts` are testinfra's options that lead to it.

    `env` has its token as DSVM_TOKEN, `settings` are for the suite's harness, all output goes to the file `log`.
    Raises VerifyError when the suite breaks off or a check has no result.
    """
    if not SUITE.is_dir():
        raise VerifyError(f"{SUITE}: no such folder", hint="Run DSVM from a checkout of its repository")
    token = env["DSVM_TOKEN"]
    with scratch("verify") as work:
        (work / "plan.json").write_text(canonical_json(plan), encoding="utf-8")
        (work / "cases.json").write_text(json.dumps([case.id for case in cases]), encoding="utf-8")
        (work / "settings.json").write_text(json.dumps(settings or {}), encoding="utf-8")
        lines = work / "results.jsonl"
        lines.touch()
        count = workers or max(2, min(os.cpu_count() or 2, 8))
        argv = [
            *(sys.executable, "-m", "pytest", str(SUITE), "--verbose", "-p", "no:cacheprovider"),
            # These two plugins and no others that may be installed.
            *("-p", "xdist.plugin", "-p", "testinfra.plugin"),
            # loadgroup, without a group: workers take one check after the other, in the suite's order
            *("--numprocesses", str(count), "--dist", "loadgroup", *hosts),
        ]
        env = {
            **env,
            "DSVM_VERIFY": str(work),
            "PYTEST_ADDOPTS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            # ecosystems from outside may be on it
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
        reader = _ResultReader(lines, cases, view)
        with Log(log) as file, stream(argv, env=env, cwd=SUITE) as (output, wait):
            for line in output:
                file.write(line.replace(token, "[token]"))
                reader.read()
            code = wait()
        reader.read()
    # 0: all passed, 1: some failed. Anything else is a suite that broke off.
    if code not in (0, 1):
        raise VerifyError(
            f"the image suite broke off (pytest exit code {code}):\n{tail(log.read_text(encoding='utf-8'))}",
            hint=f"Full output: {log}",
        )
    if missing := [case.id for case in cases if case.id not in reader.found]:
        raise VerifyError(
            f"{len(missing)} of {len(cases)} planned checks have no result: {', '.join(missing[:5])}"
            + (" ..." if len(missing) > 5 else ""),
            hint=f"Full output: {log}",
        )
    return list(reader.found.values())


class _ResultReader:
    """Follows the file that the suite writes one JSON line into for each outcome."""

    def __init__(self, path: Path, cases: Sequence[Case], view: CheckView) -> None:
        self.path = path
        self.cases = {case.id: case for case in cases}
        self.view = view
        self.offset = 0
        self.found: dict[str, CheckResult] = {}

    def read(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break  # still being written
                self.offset += len(raw)
                self._take(json.loads(raw))

    def _take(self, line: Mapping[str, Any]) -> None:
        case = self.cases[line["id"]]
        result = CheckResult(
            tool=case.tool,
            check=case.name,
            outcome=line["outcome"],
            seconds=round(line["seconds"], 3),
            output=line["output"][-KEPT_OUTPUT:],
        )
        earlier = self.found.get(case.id)
        # A check that passed can still fail while it is cleaned up after.
        if earlier is None or (earlier.outcome != "failed" and result.outcome == "failed"):
            self.found[case.id] = result
        if earlier is None:
            self.view.result(result)
