"""`invoke audit` as people run it: what it says of bad input, and with which exit code it ends."""

from __future__ import annotations

import datetime
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from fake_engine import FakeEngine
from osv_records import affected, before
from small_world import SmallWorld

from dsvm import lock as locks
from dsvm.model import Lock

RECORD = {"id": "GHSA-1", "modified": "2026-11-20T00:00:00Z", "affected": [affected("PyPI", "numpy", *before("99"))]}


@pytest.fixture
def world(tmp_path: Path) -> SmallWorld:
    """The small catalog's variants `tiny` and `other`, both locked."""
    world = SmallWorld(tmp_path)
    for path in tiny.MANIFESTS.rglob("*"):
        if path.is_file():
            world.write(str(path.relative_to(tiny.MANIFESTS)), path.read_text())
    other = yaml.safe_load((tiny.MANIFESTS / "variants/tiny.yaml").read_text())
    world.write("variants/other.yaml", {**other, "variant": "other"})
    # the project's own manifests are there too
    lock = tiny.lock()
    for name in ("tiny", "other"):
        locks.write(world.mine / "locks" / f"{name}.json", lock.model_copy(update={"variant": name}))
    return world


def lock_text(world: SmallWorld, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.mine / "locks" / f"{name}.json").read_text())
    return found


def found_in(world: SmallWorld, *words: str, rule: str = "") -> list[dict[str, Any]]:
    """What `invoke audit` finds in variant `tiny`."""
    done = world.invoke("audit", "--variant", "tiny", "--offline", "--format", "json", *words)
    assert done.returncode in (0, 7), done.stderr
    return [one for one in json.loads(done.stdout)["findings"] if rule in ("", one["rule"])]


def test_offline_every_registry_is_unknown(world: SmallWorld) -> None:
    found = found_in(world, rule="behind")
    assert {(one["id"], one["level"]) for one in found} == {
        (name, "unknown") for name in ("debian", "pypi", "special", "url")
    }


# --- locks -------------------------------------------------------------------------------------------------


def test_locks_that_are_none_are_all_named(world: SmallWorld) -> None:
    later = {**lock_text(world, "tiny"), "version": 2}
    world.write("locks/tiny.json", json.dumps(later))
    world.write("locks/other.json", "{")
    one = world.invoke("audit", "--variant", "tiny", "--offline")
    assert (one.returncode, one.stdout) == (3, "")
    assert "locks/tiny.json: not a lock of format 1, the one that this DSVM reads" in one.stderr
    assert "Take the DSVM that wrote it, or a later one" in one.stderr
    every = world.invoke("audit", "--all", "--offline")
    assert (every.returncode, every.stdout) == (3, "")
    assert "locks/tiny.json: not a lock of format 1" in every.stderr
    assert "locks/other.json: not a lock: Invalid JSON" in every.stderr
    assert "Traceback" not in one.stderr + every.stderr


def test_dates_that_are_still_to_come_are_named_with_their_lines(world: SmallWorld) -> None:
    lock = Lock.model_validate(lock_text(world, "tiny"))
    sections = tuple(
        one.model_copy(update={"epoch": 4_000_000_000}) if one.id == "env-base" else one for one in lock.sections
    )
    locks.write(world.mine / "locks/tiny.json", lock.model_copy(update={"sections": sections}))
    row = {"package": "arrays", "since": "1.0", "python": ">= 3.9", "source": "makers", "date": "2999-01-01"}
    world.write("compat.yaml", {"sources": {"makers": "the makers of arrays"}, "frameworks": [row]})
    terms = {"license": "LicenseRef-X", "says": ["*x*"], "source": "y", "date": "2999-02-01"}
    world.write("policy.yaml", {"licenses": {"terms": [terms]}})
    found = {one["id"]: one for one in found_in(world, rule="to-come")}
    assert {name: one["what"].partition(" on ")[2] for name, one in found.items()} == {
        "env-base": "2096-10-02, which is still to come",
        "compat arrays 1.0": "2999-01-01, which is still to come",
        "terms LicenseRef-X": "2999-02-01, which is still to come",
    }
    for name, file in (("compat arrays 1.0", "compat.yaml"), ("terms LicenseRef-X", "policy.yaml")):
        where = found[name]["where"]
        assert Path(where["file"]).name == file
        assert "2999" in (world.mine / file).read_text().splitlines()[where["line"] - 1]


