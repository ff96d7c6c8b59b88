"""What `invoke show` answers: stages, tools and versions of one variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.model import Lock, Plan, Variant, answers, traits
from dsvm.plan import image_sections, make_plan
from dsvm.screen.console import echo, paragraph, table
from dsvm.screen.forms import shown_as
from dsvm.screen.variants import lock_state
from dsvm.session import Session


def show_variant(session: Session, variant: str, form: str = "table") -> None:
    """Stages, tools with versions, and what was left out, as tables or JSON."""
    show = shown_as(form, _show)
    show(show_answer(session.catalog, variant))


def show_answer(catalog: Catalog, variant: str) -> answers.ShowAnswer:
    """What `variant` has by its lock, or without one by its manifests; LockError for a lock that does not fit them."""
    lock = locks.find(catalog, variant)
    return _promised(catalog, catalog.variant(variant)) if lock is None else _locked(catalog, lock)


def _promised(catalog: Catalog, variant: Variant) -> answers.ShowAnswer:
    return answers.ShowAnswer(
        variant=variant.variant,
        summary=variant.summary,
        base=variant.base,
        base_kind=None,
        accelerator=variant.accelerator,
        lock=None,
        stages=(),
        tools=tuple(
            answers.ShownTool(
                tool=tool.tool,
                group=tool.group,
                summary=tool.summary,
                license=tool.license,
                version=None,
                ecosystem=None,
                env=None,
            )
            for tool in locks.tools_of(catalog, variant)
        ),
        choices=(),
        left_out=tuple(locks.unsuited(catalog, variant)),
    )


def _locked(catalog: Catalog, lock: Lock) -> answers.ShowAnswer:
    plan = make_plan(catalog, lock)
    return answers.ShowAnswer(
        variant=plan.variant,
        summary=plan.summary,
        base=plan.base.base,
        base_kind=plan.base_kind,
        accelerator=plan.accelerator,
        lock=lock_state(catalog, lock),
        stages=tuple(_stages(plan)),
        tools=tuple(
            answers.ShownTool(
                tool=tool.name,
                group=tool.group,
                summary=tool.summary,
                license=tool.license,
                version=tool.version,
                ecosystem=tool.ecosystem,
                env=tool.env,
            )
            for tool in plan.tools
        ),
        choices=tuple(
            answers.ShownChoice(
                tool=choice.tool,
                source=choice.source,
                formats=choice.formats,
                passed_over=choice.passed_over,
                remark=catalog.tools[choice.tool].sources[choice.source].remark or None,
            )
            for choice in lock.choices
        ),
        left_out=plan.left_out,
    )


def _stages(plan: Plan) -> Iterator[answers.ShownStage]:
    """The stages of `plan`, those of one section as one."""
    sections = {section.id: section for section in plan.sections}
    inside = {section.id for section in image_sections(plan)}
    layered = [stage.section for stage in plan.stages if stage.output or stage.name == plan.system]
    layers = Counter(layered if traits(plan.base).layered else ())
    for name, stage in {stage.section: stage for stage in plan.stages}.items():
        yield answers.ShownStage(
            stage=name,
            parent=stage.parent,
            ecosystem=sections[name].ecosystem,
            packages=len(sections[name].pins),
            size=sum(pin.size for pin in sections[name].pins),
            in_image=name in inside,
            layers=layers[name],
        )


def _show(answer: answers.ShowAnswer) -> None:
    paragraph(f"{answer.variant}: {answer.summary}")
    if answer.lock is None:
        todo = f"not locked yet; run: invoke lock --variant {answer.variant}"
        echo(f"base {answer.base}, {answer.accelerator}, {todo}")
        paragraph("tools: " + ", ".join(tool.tool for tool in answer.tools))
    else:
        echo(f"base {answer.base} ({answer.base_kind}), lock {answer.lock.digest[:12]}\n")
        _show_stages(answer)
        echo("")
        _show_tools(answer)
    for choice in answer.choices:
        for source in choice.passed_over:
            paragraph(f"{choice.tool}: source {source} was not within reach when this was locked")
        if choice.remark:
            paragraph(f"{choice.tool}: {choice.remark}")
    for left in answer.left_out:
        echo(f"left out: {left.tool} ({left.reason})")


def _show_stages(answer: answers.ShowAnswer) -> None:
    rows = [
        [
            *(one.stage, one.parent, one.ecosystem, str(one.packages), f"{one.size / 1e6:.1f}"),
            str(one.layers or ("-" if one.in_image else "only builds")),
        ]
        for one in answer.stages
    ]
    table("Stages", ["stage", "from", "ecosystem", "packages", "MB", "layers"], rows, right=(3, 4, 5), wraps=(0, 1))


def _show_tools(answer: answers.ShowAnswer) -> None:
    # the group stands on a line of its own: its column is the one that a narrow terminal has no room for
    rows = []
    tools = sorted(answer.tools, key=lambda tool: (tool.group, tool.tool))
    for group, members in groupby(tools, key=lambda tool: tool.group):
        rows.append([f"{group.replace('-', ' ')}:", *[""] * 4])
        rows += [
            [
                *(f" {tool.tool}", tool.version or "-", tool.ecosystem or "-", tool.env or "-"),
                f"{tool.license}. {tool.summary}",
            ]
            for tool in members
        ]
    table("Tools", ["tool", "version", "from", "env", "license, and what it is"], rows, wraps=(1,))
