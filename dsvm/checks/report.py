"""Plan and image -> report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dsvm.host import tail, write_whole
from dsvm.model import CheckResult, Outcome, Plan, Report, VerifyError, canonical_json
from dsvm.session import Session

SURVIVES = "serves until all its checks are done"
STOPS = "stops in good time"
GONE = ("is not running", "in a stopped container")  # what the engine says of a container that has ended


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
    """Every failed check with the end of its output, what died first of all, and every one not exercised with why."""
    failed = [result for result in report.results if result.outcome == "failed"]
    died = [result for result in failed if result.check == SURVIVES]
    # once it is dead, whatever was to be checked says the same
    silent = [result for result in failed if died and any(one in result.output for one in GONE)]
    told = [*died, *(result for result in failed if result not in died and result not in silent)]
    blocks = [f"FAILED {result.tool}: {result.check}\n{tail(result.output)}" for result in told]
    if silent:
        blocks.append(f"FAILED {len(silent)} checks that found it dead: {silent[0].tool}: {silent[0].check}, ...")
    blocks += [
        f"not exercised {result.tool}: {result.check}: {result.output}"
        for result in report.results
        if result.outcome == "not exercised"
    ]
    return "\n".join(blocks)


def conclude(
    session: Session, image: str, report: Report, begun: float, *, folder: Path, only: Sequence[str], more: str = ""
) -> None:
    """Say what a report of `image` holds. Raises VerifyError when a check failed; its hint ends with `more`."""
    session.echo(f"verified {image}: {summary(report, time.monotonic() - begun)}")
    if text := failures(report):
        session.echo(text)
    for fact, value in report.facts.items():
        session.echo(f"  {fact}: {value}")
    if failed := report.count("failed"):
        raise VerifyError(
            f"{failed} check{'s' if failed > 1 else ''} of {image} failed; it gets no name",
            hint=f"Report: {folder / report_name(only)}, full output: {folder / 'verify.log'}{more}",
            report=report,
        )
