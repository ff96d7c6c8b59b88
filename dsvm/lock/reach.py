"""Tools that were out of reach when a variant was locked: whether their sources answer now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from queue import Empty, Queue
from typing import get_args

from dsvm.catalog import Catalog, applicable
from dsvm.ecosystems import Context
from dsvm.lock.conflicts import probe
from dsvm.lock.sources import tools_of
from dsvm.model import DsvmError, LeftOut, LeftOutKind, Lock, Tool, Variant

PATIENCE = 30.0  # seconds for all sources together


@dataclass(frozen=True)
class Reach:
    """What becomes of the tools that a lock left out as unreachable: which can come in, and why others cannot."""

    back: tuple[str, ...] = ()
    out: Mapping[str, str] = field(default_factory=dict)


def ask_again(
    catalog: Catalog,
    lock: Lock,
    context: AbstractContextManager[Context],
    patience: float = PATIENCE,
    *,
    held: Collection[str] = (),
) -> Reach:
    """Ask the sources of all tools that `lock` left out as unreachable, at once, but for the tools `held`.

    One that needs another of them is asked when that one's source has answered; one that needs a tool which is held, or
    was left out on request, is not asked, and not out of reach.
    """
    variant = catalog.variant(lock.variant)
    waiting = _waiting(catalog, variant, lock.left_out, held)
    if not waiting:
        return Reach()
    there = {choice.tool for choice in lock.choices}
    ends = time.monotonic() + patience
    answers: Queue[tuple[str, str | None]] = Queue()
    asked: dict[str, threading.Thread] = {}
    out: dict[str, str] = {}
    with ExitStack() as stack:
        # what is found here is said by whoever asked, and not while it goes on
        here = replace(stack.enter_context(context), echo=_nothing, warn=_nothing, once=True, dead={})
        while True:
            for name, tool in waiting.items():
                if name not in asked and there.issuperset(tool.requires):
                    ask = _asking(tool, variant, here, answers)
                    asked[name] = threading.Thread(target=ask, name=f"ask-{name}", daemon=True)
                    asked[name].start()
            if all(name in there or name in out for name in asked):
                break
            try:
                name, fault = answers.get(timeout=max(ends - time.monotonic(), 0))
            except Empty:
                out |= {name: f"no answer within {patience:g} s" for name in asked if name not in there | {*out}}
                break
            if fault is None:
                there.add(name)
            else:
                out[name] = fault
        late = [thread for thread in asked.values() if thread.is_alive()]
        if late:  # nobody waits for them, and what they work in stays until they end
            threading.Thread(target=_close_after, args=(late, stack.pop_all()), daemon=True).start()
    for name, tool in waiting.items():
        if name not in asked:
            out[name] = f"it needs {', '.join(other for other in tool.requires if other not in there)}"
    return Reach(tuple(name for name in waiting if name in there), out)


def companions(catalog: Catalog, lock: Lock, tools: Collection[str]) -> set[str]:
    """Tools of `lock` that come from a second choice, and that one of `tools` needs, directly or not."""
    needed, more = set[str](), {*tools}
    while more:
        needed |= more
        more = {other for name in more for other in catalog.tools[name].requires} - needed
    return {choice.tool for choice in lock.choices if choice.passed_over and choice.tool in needed}


def apart(catalog: Catalog, tools: Iterable[str]) -> list[list[str]]:
    """`tools` in groups of which none needs a tool of another."""
    groups: list[list[str]] = []
    for tool in tools:
        tied = [group for group in groups if any(_tied(catalog.tools[tool], catalog.tools[one]) for one in group)]
        groups = [group for group in groups if group not in tied]
        groups.append([*chain.from_iterable(tied), tool])
    return groups


def _tied(one: Tool, other: Tool) -> bool:
    return one.tool in other.requires or other.tool in one.requires


def _waiting(catalog: Catalog, variant: Variant, left_out: Iterable[LeftOut], held: Collection[str]) -> dict[str, Tool]:
    by_kind = {kind: [left.tool for left in left_out if left.kind == kind] for kind in get_args(LeftOutKind)}
    stay = catalog.with_dependents([*by_kind["requested"], *held], variant)
    return {tool.tool: tool for tool in tools_of(catalog, variant, stay) if tool.tool in by_kind["unreachable"]}


def _asking(
    tool: Tool, variant: Variant, context: Context, answers: Queue[tuple[str, str | None]]
) -> Callable[[], None]:
    def ask() -> None:
        faults: list[str] = []
        for _, source in applicable(tool, variant, context.base):
            try:
                fault = probe(source, context)
            except (DsvmError, OSError) as error:  # a wrong password among them: what was built goes on without
                fault = str(error)
            if fault is None:
                answers.put((tool.tool, None))
                return
            faults.append(fault)
        answers.put((tool.tool, "; ".join(faults) or f"no source for {variant.base}, {variant.accelerator}"))

    return ask


def _close_after(threads: Sequence[threading.Thread], stack: ExitStack) -> None:
    for thread in threads:
        thread.join()
    with suppress(DsvmError, OSError):
        stack.close()


def _nothing(line: str) -> None:
    pass
