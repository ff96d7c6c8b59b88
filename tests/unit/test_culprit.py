"""The search for the smallest change that breaks something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsvm.nightly import culprit


def search(count: int, guilty: set[int], suspects: int = 0) -> tuple[tuple[int, ...], int]:
    """What is found when exactly `guilty` together break, and how many trials that took."""
    tried: list[tuple[int, ...]] = []

    def test(changes: tuple[int, ...]) -> bool:
        tried.append(changes)
        return guilty <= set(changes)

    found = culprit.find(range(count), test, suspects=suspects)
    assert len(tried) == len(set(tried)), "nothing is tried twice"
    return found, len(tried)


@pytest.mark.parametrize("suspects", range(12))
@pytest.mark.parametrize("guilty", range(11))
def test_one_of_eleven_is_found_in_five_trials(guilty: int, suspects: int) -> None:
    found, trials = search(11, {guilty}, suspects)
    assert found == (guilty,)
    assert trials <= 5


def test_a_suspect_that_is_guilty_is_found_sooner() -> None:
    assert search(100, {0}, suspects=1)[1] <= search(100, {99}, suspects=1)[1] <= 8


@pytest.mark.parametrize("pair", [{0, 1}, {0, 10}, {4, 5}, {9, 10}])
def test_two_that_break_only_together_are_both_found(pair: set[int]) -> None:
    found, trials = search(11, pair)
    assert set(found) == pair
    assert trials <= 10


@given(st.integers(1, 24), st.data())
def test_exactly_the_guilty_are_found(count: int, data: st.DataObject) -> None:
    guilty = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4))
    suspects = data.draw(st.integers(0, count))
    found, _ = search(count, guilty, suspects)
    assert set(found) == guilty
    assert list(found) == sorted(found)


@given(st.integers(2, 20), st.data())
def test_what_cannot_be_parted_is_found_together(count: int, data: st.DataObject) -> None:
    """Changes from `first` to `last` need each other: a set with only some of them cannot be tried."""
    first = data.draw(st.integers(0, count - 2))
    last = data.draw(st.integers(first + 1, count - 1))
    block = set(range(first, last + 1))
    guilty = data.draw(st.integers(0, count - 1))

    def test(changes: tuple[int, ...]) -> bool | None:
        return guilty in changes if block <= set(changes) or block.isdisjoint(changes) else None

    found = set(culprit.find(range(count), test))
    assert found == (block if guilty in block else {guilty})


def test_what_a_trial_raises_ends_the_search() -> None:
    def test(changes: tuple[int, ...]) -> bool:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        culprit.find(range(4), test)
