"""Makes the suite's checks from the plan and hands every outcome to `dsvm.checks` as a line of JSON.

The folder in DSVM_VERIFY holds plan.json, cases.json (ids of the checks to run) and takes results.jsonl.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from dsvm.checks.planned import Case, planned_checks
from dsvm.model import Plan
from image.harness import Image

if "DSVM_VERIFY" not in os.environ:
    raise pytest.UsageError("the image suite needs a started image: run 'invoke verify --variant NAME'")
WORK = Path(os.environ["DSVM_VERIFY"])
PLAN = Plan.model_validate_json((WORK / "plan.json").read_bytes())
CHOSEN = set(json.loads((WORK / "cases.json").read_text(encoding="utf-8")))
SETTINGS = json.loads((WORK / "settings.json").read_text(encoding="utf-8"))
CASES = [case for case in planned_checks(PLAN) if case.id in CHOSEN]
# Long ones first: with the short ones at the end, all workers finish at about the same time.
ORDER = ("script", "kernel", "run")
NO_PROGRESS = 600  # seconds after which a check that has no result will have none: its worker died


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kind = metafunc.function.__name__.removeprefix("test_")
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", [pytest.param(case, id=case.id) for case in CASES if case.kind == kind])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Where a kind has no case, pytest leaves a test behind that is always skipped.
    ours = [(case, item) for item in items if isinstance(case := _param(item), Case)]
    for case, item in ours:
        item.user_properties.append(("id", case.id))
    ours.sort(key=lambda pair: _place(pair[0]))
    items[:] = [item for _, item in ours]


def _wait_for_turn(case: Case) -> None:
    """Workers have several checks before them, so that the order in which they begin is not that of the suite."""
    before = {other.id for other in CASES if other.turn < case.turn}
    seen, since = 0, time.monotonic()
    while before and time.monotonic() < since + NO_PROGRESS:
        lines = (WORK / "results.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        done = {json.loads(line)["id"] for line in lines if line.endswith("\n")}
        if before <= done:
            return
        if len(done) > seen:
            seen, since = len(done), time.monotonic()
        time.sleep(0.1)


def _place(case: Case) -> tuple[int, bool, int]:
    return case.turn, not case.alone, ORDER.index(case.kind) if case.kind in ORDER else len(ORDER)


def _param(item: pytest.Item) -> Any:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("case") if callspec else None


def pytest_configure(config: pytest.Config) -> None:
    # xdist's workers hand every report on to its controller, which writes them all.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results())


class Results:
    """Writes each outcome down as it comes."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = dict(report.user_properties).get("id")
        # A worker that died reports no check: that one has no result, and `dsvm.checks` says so.
        if case is None or (report.when != "call" and report.passed):
            return
        outcome, output = "passed", ""
        if report.failed:
            outcome, output = "failed", str(report.longrepr)
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            outcome, output = "not exercised", reason.removeprefix("Skipped: ")
        line = {"id": case, "outcome": outcome, "seconds": report.duration, "output": output}
        with (WORK / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@pytest.fixture(scope="session")
def plan() -> Plan:
    return PLAN


@pytest.fixture
def image(host: Host, case: Case) -> Iterator[Image]:
    """The started image. A check that must be alone has it for itself; the others share it.

    Whoever waits at the gate keeps later ones out, so that a check that must be alone gets its turn.
    """
    _wait_for_turn(case)
    with (WORK / "gate").open("w") as gate, (WORK / "room").open("w") as room:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if case.alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield Image(host, SETTINGS, PLAN.environment)