# --- advisories --------------------------------------------------------------------------------------------


def test_advisories_that_are_bad_hide_no_others(world: SmallWorld, tmp_path: Path) -> None:
    folder = tmp_path / "advisories"
    folder.mkdir()
    (folder / "good.json").write_text(json.dumps({**RECORD, "summary": "<script>alert(1)</script>\x1b[2J"}))
    (folder / "broken.json").write_text("{")
    (folder / "out.json").symlink_to("/etc/passwd")
    (folder / "to-come.json").write_text(json.dumps({**RECORD, "id": "GHSA-2", "modified": "2999-01-01T00:00:00Z"}))
    with (folder / "huge.json").open("wb") as file:
        file.truncate(1 << 40)  # a hole
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.json", b" " * (64 << 20))
        archive.writestr("../../../out.json", json.dumps({**RECORD, "id": "GHSA-3"}))
    words = ("--advisories", str(folder))
    found = [*found_in(world, *words, rule="vulnerability"), *found_in(world, *words, rule="advisories")]
    assert {"GHSA-1", "GHSA-2", "GHSA-3"} <= {one["id"] for one in found}
    faults = {one["id"].rpartition("/")[2]: one["what"] for one in found if one["rule"] == "advisories"}
    assert {name: what.partition(f"{name}: ")[2] for name, what in faults.items() if name != "broken.json"} == {
        "bomb.zip: bomb.json": "larger than 16 MiB",
        "huge.json": "cannot be read: larger than 16 MiB",
        "out.json": "a link that leads out of the folder",
        "to-come.json": "it says that it was changed on 2999-01-01, which is to come",
    }
    assert "broken.json: no advisory in OSV form: Invalid JSON" in faults["broken.json"]
    assert not any((place / "out.json").exists() for place in (*folder.parents[:3], Path.cwd()))
    shown, markdown = (
        world.invoke("audit", "--variant", "tiny", "--offline", *words, "--format", form)
        for form in ("table", "markdown")
    )
    assert "GHSA-1" in shown.stdout and "\x1b" not in shown.stdout
    assert "GHSA-1" in markdown.stdout and "<script>" not in markdown.stdout


def test_a_place_without_advisories_is_said_before_anything_is_read(world: SmallWorld) -> None:
    done = world.invoke("audit", "--variant", "tiny", "--offline", "--advisories", "/nowhere")
    assert done.returncode == 2 and "no such folder or file: /nowhere" in done.stderr


def test_vex_statements_lie_beside_the_manifests_or_are_named(world: SmallWorld, tmp_path: Path) -> None:
    (tmp_path / "advisories").mkdir()
    (tmp_path / "advisories/one.json").write_text(json.dumps(RECORD))
    words = ("--advisories", str(tmp_path / "advisories"))

    def statements(vulnerability: str) -> str:
        time = datetime.datetime.now(datetime.UTC).isoformat()
        reason = {"status": "not_affected", "justification": "vulnerable_code_not_present"}
        one = {"vulnerability": {"name": vulnerability}, "products": [{"@id": "pkg:pypi/numpy"}], **reason}
        whole = {"@context": "https://openvex.dev/ns/v0.2.0", "author": "me", "timestamp": time, "statements": [one]}
        return json.dumps(whole)

    def hit(*more: str) -> dict[str, Any]:
        (one,) = [one for one in found_in(world, *words, *more, rule="vulnerability") if one["id"] == "GHSA-1"]
        return one

    assert "waived" not in hit()
    (tmp_path / "mine.json").write_text(statements("GHSA-1"))
    named = hit("--vex", str(tmp_path / "mine.json"))
    assert "vulnerable_code_not_present" in named["waived"] and "mine.json#1" in named["waived"]
    world.write("vex/team/numpy.json", statements("GHSA-1"))
    world.write("vex/team/old.json", statements("GHSA-2"))
    assert "vex/team/numpy.json#1" in hit()["waived"]
    (unused,) = found_in(world, *words, rule="vex")
    assert unused["level"] == "note" and "old.json#1 (GHSA-2): it waives nothing in tiny" in unused["what"]
    sarif = world.invoke("audit", "--variant", "tiny", "--offline", *words, "--format", "sarif")
    assert "VEX statements can be read" in sarif.stdout
    gone = world.invoke("audit", "--variant", "tiny", "--offline", "--vex", "/nowhere")
    assert gone.returncode == 2 and "no such folder or file: /nowhere" in gone.stderr


