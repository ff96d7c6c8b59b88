"""What many variants cost is computed from what was measured, and docs/scale.md says that."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scaling import BUILDERS, JOBS, Measured, Step, cluster, matrix, one_machine, page

from dsvm import ROOT

FOUND = Measured(
    machine="a machine",
    subject="tools",
    runs=1,
    fetched=100,
    size=1000,
    cold=Step(seconds=600),
    shared=Step(seconds=700, pushed=500),
    again=Step(seconds=10),
    elsewhere=Step(seconds=60, pulled=500),
    other=Step(seconds=90, pulled=400),
)
VARIANTS = st.integers(1, 5000)


def test_the_page_is_that_of_the_figures() -> None:
    found = Measured.model_validate_json((ROOT / "benchmarks/scale.json").read_bytes())
    assert (ROOT / "docs/scale.md").read_text() == page(found)


def test_one_machine_builds_what_differs() -> None:
    assert astuple(one_machine(FOUND, 1)) == pytest.approx((600, 100, 600, 0.06))
    assert astuple(one_machine(FOUND, 7)) == pytest.approx((660, 100, 660, 0.066))


def test_jobs_of_a_matrix_wait_for_the_first_and_then_for_each_other() -> None:
    assert astuple(matrix(FOUND, 1)) == pytest.approx((700, 600, 700, 12 * 0.006))
    # each of the 11 others takes 90 seconds, and 2 minutes are paid for
    found = (790, 500 + 11 * 400 + 12 * 100, 700 + 11 * 90, (12 + 22) * 0.006)
    assert astuple(matrix(FOUND, 12)) == pytest.approx(found)
    assert matrix(FOUND, JOBS + 2).seconds == 700 + 2 * 90


def test_builders_of_a_cluster_read_the_cache_once() -> None:
    assert cluster(FOUND, 1).seconds == 700
    assert cluster(FOUND, BUILDERS).seconds == 700 + 90
    found = (700 + 90 + 2 * 10, 100 + 500 + 9 * 400, 700 + 9 * 90 + 20 * 10, 10 * 14 * 0.006)
    assert astuple(cluster(FOUND, 3 * BUILDERS)) == pytest.approx(found)


@given(VARIANTS, VARIANTS)
def test_more_variants_never_cost_less(one: int, other: int) -> None:
    for cost_of in (one_machine, matrix, cluster):
        less, more = cost_of(FOUND, min(one, other)), cost_of(FOUND, max(one, other))
        assert less.seconds <= more.seconds and less.moved <= more.moved and less.dollars <= more.dollars


def test_the_page_shows_long_times_in_hours() -> None:
    assert "| 1,000 | one machine | 2 h 56 min | " in page(FOUND)
