"""Groups in variants: `group:NAME` stands for the tools whose manifests say `group: NAME`, as far as there are any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dsvm.catalog.suiting import applicable, suits
from dsvm.catalog.words import near
from dsvm.ecosystems import registry
from dsvm.model import GROUP, Base, Tool, Variant


@dataclass(frozen=True)
class Groups:
    """The tools of a catalog by their groups, and the bases that decide which of them there are."""

    tools: Mapping[str, Tool]
    bases: Mapping[str, Base]

    def members(self, word: str) -> list[str]:
        """The tools that `word` stands for, by name: all of a group, or the one tool, whether it is there or not."""
        if not word.startswith(GROUP):
            return [word]
        group = word.removeprefix(GROUP)
        return sorted(name for name, tool in self.tools.items() if tool.group == group)

    def spread(self, step: Variant, place: Variant) -> Variant:
        """`step`, one of the variants that `place` is made of, with tools where it says groups.

        Left out of a group is what `place`, with its base, accelerator and formats, cannot have, and what `step` goes
        without.
        """
        gone = {tool for word in step.without for tool in self.members(word)}
        asked = dict.fromkeys(tool for word in step.tools for tool in self.members(word))
        trial = place.model_copy(update={"tools": (*asked, *place.tools)})
        tools = dict.fromkeys(
            tool
            for word in step.tools
            for tool in self.members(word)
            if not word.startswith(GROUP) or (tool not in gone and self._possible(tool, trial, ()))
        )
        # what is named by itself stays beside a group that goes
        named = {word for word in step.tools if not word.startswith(GROUP)}
        without = tuple(dict.fromkeys(tool for tool in sorted(gone) if tool not in named))
        said = {"tools": tuple(tools), "without": without}
        return step.model_copy(update={key: said[key] for key in step.model_fields_set & said.keys()})

    def faults(self, step: Variant, place: Variant) -> Iterator[tuple[str, str]]:
        """Each group of `step` that is not there, or of which `place` can have nothing, and what is wrong with it."""
        known = sorted({tool.group for tool in self.tools.values()})
        there = f" (there are {', '.join(known)})"
        for word in dict.fromkeys((*step.tools, *step.without)):
            if not word.startswith(GROUP):
                continue
            group = word.removeprefix(GROUP)
            if group not in known:
                yield word, f"unknown group '{group}'{near(group, known) or there}"
            elif word in step.tools and not self.spread(_only(step, word), place).tools:
                yield word, f"group '{group}' has no tool for {place.base}, {place.accelerator}"

    def _possible(self, name: str, place: Variant, asking: Sequence[str]) -> bool:
        """Whether an image of `place` can have the tool and what it requires; where nobody can tell, it can."""
        tool, base = self.tools.get(name), self.bases.get(place.base)
        if tool is None or base is None or name in asking:
            return True
        known = all(asked in registry() for source in tool.sources for asked in (*source.requests(), *source.build))
        if known and not (suits(tool.formats, place) and applicable(tool, place, base)):
            return False
        return all(self._possible(other, place, (*asking, name)) for other in tool.requires)


def _only(step: Variant, word: str) -> Variant:
    return step.model_copy(update={"tools": (word,), "without": ()})
