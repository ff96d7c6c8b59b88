"""The tables of `invoke compat`, and the reasoning of `invoke compat --explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsvm.model import FrameworkRow, GateLevel, Row, answers
from dsvm.screen.compatibility import compat_answer, explain_answer, fresh_lock
from dsvm.screen.console import echo, echo_marked, table
from dsvm.screen.forms import shown_as
from dsvm.session import Session, gate_findings, gate_refuse

# of the gate's findings, the worst first, with their colours
LEVELS: Mapping[GateLevel, str] = {"error": "red", "warning": "yellow", "not_checked": "dim", "ok": "green"}


def show_compat(session: Session, form: str = "table") -> None:
    """What fits together, as tables or JSON; then raises InputError where a variant has faults."""
    show = shown_as(form, _show)
    show(compat_answer(session))
    session.catalog.refuse_broken()


def show_reasoning(session: Session, variant: str, form: str = "table") -> None:
    """Every rule with what it looked at and its verdict, as text or JSON; then raises what the gate raises."""
    show = shown_as(form, _explain)
    lock = fresh_lock(session, variant)
    found = gate_findings(session, variant, lock)
    show(explain_answer(session, variant, lock, found))
    gate_refuse(variant, found)


def _show(answer: answers.CompatAnswer) -> None:
    rows = answer.rows

    def show(title: str, columns: list[str], members: Sequence[Row], cells: Callable[[Any], list[str]]) -> None:
        table(title, [*columns, "read on", "source"], [[*cells(row), str(row.date), row.source] for row in members])
        echo("")

    show(
        "CUDA by major version",
        ["cuda", "driver from", "GPUs from"],
        rows.cuda,
        lambda row: [str(row.cuda), str(row.driver), f"sm_{row.sm}"],
    )
    show(
        "Drivers that toolkits bundle",
        ["toolkit", "linux", "windows"],
        rows.toolkits,
        lambda row: [row.toolkit, row.linux, row.windows or "-"],
    )
    show(
        "GPUs",
        ["gpu", "architecture", "first CUDA", "last driver"],
        rows.gpus,
        lambda row: [row.gpu, f"sm_{row.sm}", row.cuda or "-", str(row.last_driver or "-")],
    )
    show(
        "Kernel modules of the driver",
        ["modules", "packages", "GPUs from", "to"],
        rows.modules,
        lambda row: [row.modules, ", ".join(row.packages), *(f"sm_{sm}" for sm in row.sm)],
    )
    show(
        "Architectures in a build",
        ["package", "cuda", "from", "to"],
        rows.builds,
        lambda row: [row.package, row.cuda, *(f"sm_{sm}" for sm in row.sm)],
    )
    show("Frameworks", ["package", "version", "python", "cuda", "cudnn"], rows.frameworks, _framework_cells)
    show(
        "Repositories of vendors",
        ["path", "for"],
        rows.repositories,
        lambda row: [row.path, f"{row.os} {row.release}"],
    )
    show(
        "Packages by distribution",
        ["package", "made for"],
        rows.distributions,
        lambda row: [row.package, f"{row.os} {', '.join(row.releases)}"],
    )
    show(
        "Ends of life",
        ["product", "release", "support", "extended", "today"],
        rows.ends,
        lambda row: [row.product, row.release, str(row.support), str(row.extended or "-"), row.level],
    )
    table("Sources", ["source", "what it is"], [[name, text] for name, text in rows.sources.items()])
    echo("")
    shown = [*LEVELS][1:]
    verdicts = [
        [
            *(one.variant, one.judged_by, f"refused: {', '.join(one.refused_by)}" if one.refused_by else "fits"),
            *(str(one.findings[level]) for level in shown),
        ]
        for one in answer.variants
    ]
    table("Variants", ["variant", "judged by", "verdict", *map(_words, shown)], verdicts, right=(3, 4, 5))
    echo("\nWhy: invoke compat --explain VARIANT")


def _words(level: GateLevel) -> str:
    return level.replace("_", " ")


def _framework_cells(row: FrameworkRow) -> list[str]:
    span = f"{row.since} to before {row.before}" if row.before else f"from {row.since}"
    cuda = ", ".join([*row.cuda, *(f"[{extra}]" for extra in row.extras)])
    return [row.package, span, row.python or "-", cuda or "none", row.cudnn or "-"]


def _explain(answer: answers.ExplainAnswer) -> None:
    judged = "its lock" if answer.judged_by == "lock" else "what manifests promise"
    echo(f"{answer.variant}: base {answer.base}, {answer.accelerator}, judged by {judged}")
    for rule in answer.rules:
        echo(f"\n{rule.rule}: {rule.statement}")
        for finding in rule.findings:
            echo_marked(f"  {_words(finding.level):<11}", LEVELS[finding.level], f"  {finding.what}")
            more = (("source", finding.source), ("do", finding.remedy))
            for line in (f"{word}: {text}" for word, text in more if text):
                echo(f"{'':<17}{line}")
        if not rule.findings:
            echo("  nothing in this variant that it looks at")
    echo("")
    for left in answer.left_out:
        echo(f"left out: {left.tool} ({left.reason})")
    if answer.verdict == "fits":
        echo(f"{answer.variant} fits together")
