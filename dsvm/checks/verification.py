"""Plan and image -> report."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from dsvm.checks.container import check_settings, copy_scripts, inspect, started, wait_until_healthy
from dsvm.checks.planned import IMAGE, planned_checks
from dsvm.checks.suite import REPOSITORY, run_suite, staged_scripts
from dsvm.checks.watch import ConsoleWatcher, Watcher
from dsvm.files import write_whole
from dsvm.model import CheckResult, Outcome, Plan, Report, canonical_json
from dsvm.run import tail

MANIFESTS = REPOSITORY / "manifests"


def verify(
    plan: Plan,
    image: str,
    *,
    engine_env: Mapping[str, str],
    folder: Path,
    only: Sequence[str] = (),
    manifests: Sequence[Path] = (MANIFESTS,),
    workers: int | None = None,
    progress: Watcher | None = None,
) -> Report:
    """Start `image` with networking off, run every planned check in it and remove it again.

    `engine_env` says which engine (DOCKER_HOST), `manifests` where check scripts are (later folders win), `only`
    limits to some tools. Writes its report and verify.log in `folder`. A failed check is in the report;
    VerifyError means that the verification itself failed: the image does not start, the suite breaks off, a check
    has no result.
    """
    cases = planned_checks(plan, only)
    watcher = progress or ConsoleWatcher()
    folder.mkdir(parents=True, exist_ok=True)
    settings = inspect(image, plan, engine_env)
    token = secrets.token_urlsafe(24)
    watcher.step(f"Starting {image}")
    serves = bool(plan.services)
    gpu = plan.accelerator == "gpu"
    with started(image, token, engine_env, variant=plan.variant, serves=serves, gpu=gpu) as container:
        with staged_scripts(cases, manifests) as scripts:
            copy_scripts(scripts, container, engine_env)
        wait_until_healthy(container, engine_env, serves=serves)
        results = [check_settings(plan, settings["Config"])] if not only or IMAGE in only else []
        watcher.begin(len(cases) + len(results))
        try:
            for result in results:
                watcher.result(result)
            results += run_suite(
                cases,
                plan,
                [f"--hosts=docker://{container}"],
                {**engine_env, "DSVM_TOKEN": token},
                log=folder / "verify.log",
                workers=workers,
                watcher=watcher,
            )
        finally:
            watcher.end()
    report = make_report(plan, settings["Id"], results)
    write_report(folder, report, only)
    return report


def make_report(
    plan: Plan, image: str, results: Sequence[CheckResult], facts: Mapping[str, str] | None = None
) -> Report:
    """Results in their order; `image` is what was verified, as `sha256:...`."""
    return Report(
        variant=plan.variant,
        image=image,
        lock=plan.lock_digest,
        results=tuple(sorted(results, key=lambda result: (result.tool, result.check))),
        left_out=plan.left_out,
        facts=dict(facts or {}),
    )


def write_report(folder: Path, report: Report, only: Sequence[str] = ()) -> None:
    """Write a report whole or not at all."""
    write_whole(folder / report_name(only), canonical_json(report))


def report_name(only: Sequence[str] = ()) -> str:
    """File name of a report: one about some tools does not take the place of the whole one."""
    return "report-some.json" if only else "report.json"


def summary(report: Report, seconds: float | None = None) -> str:
    """For example '124 passed, 0 failed, 3 not exercised in 58 s'."""
    outcomes: tuple[Outcome, ...] = ("passed", "failed", "not exercised")
    counts = ", ".join(f"{report.count(outcome)} {outcome}" for outcome in outcomes)
    return counts if seconds is None else f"{counts} in {seconds:.0f} s"


def failures(report: Report) -> str:
    """Every failed check with the end of its output, and every one not exercised with its reason."""
    blocks = [
        f"FAILED {result.tool}: {result.check}\n{tail(result.output)}"
        for result in report.results
        if result.outcome == "failed"
    ]
    blocks += [
        f"not exercised {result.tool}: {result.check}: {result.output}"
        for result in report.results
        if result.outcome == "not exercised"
    ]
    return "\n".join(blocks)
