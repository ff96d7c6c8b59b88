"""What is remembered of builds: so many of them, with their locks, and nothing that stands in the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import tiny

from dsvm.container import Built, Layer, history
from dsvm.model import CheckResult, Lock, Report

BEGIN = datetime(2026, 11, 27, 10, 15, tzinfo=UTC)


def built(lock: Lock, **more: object) -> Built:
    layers = (Layer(stage="base", digest="sha256:1", size=100), Layer(stage="system", digest="sha256:2", size=20))
    data = {"variant": "tiny", "image": "sha256:9", "plan": "0" * 64, "lock": lock.of("docker").digest}
    return Built.model_validate({**data, "seconds": 1.5, "stages": {}, "layers": layers, **more})


def another(lock: Lock, number: int) -> Lock:
    """A lock that differs in the time of a section."""
    first, *rest = lock.sections
    return lock.model_copy(update={"sections": (first.model_copy(update={"epoch": number}), *rest)})


def test_the_last_build_comes_first_and_its_lock_with_it(tmp_path: Path) -> None:
    old, new = tiny.lock(), another(tiny.lock(), 7)
    history.keep(tmp_path, built(old), "sha256:a", old, BEGIN)
    history.keep(tmp_path, built(new), "sha256:b", new, BEGIN + timedelta(seconds=1))
    found = history.kept(tmp_path)
    assert [one.image for one in found] == ["sha256:b", "sha256:a"]
    assert [one.built.size for one in found] == [120, 120]
    assert [history.kept_lock(tmp_path, one) for one in found] == [new, old]
    assert history.kept(tmp_path / "nothing") == []


def test_verification_is_noted_on_the_build_that_it_is_of(tmp_path: Path) -> None:
    lock = tiny.lock()
    for number, image in enumerate(("sha256:a", "sha256:b")):
        history.keep(tmp_path, built(lock), image, lock, BEGIN + timedelta(seconds=number))
    results = [CheckResult(tool="x", check="c", outcome=one, seconds=1) for one in ("passed", "passed", "failed")]
    report = Report(variant="tiny", image="sha256:a", lock=lock.of("docker").digest, results=tuple(results))
    history.note_checks(tmp_path, report)
    history.note_checks(tmp_path, report.model_copy(update={"image": "sha256:unknown"}))
    assert [one.checks for one in history.kept(tmp_path)] == [{}, {"passed": 2, "failed": 1, "not exercised": 0}]


def test_the_oldest_builds_are_forgotten_and_so_are_locks_that_nobody_compares(tmp_path: Path) -> None:
    locks = [another(tiny.lock(), number) for number in range(history.MOST_BUILDS + 3)]
    for number, lock in enumerate(locks):
        history.keep(tmp_path, built(lock), f"sha256:{number}", lock, BEGIN + timedelta(minutes=number))
    found = history.kept(tmp_path)
    assert [one.image for one in found] == [f"sha256:{number}" for number in range(history.MOST_BUILDS + 2, 2, -1)]
    known = [history.kept_lock(tmp_path, one) for one in found]
    assert known == [*reversed(locks[-history.MOST_LOCKS :]), *[None] * (history.MOST_BUILDS - history.MOST_LOCKS)]


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    lock = tiny.lock()
    history.keep(tmp_path, built(lock), "sha256:a", lock, BEGIN)
    folder = tmp_path / history.HISTORY
    (folder / "20270101T000000000000.json").write_text("{")
    (folder / "20270102T000000000000.json").mkdir()
    (one,) = history.kept(tmp_path)
    assert one.image == "sha256:a"
    history.lock_file(tmp_path, one).write_text(another(lock, 5).model_dump_json())
    assert history.kept_lock(tmp_path, one) is None, "it is not the lock that it is called by"
