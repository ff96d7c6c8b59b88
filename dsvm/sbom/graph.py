"""Who needs whom, by what artefacts say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dsvm.ecosystems import Described


class Graph:
    """Who needs whom, among artefacts that have said what they offer and need."""

    def __init__(self, said: Mapping[str, Described]) -> None:
        """`said` is ref -> what that artefact says."""
        self.said = said
        self.offers: dict[str, list[tuple[str, Sequence[str]]]] = {}
        self.providers: dict[str, set[str]] = {}
        for ref, one in said.items():
            for offered, needs in one.offers.items():
                self.offers.setdefault(offered, []).append((ref, needs))
        for offered, entries in self.offers.items():
            # a package that is called so goes before those that stand in for it; extras are called NAME[EXTRA]
            own = {ref for ref, _ in entries if said[ref].name == offered.partition("[")[0]}
            self.providers[offered] = own or {ref for ref, _ in entries}

    def resolve(self, names: Iterable[str]) -> set[str]:
        """The refs that names, as artefacts offer them, stand for."""
        return {ref for name in names for ref in self.providers.get(name, ())}

    def edges(self, roots: Iterable[str]) -> dict[str, set[str]]:
        """ref -> refs that it needs: of each package itself, and of the extras that roots and packages ask for."""
        found: dict[str, set[str]] = {ref: set() for ref in self.said}
        waiting = [*roots, *(one.name for one in self.said.values())]
        seen: set[str] = set()
        while waiting:
            wanted = waiting.pop()
            if wanted in seen:
                continue
            seen.add(wanted)
            for ref, needs in self.offers.get(wanted, ()):
                found[ref] |= self.resolve(needs)
                waiting += needs
        return {ref: needs - {ref} for ref, needs in found.items()}


def reachable(edges: Mapping[str, Iterable[str]], roots: Iterable[str]) -> Iterator[str]:
    """All that roots lead to, themselves included."""
    waiting = [*roots]
    seen: set[str] = set()
    while waiting:
        ref = waiting.pop()
        if ref not in seen:
            seen.add(ref)
            yield ref
            waiting += edges.get(ref, ())
