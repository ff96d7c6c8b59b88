"""The source of each tool: the first one that applies and can be reached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from dsvm.catalog import Catalog, applicable
from dsvm.ecosystems import Context
from dsvm.lock.conflicts import out_of_reach, probe, without
from dsvm.lock.sources import tools_of
from dsvm.model import MACHINE_FORMATS, Base, Choice, Lock, LockError, OutOfReachError, Tool, Variant, only_machines

Echo = Callable[[str], None]


def choice_of(tool: Tool, source: int, passed_over: Sequence[str] = ()) -> Choice:
    """The choice of a source; `formats` says when the tool, or this source, is only for virtual machines."""
    special = only_machines(tool.formats) or only_machines(tool.sources[source].formats)
    formats = MACHINE_FORMATS if special else ()
    return Choice(tool=tool.tool, source=source, passed_over=tuple(passed_over), formats=formats)


def first_choice(tool: Tool, variant: Variant, base: Base) -> Choice:
    """The choice of the first source of `tool` that applies; LockError when none does."""
    sources = applicable(tool, variant, base)
    if not sources:
        raise LockError(
            f"tool '{tool.tool}' has no source for {variant.base}, {variant.accelerator}",
            hint=f"Take it out of the variant, or: --leave-out {tool.tool}",
        )
    return choice_of(tool, sources[0][0])


def choose(
    catalog: Catalog,
    variant: Variant,
    context: Context,
    previous: Lock | None,
    gone: Collection[str],
    echo: Echo,
    anew: Collection[str] = (),
) -> list[Choice]:
    """The first source of each tool that applies and can be reached; earlier choices stay while they apply.

    Those of the tools `anew` stay where no earlier source answers.
    """
    before = {choice.tool: choice for choice in previous.choices} if previous is not None else {}
    faults: list[str] = []
    lacking_tools: list[str] = []
    choices: list[Choice] = []
    for tool in tools_of(catalog, variant, gone):
        sources = applicable(tool, variant, context.base)
        kept = before.get(tool.tool)
        stays = kept is not None and kept.source in [place for place, _ in sources]
        if stays and kept is not None and tool.tool not in anew:
            choices.append(choice_of(tool, kept.source, kept.passed_over))
            continue
        if not sources:
            faults.append(f"tool '{tool.tool}' has no source for {variant.base}, {variant.accelerator}")
            continue
        if lacking := _unchecked(tool, variant, context.base):
            faults.append(f"tool '{tool.tool}' has no {lacking} for {variant.base}, {variant.accelerator}")
            continue
        passed: list[str] = []
        reasons: list[str] = []
        for place, source in sources:
            if stays and kept is not None and place == kept.source:
                choices.append(choice_of(tool, place, kept.passed_over))
                break
            # the last one is not asked twice: resolving tells whether it can be had
            fault = None if len(sources) == 1 else probe(source, context)
            if fault is None:
                choices.append(choice_of(tool, place, passed))
                if source.remark:
                    echo(f"{tool.tool}: source {place + 1} ({'+'.join(source.requests())}): {source.remark}")
                break
            echo(f"{tool.tool}: source {place + 1} ({'+'.join(source.requests())}) passed over: {fault}")
            # the reason is news for people: it may name a host, which a lock never does
            passed.append("+".join(source.requests()))
            reasons.append(f"{passed[-1]}: {fault}")
        else:
            faults.append(out_of_reach(tool.tool, reasons))
            lacking_tools.append(tool.tool)
    if faults and len(lacking_tools) == len(faults):
        gone_too = catalog.with_dependents(lacking_tools, variant)
        raise OutOfReachError("\n".join(faults), tools=lacking_tools, hint=without(variant.variant, gone_too))
    if faults:
        raise LockError("\n".join(faults), hint="Mend what is named above, or leave tools out: --leave-out TOOL")
    return choices


def _unchecked(tool: Tool, variant: Variant, base: Base) -> str:
    """Which kind of check a tool lacks once those are left off that cannot be made on `base`; "" when none."""
    checks = [check for check in tool.checks if check.holds(accelerator=variant.accelerator, base=base)]
    if not any(check.version is not None for check in checks):
        return "'version' check"
    return "" if any(check.version is None for check in checks) else "working check ('run' or 'script')"
