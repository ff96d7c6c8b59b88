"""Which tools are to blame when a section has no solution: those that cannot be had, or not beside each other."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from dsvm import ecosystems
from dsvm.ecosystems import Context, Request
from dsvm.model import Choice, LockError, OutOfReachError, Source


@dataclass(frozen=True)
class Unsolved:
    """A section without a solution, with what its tools' own sources say; `tools` are in the order of its request."""

    ecosystem: str
    tools: tuple[str, ...]
    request: Request
    sources: Mapping[str, tuple[Choice, Source]]

    def without_solution(self, tools: Sequence[str], context: Context) -> LockError | None:
        """What the solver says of these tools alone, beside what no tool asked for; None when there is a solution."""
        items = self.request.items
        ground = items[: len(items) - len(self.tools)]
        wanted = [item for tool, item in zip(self.tools, items[len(ground) :], strict=True) if tool in tools]
        try:
            ecosystems.get(self.ecosystem).resolve(replace(self.request, items=(*ground, *wanted)), context)
        except LockError as error:
            return error
        return None

    def asked(self, tool: str) -> str:
        """What a tool asks of the section, as its manifest says it."""
        item = self.request.items[len(self.request.items) - len(self.tools) + self.tools.index(tool)]
        plain = TypeAdapter(ecosystems.get(self.ecosystem).request_type).dump_python(item, mode="json")
        words = plain if isinstance(plain, list) else [plain]
        return ", ".join(word if isinstance(word, str) else json.dumps(word, ensure_ascii=False) for word in words)


def blame(section: Unsolved, context: Context) -> list[LockError]:
    """An error for every tool that cannot be had even alone, and one for others that cannot be had together.

    No error when it is neither: then what the solver said stands for itself.
    """
    absent = _absent(section, context)
    others = [tool for tool in section.tools if tool not in absent]
    return [*absent.values(), *_at_odds(section, others, context)]


def out_of_reach_now(section: Unsolved, context: Context) -> list[OutOfReachError]:
    """An error for every tool of a section that this host cannot get now; none when it gets them all."""
    return [*_absent(section, context).values()]


def probe(source: Source, context: Context) -> str | None:
    """Why this host cannot get a source now, or None when it can."""
    for name, request in source.requests().items():
        ecosystem = ecosystems.get(name)
        named = source.repository if ecosystem.placement == "system" else source.index
        if fault := ecosystem.probe(request, named, context):
            return fault
    return None


def out_of_reach(tool: str, tried: Sequence[str]) -> str:
    """What to say of a tool that no source gives: what was tried, and how each ended."""
    return f"tool '{tool}' cannot be had from any of its sources:\n" + textwrap.indent("\n".join(tried), "    ")


def without(variant: str, tools: Sequence[str]) -> str:
    """What to do about tools that cannot be had: the whole command that goes on without them."""
    named = "".join(f" --leave-out {tool}" for tool in dict.fromkeys(tools))
    return (
        f"Mend what is named above, or go on without: invoke lock --variant {variant}{named}\n"
        "(--leave-out-unreachable leaves out whatever cannot be had now, until it can be had)"
    )


def _absent(section: Unsolved, context: Context) -> dict[str, OutOfReachError]:
    found = {}
    for tool in section.tools:
        choice, source = section.sources[tool]
        if fault := probe(source, context):
            passed = [f"{name}: not within reach" for name in choice.passed_over]
            tried = [*passed, f"{'+'.join(source.requests())}: {fault}"]
            found[tool] = OutOfReachError(out_of_reach(tool, tried), tools=[tool])
    return found


def _at_odds(section: Unsolved, members: Sequence[str], context: Context) -> list[LockError]:
    if len(members) < 2 or section.without_solution(members, context) is None:
        return []
    tools = smallest_conflict(members, lambda some: section.without_solution(some, context) is None)
    fault = section.without_solution(tools, context)
    if len(tools) < 2 or fault is None:
        return []
    names = ", ".join(f"'{tool}'" for tool in tools[:-1]) + f" and '{tools[-1]}'"
    asked = [f"    {tool}: {section.asked(tool)}" for tool in tools]
    apart = ecosystems.get(section.ecosystem).placement == "env"
    own = "give one of them an environment of its own (env: of the tool), " if apart else ""
    return [
        LockError(
            f"tools {names} cannot be had together:\n" + "\n".join(asked) + f"\n{fault.message}",
            hint=f"Loosen what one of them asks for, {own}or leave one out: --leave-out {tools[-1]}",
        )
    ]


def smallest_conflict(members: Sequence[Any], works: Callable[[Sequence[Any]], bool]) -> list[Any]:
    """Of members that do not work together, some that would without any one of them; [] when not even none works.

    QuickXplain, by halves: for k of n members about 2k log(n/k) questions.
    https://cdn.aaai.org/AAAI/2004/AAAI04-027.pdf
    """

    def search(ground: list[Any], candidates: list[Any], grown: bool) -> list[Any]:
        if grown and not works(ground):
            return []
        if len(candidates) == 1:
            return candidates
        half = len(candidates) // 2
        first, second = candidates[:half], candidates[half:]
        later = search([*ground, *first], second, True)
        earlier = search([*ground, *later], first, bool(later))
        return [*earlier, *later]

    if not members or not works([]):
        return []
    return search([], list(members), False)
