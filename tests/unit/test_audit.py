"""`invoke audit`: what is found, what the policy and its waivers make of it, and how it is told."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from dsvm import lock as locks
from dsvm.audit import AuditOptions, Evidence, auditing, to_markdown
from dsvm.audit.judging import judge
from dsvm.catalog import load
from dsvm.model import Audit, Compat, Finding, Hold, Holds, InputError, LeftOut, Lock, Policy, Where
from dsvm.store import Store

TODAY = datetime.date(2026, 11, 27)


def audited(tmp_path: Path, lock: Lock, policy: Policy | None = None) -> Audit:
    catalog = replace(tiny.catalog(), policy=policy or Policy())
    return auditing.audit(Evidence(catalog, lock, Store(tmp_path / "store"), TODAY))


def finding(rule: str = "left-out", id: str = "editor", pin: str = "editor 1.0", **more: object) -> Finding:
    values = {"rule": rule, "id": id, "level": "error", "what": "it is", "where": Where(pin=pin), **more}
    return Finding.model_validate(values)


def policy(**waiver: object) -> Policy:
    whole = {"rule": "left-out", "id": "editor", "reason": "nobody needs it here", "owner": "platform team"}
    return Policy.model_validate({"waivers": [{**whole, "expires": "2026-12-31", **waiver}]})


def test_what_is_left_out_is_found(tmp_path: Path) -> None:
    lock = tiny.lock().model_copy(update={"left_out": (LeftOut(tool="editor", reason="left out on request"),)})
    (found,) = (one for one in audited(tmp_path, lock).findings if one.rule == "left-out")
    assert (found.id, found.level, found.where.tools) == ("editor", "warning", ("editor",))
    assert found.where.file and found.where.file.endswith("manifests/tools/editor.yaml")
    assert found.action == "invoke lock --variant tiny --put-back editor"
    (left,) = lock.left_out
    lock = lock.model_copy(update={"left_out": (left.model_copy(update={"kind": "unreachable"}),)})
    (found,) = (one for one in audited(tmp_path, lock).findings if one.rule == "left-out")
    assert "--put-back" not in found.action, "it comes in by itself"


def test_a_source_that_was_second_choice_is_found(tmp_path: Path) -> None:
    """Notebooks could not be had as its first source says when this was locked."""
    lock = tiny.lock()
    choices = tuple(
        one.model_copy(update={"passed_over": ("pypi",)}) if one.tool == "notebooks" else one for one in lock.choices
    )
    (found,) = (
        one
        for one in audited(tmp_path, lock.model_copy(update={"choices": choices})).findings
        if one.rule == "second-choice"
    )
    assert (found.id, found.level) == ("notebooks", "note")
    assert found.what == "notebooks comes from pypi, not from pypi"
    assert found.where.file and found.where.file.endswith("tools/notebooks.yaml") and found.where.line == 1


def test_a_tool_that_its_makers_have_ended_is_found(tmp_path: Path) -> None:
    version = tiny.lock().section("env-base").pins[0]  # type: ignore[union-attr]
    row = {"product": "arrays", "release": version.version.partition(".")[0], "source": "makers", "date": "2026-01-01"}
    ends = [{**row, "support": "2026-11-26"}]
    compat = Compat.model_validate({"sources": {"makers": "the makers of arrays"}, "ends": ends})
    catalog = replace(tiny.catalog(), compat=compat)
    audit = auditing.audit(Evidence(catalog, tiny.lock(), Store(tmp_path / "store"), TODAY))
    (found,) = (one for one in audit.findings if one.rule == "tool-ended")
    assert (found.id, found.level, found.source) == ("arrays", "error", "the makers of arrays")
    assert "support ended 2026-11-26" in found.what and audit.forbidden


@pytest.mark.parametrize("waiver", [{}, {"id": "edit*"}, {"package": "editor"}, {"variant": "tin*"}])
def test_a_waiver_covers_what_it_names(waiver: dict[str, str]) -> None:
    (judged,) = judge([finding()], policy(**waiver), variant="tiny", today=TODAY)
    assert judged.waived == "nobody needs it here (platform team, until 2026-12-31)"


@pytest.mark.parametrize(
    ("waiver", "what"),
    [
        ({"expires": "2026-11-26"}, "it expired 2026-11-26"),
        ({"id": "other"}, "it waives nothing in tiny"),
        ({"package": "numpy"}, "it waives nothing in tiny"),
        ({"id": "*"}, "it is too broad"),
        ({"expires": "2028-01-01"}, "it lasts longer than 365 days"),
    ],
)
def test_a_waiver_that_does_not_count_is_a_finding_itself(waiver: dict[str, str], what: str) -> None:
    judged = judge([finding()], policy(**waiver), variant="tiny", today=TODAY)
    assert [one.waived for one in judged if one.rule == "left-out"] == [None]
    (fault,) = (one for one in judged if one.rule == "waiver")
    assert what in fault.what and "platform team" in fault.why


def test_a_waiver_of_another_variant_is_none_of_ours() -> None:
    judged = judge([finding()], policy(variant="other"), variant="tiny", today=TODAY)
    assert [(one.rule, one.waived) for one in judged] == [("left-out", None)]


def test_a_waiver_lasts_until_its_last_day() -> None:
    (judged,) = judge([finding()], policy(expires="2026-11-27"), variant="tiny", today=TODAY)
    assert judged.waived


def test_the_policy_sets_the_level_of_a_rule(tmp_path: Path) -> None:
    lock = tiny.lock().model_copy(update={"left_out": (LeftOut(tool="editor", reason="left out on request"),)})
    strict = Policy.model_validate({"levels": {"left-out": "error"}})
    assert not audited(tmp_path, lock).forbidden
    assert [one.id for one in audited(tmp_path, lock, strict).forbidden] == ["editor"]


def test_policies_of_later_folders_come_on_top(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "fail_on: warning\nlevels: {left-out: note}\nlicenses: {denied: [GPL-*]}\n"
        "waivers:\n  - {rule: license, id: GPL-2.0-only, reason: agreed with legal, owner: me, expires: 2027-01-01}\n"
    )
    found, ours = load([tmp_path]).policy, load().policy
    assert (found.fail_on, found.levels) == ("warning", {**ours.levels, "left-out": "note"})
    assert found.licenses.denied == ("GPL-*",) and found.licenses.allowed == ours.licenses.allowed
    assert found.waivers[-1].owner == "me"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("waivers: [{rule: license, id: x, owner: me, expires: 2027-01-01}]", "reason"),
        ("waivers: [{rule: license, id: x, reason: because of it, owner: me, expires: soon}]", "expires"),
        ("fail_on: often", "fail_on"),
        ("limits: {}", "limits"),
    ],
)
def test_a_policy_with_faults_is_named_with_file_and_line(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"policy\.yaml:1: .*{fault}"):
        load([tmp_path])


def test_fingerprints_outlast_versions_and_words() -> None:
    one = finding(pin="numpy 2.0", what="one")
    assert one.fingerprint == finding(pin="numpy 2.1", what="other", level="note").fingerprint
    assert one.fingerprint != finding(pin="pandas 2.0").fingerprint


def test_what_artefacts_say_is_no_markdown(tmp_path: Path) -> None:
    audit = audited(tmp_path, tiny.lock())
    hostile = finding(what="<script>alert(1)</script> | [x](http://y)")
    text = to_markdown([audit.model_copy(update={"findings": (hostile,)})])
    assert "<script>" not in text and r"\|" in text
    assert text.startswith("## tiny: must not be shipped (1 error)\n")


@pytest.mark.parametrize(
    ("given", "word"), [({"fail_on": "bad"}, "unknown level"), ({"advisories": ["/no"]}, "no such")]
)
def test_options_that_mean_nothing_are_refused(given: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        AuditOptions.of(**{"fail_on": None, "advisories": (), **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expires", "level", "words"),
    [
        ("2026-12-11", "note", "is held back from 2.5.0 until 2026-12-11"),
        ("2026-11-26", "warning", "is held no longer: that expired 2026-11-26"),
        ("2028-12-11", "warning", "is held back from 2.5.0 for longer than 365 days from today"),
    ],
)
def test_what_is_held_back_is_said(tmp_path: Path, expires: str, level: str, words: str) -> None:
    hold = Hold(
        section="env-base", package="numpy", version="2.4.0", broken="2.5.0", check="numpy: sums.py",
        reason="sums are wrong with it", owner="nightly", expires=datetime.date.fromisoformat(expires),
    )  # fmt: skip
    mine = tmp_path / "mine"
    locks.write_holds(mine / "locks" / "tiny.holds.yaml", Holds(holds=(hold,)))
    catalog = replace(tiny.catalog(), folders=(*tiny.catalog().folders, mine))
    audit = auditing.audit(Evidence(catalog, tiny.lock(), Store(tmp_path / "store"), TODAY))
    (found,) = (one for one in audit.findings if one.rule == "held")
    assert (found.id, found.level, found.where.pin) == ("env-base:numpy", level, "numpy 2.4.0")
    assert f"numpy 2.4.0 of env-base {words}" == found.what
    assert found.where.file and found.where.file.endswith("tiny.holds.yaml") and found.where.line == 5
    assert found.why == "nightly gave it for: sums are wrong with it (numpy: sums.py)"


def test_many_notes_of_one_rule_are_counted_and_not_listed(tmp_path: Path) -> None:
    audit = audited(tmp_path, tiny.lock())
    notes = tuple(
        finding(rule="behind", id=f"p{number}", level="note", what=f"p{number} is old") for number in range(33)
    )
    worse = finding(what="a warning", level="warning")
    text = to_markdown([audit.model_copy(update={"findings": (*notes, worse)})])
    assert "| note | behind | and 13 more | |" in text and "p19 is old" in text and "p20 is old" not in text
    assert "a warning" in text and "(1 warning, 33 notes)" in text
