"""How a night is told: the record, Markdown and the terminal."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import pytest

from dsvm.model import Culprit, Hold, Night, StepTime, Trial, VariantNight
from dsvm.nightly import to_markdown
from dsvm.nightly.times import BudgetSpent, Times
from dsvm.screen import show_night, write_night

HOLD = Hold(
    section="env-base", package="pandas", version="2.3.0", broken="2.3.1", check="pandas: groupby.py",
    reason="pandas: groupby.py breaks with it", owner="nightly", expires=datetime.date(2026, 12, 11),
)  # fmt: skip
CULPRIT = Culprit(
    moves=("pandas 2.3.0 -> 2.3.1 of env-base",),
    with_them=("numpy 2.1 -> 2.2 of env-base",),
    checks=("pandas: groupby.py",),
    output="<script>alert(1)</script>\n| not a table |",
    trials=(Trial(moves=("pandas 2.3.0 -> 2.3.1 of env-base",), went="broke", seconds=30),),
)


def night(**changes: Any) -> Night:
    variant = {
        "variant": "cpu-debian", "verdict": "held", "old": "a" * 64, "new": "b" * 64, "culprits": (CULPRIT,),
        "holds": (HOLD,), "passed": 143, "failed": 0, "not_exercised": 2, "size": 7_360_000_000, "pull": 120_000_000,
        "steps": (StepTime(step="lock", seconds=22), StepTime(step="build", seconds=324)), **changes,
    }  # fmt: skip
    return Night(
        schema="dsvm.night/1",
        began=datetime.datetime(2026, 11, 27, 2, tzinfo=datetime.UTC),
        seconds=600,
        registry="localhost:5000/dsvm",
        channels=("nightly", "latest"),
        verdict=variant["verdict"],
        release="sha256:" + "c" * 64,
        variants=(VariantNight(**variant),),
    )


def test_markdown_says_what_broke_and_what_is_held() -> None:
    text = to_markdown(night())
    assert text.startswith("# Out, with some held back (2026-11-27, 10.0 min)\n")
    assert "| cpu-debian | held | 143 passed, 0 failed, 2 not exercised | 7,360 MB | 120 MB | lock 0.4, build 5.4 min |"
    assert "Held back: pandas 2.3.0 of env-base, until 2026-12-11" in text
    assert "found in 1 trials" in text
    # what a check prints is shown as it is, and is neither HTML nor a table
    assert "    <script>alert(1)</script>\n    | not a table |\n" in text


def test_the_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record, summary = tmp_path / "night.json", tmp_path / "summary.md"
    summary.write_text("what stood there\n")
    write_night(night(), record, summary)
    assert Night.model_validate_json(record.read_text()) == night()
    assert summary.read_text() == "what stood there\n" + to_markdown(night())


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("green", "All that moved is out"),
        ("held", "held back: pandas 2.3.0"),
        ("red", "red, at verify"),
        ("unchanged", "Nothing moved"),
    ],
)
def test_people_see_what_it_came_to(verdict: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    red = {"broke": "verify", "why": "pandas is broken"} if verdict == "red" else {}
    show_night(night(verdict=verdict, **red))
    assert words in capsys.readouterr().out
    assert to_markdown(night(verdict=verdict, **red))


def test_steps_are_added_up_and_the_budget_ends() -> None:
    times = Times(time.monotonic() + 60)
    for _ in range(2):
        with times.of("build"):
            times.need_time()
    with pytest.raises(ZeroDivisionError), times.of("verify"):
        raise ZeroDivisionError
    assert [step.step for step in times.steps] == ["build", "verify"]
    with pytest.raises(BudgetSpent):
        Times(time.monotonic() - 1).need_time()
