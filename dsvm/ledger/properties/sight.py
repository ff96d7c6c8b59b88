"""What properties look at."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dsvm.ledger.comparing import BYTECODE, Resolver
from dsvm.ledger.contents import MOST, Contents
from dsvm.model import Entry, Tree

# what artefacts promise, by `comparing.resolved`
Wanted = Mapping[str, Sequence[tuple[Entry, str]]]


def nothing(paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """No content of any file."""
    return iter(())


@dataclass(frozen=True)
class Sight:
    """An image's tree, what its artefacts promise of it, and what is in its files."""

    tree: Tree
    wanted: Wanted = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)
    # SHA-256 of all files that artefacts have, wherever they are put
    known: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    # of which the plan has the text
    planned: frozenset[str] = frozenset()
    # command lines of the plan's services, and the variables through which they get their tokens
    words: tuple[str, ...] = ()
    token_variables: frozenset[str] = frozenset()
    # libraries, or files that need them, with stars: tools say that they may lack
    lacks: tuple[str, ...] = ()
    # members of groups that may become root, as (user, group): those that the plan itself wants
    trusted: frozenset[tuple[str, str]] = frozenset()
    # whether NVIDIA's driver is there when the image runs
    has_driver: bool = False
    # path and content of files that are not among those which are kept
    fetch: Callable[[Sequence[str]], Iterable[tuple[str, bytes]]] = nothing

    @cached_property
    def real(self) -> Resolver:
        return Resolver(self.tree)

    def data(self, path: str) -> bytes:
        """A small file of configuration, links followed; b"" where there is none."""
        end = self.real.end(path)
        entry = self.tree[end][0] if end in self.tree else None
        if entry is None or entry.kind != "file" or entry.size > MOST:
            return b""
        kept = self.contents.texts.get(entry.sha256)
        return kept if kept is not None else next((data for _, data in self.fetch([end])), b"")

    def text(self, path: str) -> str:
        """The same as text."""
        return self.data(path).decode("utf-8", "replace")

    @cached_property
    def ordered(self) -> list[str]:
        """All files, sorted."""
        return sorted(path for path, (entry, _) in self.tree.items() if entry.kind == "file")

    def below(self, folder: str) -> list[str]:
        """Files below a folder, whose name ends in a slash; sorted."""
        return self.ordered[bisect_left(self.ordered, folder) : bisect_left(self.ordered, f"{folder[:-1]}0")]

    def is_vouched(self, path: str) -> bool:
        """Whether an artefact, or the plan, has exactly this file."""
        return self.tree[path][0].sha256 in self.known

    @cached_property
    def strangers(self) -> list[str]:
        """Files whose content no artefact has, byte code aside: what steps make, and what nobody explains."""
        return [
            path
            for path, (entry, _) in self.tree.items()
            if entry.kind == "file" and entry.sha256 not in self.known and not BYTECODE.match(path)
        ]

    def read(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Path and content of small files; larger ones are left out."""
        far = []
        for path in paths:
            entry = self.tree[path][0]
            if (data := self.contents.texts.get(entry.sha256)) is not None:
                yield path, data
            elif entry.size <= MOST:
                far.append(path)
        yield from self.fetch(far)
