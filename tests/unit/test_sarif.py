"""SARIF by its own schema, and what code scanning asks beside it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from fluidattacks_core.sarif import SarifLog
from pydantic import ValidationError
from small_world import ROOT

from dsvm import lock as locks
from dsvm.audit import Evidence, auditing
from dsvm.audit.sarif import MOST_RESULTS
from dsvm.catalog import load
from dsvm.model import Audit, Finding, LeftOut, Lock, Policy, Where
from dsvm.store import Store

TODAY = datetime.date(2026, 11, 27)


def report(*audits: Audit) -> dict[str, Any]:
    """The SARIF of audits, which its schema lets pass."""
    text = json.dumps(auditing.sarif_report(audits))
    SarifLog.model_validate_json(text)
    found: dict[str, Any] = json.loads(text)
    return found


def audit_of(tmp_path: Path, lock: Lock, **policy: Any) -> Audit:
    catalog = replace(tiny.catalog(), policy=Policy.model_validate(policy))
    return auditing.audit(Evidence(catalog, lock, Store(tmp_path / "store"), TODAY))


def with_findings(audit: Audit, *findings: Finding) -> Audit:
    return audit.model_copy(update={"findings": findings})


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    lock = tiny.lock().model_copy(update={"left_out": (LeftOut(tool="editor", reason="left out on request"),)})
    waiver = {"rule": "left-out", "id": "editor", "reason": "nobody needs it here", "owner": "platform team"}
    return audit_of(tmp_path, lock, waivers=[{**waiver, "expires": "2026-12-31"}])


def test_it_has_what_code_scanning_needs(audit: Audit) -> None:
    (run,) = report(audit)["runs"]
    assert len(run["results"]) == len(audit.findings) > 3
    prints = [one["partialFingerprints"]["dsvm/v1"] for one in run["results"]]
    assert len(prints) == len({*prints})
    for result in run["results"]:
        rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
        assert rule["id"] == result["ruleId"] and rule["shortDescription"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert (ROOT / place["artifactLocation"]["uri"]).exists() and place["region"]["startLine"] >= 1
    (left_out,) = (one for one in run["results"] if one["ruleId"] == "left-out")
    assert left_out["suppressions"][0]["justification"].startswith("nobody needs it here")


@pytest.mark.parametrize("name", ["cpu-debian", "gpu-ubuntu"])
def test_the_projects_own_locks_pass(tmp_path: Path, name: str) -> None:
    catalog = load()
    lock = locks.find(catalog, name)
    assert lock is not None
    audit = auditing.audit(Evidence(catalog, lock, Store(tmp_path / "store"), TODAY))
    (run,) = report(audit)["runs"]
    assert len(run["results"]) == len(audit.findings)


def test_every_level_and_place_passes(audit: Audit) -> None:
    places = [
        Where(),
        Where(file="manifests/tools/a file.yaml", line=3, pin="a 1", path="/usr/bin/a"),
        Where(file="/elsewhere/policy.yaml", line=1, tools=("a",), section="system"),
    ]
    findings = [
        Finding(rule="vulnerability", id=f"CVE-{level}-{number}", aliases=("GHSA-1",), level=level, what="it\nis",
                where=where, why="so", action="do", source="we", date=TODAY, waived="yes" if number else None)
        for level in ("error", "warning", "unknown", "note")
        for number, where in enumerate(places)
    ]  # fmt: skip
    (run,) = report(with_findings(audit, *findings))["runs"]
    uris = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"][:3]]
    assert uris == ["manifests/policy.yaml", "manifests/tools/a%20file.yaml", "file:///elsewhere/policy.yaml"]
    assert [one["level"] for one in run["results"][::3]] == ["error", "warning", "warning", "note"]


def test_no_more_than_code_scanning_takes_and_the_worst_first(audit: Audit) -> None:
    notes = [Finding(rule="behind", id=f"p{n}", level="note", what="old") for n in range(MOST_RESULTS)]
    worse = Finding(rule="setuid", id="/bin/x", level="error", what="bad")
    run = auditing.sarif_report([with_findings(audit, *notes, worse)])["runs"][0]
    assert len(run["results"]) == MOST_RESULTS and run["results"][0]["ruleId"] == "setuid"
    (said,) = run["invocations"][0]["toolExecutionNotifications"]
    assert said["message"]["text"].startswith("1 more findings are left out")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: run["results"][0].update(level="unknown"),
        lambda run: run["results"][0].pop("message"),
        lambda run: run["results"][0].update(where="there"),
        lambda run: run["results"][0]["locations"][0]["physicalLocation"]["region"].update(startLine=0),
        lambda run: run["tool"]["driver"].pop("name"),
    ],
)
def test_the_schema_refuses_what_is_none(audit: Audit, spoil: Callable[[Any], Any]) -> None:
    made = report(audit)
    spoil(made["runs"][0])
    with pytest.raises(ValidationError):
        SarifLog.model_validate_json(json.dumps(made))
