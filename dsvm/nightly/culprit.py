"""The smallest set of changes that breaks something, found with few trials.

Known is that all changes together break it and none of them does. The changes stand in one order, suspects first, and
the shortest beginning of it that breaks is looked for by halves; its last change has to do with it. If that one does
not break alone, it stays in, and what else is needed is looked for in the same way among those before it. This is the
search of delta debugging (Zeller, Hildebrandt 2002) for monotone tests: n changes of which one is to blame take
log2(n) trials, and one more that tries it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

Change = TypeVar("Change")
# Whether these changes together break it; None where they cannot be tried without the others
Test = Callable[[tuple[Change, ...]], bool | None]


def find(changes: Sequence[Change], test: Test[Change], *, suspects: int = 0) -> tuple[Change, ...]:
    """The smallest set of `changes` that breaks, in their order; the first `suspects` of them are looked at first.

    All of them break, and none does: neither is tried again. What cannot be tried alone stays with its neighbours.
    Whatever `test` raises ends the search.
    """
    order = list(changes)
    known: dict[frozenset[int], bool | None] = {frozenset(): False, frozenset(range(len(order))): True}

    def breaks(numbers: frozenset[int]) -> bool | None:
        if numbers not in known:
            known[numbers] = test(tuple(order[number] for number in sorted(numbers)))
        return known[numbers]

    def with_first(kept: frozenset[int], count: int) -> bool | None:
        return breaks(kept | frozenset(range(count)))

    needed: frozenset[int] = frozenset()
    among = len(order)
    first = suspects
    while True:
        low, high = _shortest(partial(with_first, needed), among, first)
        needed |= frozenset(range(low, high))
        if low == 0 or breaks(needed):
            return tuple(order[number] for number in sorted(needed))
        among, first = low, 0


def _shortest(breaks: Callable[[int], bool | None], count: int, first: int) -> tuple[int, int]:
    """(low, high): the first `high` of `count` break and the first `low` do not; what lies between cannot be parted."""
    low, high = 0, count
    while high - low > 1:
        tried = False
        for middle in _middles(low, high, first):
            answer = breaks(middle)
            if answer is None:
                continue
            low, high = (low, middle) if answer else (middle, high)
            tried = True
            break
        if not tried:
            break
        first = 0
    return low, high


def _middles(low: int, high: int, first: int) -> list[int]:
    """Where to part, the best first: no half is larger than a power of two that halving would leave.

    The first `first` are looked at by themselves where that costs no trial more.
    """
    size = high - low
    most = 1 << ((size - 1).bit_length() - 1)
    best = min(max(first - low, size - most), most) if first > low else (size + 1) // 2
    every = range(low + 1, high)
    return sorted(every, key=lambda middle: (abs(middle - low - best), middle))