# --- the policy --------------------------------------------------------------------------------------------


def waiver(rule: str, id: str, **more: str) -> dict[str, str]:
    expires = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(30)
    return {"rule": rule, "id": id, "reason": "a reason that is long", "owner": "me", "expires": str(expires), **more}


def test_waivers_and_levels_for_nothing_are_named(world: SmallWorld) -> None:
    waivers = [
        waiver("licence", "GPL-3.0-only"),  # no rule
        waiver("left-out", "editor"),
        waiver("left-out", "editor", variant="tin*"),
        # what nobody has looked at is not for nothing
        waiver("setuid", "/usr/bin/su"),
        waiver("vulnerability", "CVE-2026-1"),
        waiver("behind", "numpy"),
    ]
    world.write("policy.yaml", {"waivers": waivers, "levels": {"vulnerabilty": "note"}})
    found = {one["what"] for one in found_in(world, rule="waiver")}
    assert found == {
        "the waiver of licence GPL-3.0-only does not count: there is no rule 'licence' (did you mean 'license'?)",
        "the waiver of left-out editor does not count: it waives nothing in tiny",
        "the waiver of left-out editor does not count: it waives nothing any more",
        "the level 'note' is for nothing: there is no rule 'vulnerabilty' (did you mean 'vulnerability'?)",
    }


def test_a_waiver_that_one_variant_needs_is_not_called_unused_in_others(world: SmallWorld) -> None:
    lock = {**lock_text(world, "other"), "left_out": [{"tool": "editor", "reason": "left out on request"}]}
    world.write("locks/other.json", json.dumps(lock))
    world.write("policy.yaml", {"waivers": [waiver("left-out", "editor"), waiver("left-out", "nothing")]})
    done = world.invoke("audit", "--all", "--offline", "--format", "json")
    audits = {one["variant"]: one["findings"] for one in json.loads(done.stdout)}
    for name in ("tiny", "other"):
        unused = [one["id"] for one in audits[name] if one["rule"] == "waiver"]
        assert unused == ["left-out nothing"]
    assert [one["id"] for one in audits["other"] if one.get("waived")] == ["editor"]


# --- the image ---------------------------------------------------------------------------------------------


def test_an_image_that_is_not_ours_is_said_at_once(world: SmallWorld, engines: Callable[..., FakeEngine]) -> None:
    engine = engines()
    env = {"DOCKER_HOST": engine.url}
    words = ("audit", "--variant", "tiny", "--offline", "--image")
    done = world.invoke(*words, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the engine has no image dsvm/tiny:latest" in done.stderr and "invoke build --variant tiny" in done.stderr
    engine.images["dsvm/tiny:latest"] = {"Id": "sha256:" + "c" * 64, "Config": {"Labels": {"maintainer": "others"}}}
    done = world.invoke(*words, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "dsvm/tiny:latest is no image of tiny: DSVM did not build it" in done.stderr
    assert not engine.asked("GET", "/images/get")
    every = world.invoke("audit", "--all", "--offline", "--image", "--format", "json", env=env)
    audits = {one["variant"]: one["findings"] for one in json.loads(every.stdout)}
    for name, why in (("tiny", "is no image of tiny"), ("other", "the engine has no image dsvm/other:latest")):
        (one,) = (one for one in audits[name] if one["rule"] == "ledger")
        assert (one["id"], one["level"]) == ("image", "unknown") and why in one["what"]
