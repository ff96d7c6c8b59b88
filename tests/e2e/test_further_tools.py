"""Tools that only the largest image has: each is there without being able to do anything, and its checks find that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from workbench import BIG, CUT_OFF, FULL, INVOKE, ROOT, Invoke, Silent, broken_image, docker, run

from dsvm import catalog, checks, lock
from dsvm.container.verification import verify
from dsvm.host import find_engine
from dsvm.model import Plan, PlannedTool, upstream_version
from dsvm.plan import own_pin

pytestmark = pytest.mark.slow
# no command of its own: its functions are read by a shell
COMPLETION = "bash-completion"


@pytest.fixture(scope="module")
def plan(invoke: Invoke) -> Plan:
    invoke("fetch", "--variant", FULL).passed()
    run([*CUT_OFF, INVOKE, "build", "--variant", FULL, "--offline", "--locked"]).passed()
    return Plan.model_validate_json((ROOT / "build" / FULL / "plan.json").read_bytes())


@pytest.fixture(scope="module")
def further(plan: Plan) -> list[PlannedTool]:
    """The tools that another test, of the smaller image, does not look at already."""
    smaller = lock.read(ROOT / "manifests" / "locks" / f"{BIG}.json")
    known = {choice.tool for choice in smaller.choices}
    return [tool for tool in plan.tools if tool.name not in known]


@pytest.fixture(scope="module")
def broken(further: list[PlannedTool], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image whose further tools have no code left; commands say their version, and do nothing else."""
    manifests, locked = catalog.load(), lock.read(ROOT / "manifests" / "locks" / f"{FULL}.json")
    lines = [f": > /usr/share/{COMPLETION}/bash_completion"]
    for tool in further:
        place = own_pin(manifests, locked, manifests.tools[tool.name])
        if tool.env is not None and place is not None:
            lines.append(f"package {tool.env} {place[1].name}")
        lines += [
            f"command {name} '{name} {upstream_version(tool.versions.get(name, tool.version))}'"
            for name in tool.commands
        ]
    tag = "dsvm-e2e/further:latest"
    broken_image(tag, f"dsvm/{FULL}:latest", tmp_path_factory.mktemp("further"), "\n".join(lines))
    yield tag
    docker("image", "rm", "--force", tag)


def test_a_tool_that_can_do_nothing_fails(
    plan: Plan, further: list[PlannedTool], broken: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = [tool.name for tool in further]
    assert len(names) > 50, "the largest image has no more than the usual one"
    folder = tmp_path_factory.mktemp("report")
    report = verify(plan, broken, engine=find_engine(), folder=folder, only=names, view=Silent())
    failed = {f"{one.tool}: {one.check}" for one in report.results if one.outcome == "failed"}
    work = {case.id for case in checks.planned_checks(plan, names) if case.kind in ("run", "script", "network")}
    assert work - failed == set()
    assert {one.split(": ")[0] for one in work} == {*names}
