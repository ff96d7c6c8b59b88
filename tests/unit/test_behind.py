"""What is newer than the lock, and what holds it: real indexes on loopback, and the real solver."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from osv_records import affected, before
from python_index import PythonIndex
from server import Resource, Server

from dsvm import lock as locks
from dsvm.audit import Evidence
from dsvm.audit.behind import behind, relock
from dsvm.audit.vulnerabilities import vulnerability
from dsvm.ecosystems.pypi.offered import holders
from dsvm.host import Host
from dsvm.model import Compat, Finding, Hold, Holds, Lock, Pin
from dsvm.store import Store

TODAY = datetime.date(2026, 11, 27)
KERNEL = {"ipykernel": "7.0.0", "pip": "26.0", "notebooks": "2.1+special"}


def lock_of(base: Mapping[str, str], nets: Mapping[str, str] = KERNEL) -> Lock:
    """The tiny lock with these packages in its environments."""
    changed = {**tiny.PACKAGES, **tiny.MACHINE_PACKAGES, "env-base": base, "env-nets": nets}
    return tiny.make(tiny.catalog(), "tiny", "bootstrap", changed, tiny.EXTRA)


def evidence_of(tmp_path: Path, lock: Lock, *indexes: str, **more: Any) -> Evidence:
    environ = {
        "HOME": str(tmp_path),
        "PIP_INDEX_URL": indexes[0],
        "PIP_EXTRA_INDEX_URL": " ".join(indexes[1:]),
        "UV_HTTP_RETRIES": "0",
    }
    # nobody answers for Debian
    sources = {"special": (f"{indexes[0]}-special",), "debian": (f"{tmp_path.as_uri()}/debian",)}
    host = Host(environ=environ, sources=sources, etc=tmp_path / "etc")
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    given = {"online": True, "host": host, "work": work, **more}
    return Evidence(tiny.catalog(), lock, Store(tmp_path / "store"), TODAY, **given)


def of_base(evidence: Evidence, name: str = "") -> list[Finding]:
    """Findings on newer versions in the first environment."""
    return [one for one in behind(evidence) if one.where.section == "env-base" and name in ("", one.id)]


@pytest.fixture
def index(server: Server) -> PythonIndex:
    """An index with what the tiny lock has, and no more."""
    made = PythonIndex(server)
    for name, version in {"arrays": "1.4.0", "numpy": "2.4.0", "ipykernel": "7.0.0", "pip": "26.0"}.items():
        made.add(name, version)
    made.add("uv", "0.13.9")
    special = PythonIndex(server, "simple-special")
    special.add("notebooks", "2.1+special")
    return made


LOCKED = {"arrays": "1.4.0", "numpy": "2.4.0"}


def test_what_is_the_newest_is_no_finding(tmp_path: Path, index: PythonIndex) -> None:
    evidence = evidence_of(tmp_path, lock_of(LOCKED), index.url)
    found = [one for one in behind(evidence) if one.level != "unknown"]
    assert found == [] and list(relock(evidence)) == []
    assert {one.id for one in behind(evidence)} == {"debian", "url"}


def test_a_version_that_only_the_lock_holds(tmp_path: Path, index: PythonIndex) -> None:
    index.add("arrays", "1.5.0", "numpy >= 2")
    evidence = evidence_of(tmp_path, lock_of(LOCKED), index.url)
    (one,) = of_base(evidence)
    assert one.what == "arrays 1.4.0 in env-base: pypi has 1.5.0; only the lock holds it"
    assert (one.level, one.where.pin, one.date) == ("note", "arrays 1.4.0", TODAY)
    assert one.action == "invoke lock --variant tiny --upgrade"
    (again,) = relock(evidence)
    assert again.what == (
        "env-base: locking again within the manifests' ranges would bring 1 newer version: arrays 1.4.0 → 1.5.0"
    )


def test_a_range_of_a_manifest_is_named_with_its_line(tmp_path: Path, index: PythonIndex) -> None:
    index.add("arrays", "2.0")
    (one,) = of_base(evidence_of(tmp_path, lock_of(LOCKED), index.url))
    assert "pypi has 2.0; the manifest of arrays asks for arrays ~= 1.0" in one.what
    assert one.where.file and one.where.file.endswith("manifests/tools/arrays.yaml") and one.where.line == 1
    assert one.action == "allow 2.0 there, and lock"


def test_a_range_may_let_in_less_than_the_newest(tmp_path: Path, index: PythonIndex) -> None:
    index.add("arrays", "2.0")
    index.add("arrays", "1.6", "numpy")
    (one,) = of_base(evidence_of(tmp_path, lock_of(LOCKED), index.url), "arrays")
    assert one.what.endswith("the manifest of arrays asks for arrays ~= 1.0; locking again brings 1.6")


def test_another_package_holds_it_by_the_solvers_word(tmp_path: Path, index: PythonIndex) -> None:
    index.add("arrays", "1.5", "numpy < 2.5", "rows")
    index.add("rows", "1.0", "numpy >= 2")
    index.add("numpy", "2.5.1")
    evidence = evidence_of(tmp_path, lock_of({"arrays": "1.5", "numpy": "2.4.0", "rows": "1.0"}), index.url)
    (one,) = of_base(evidence)
    # what the range lets in of arrays is 1.4.0 too, which does not care
    assert one.what == "numpy 2.4.0 in env-base: pypi has 2.5.1; arrays holds it"
    assert one.why == "it goes only with arrays 1.4.0 instead of 1.5"


def test_the_words_of_the_solver_are_kept(tmp_path: Path, index: PythonIndex) -> None:
    index.links["arrays"].clear()
    index.add("arrays", "1.5", "rows")
    index.add("rows", "1.0", "numpy < 2.5")
    index.add("numpy", "2.5.1")
    evidence = evidence_of(tmp_path, lock_of({"arrays": "1.5", "numpy": "2.4.0", "rows": "1.0"}), index.url)
    (one,) = of_base(evidence)
    assert one.what == "numpy 2.4.0 in env-base: pypi has 2.5.1; rows holds it"
    assert "rows" in one.why and "numpy" in one.why and "unsatisfiable" in one.why
    assert one.action == "ask for another version of rows, or wait for one that goes with it"
    assert list(relock(evidence)) == []


def test_what_nobody_should_take_is_not_newer(tmp_path: Path, index: PythonIndex) -> None:
    index.add("arrays", "1.9", yanked=True)
    index.add("arrays", "1.8rc1")
    index.add("arrays", "1.7", python=">=3.12")
    index.add("arrays", "1.6", tag="cp312-cp312-manylinux_2_17_x86_64")
    index.add("arrays", "1.5", tag="py3-none-win_amd64")
    assert of_base(evidence_of(tmp_path, lock_of(LOCKED), index.url)) == []


def test_a_named_index_has_its_own_builds(tmp_path: Path, index: PythonIndex, server: Server) -> None:
    special = PythonIndex(server, "simple-special")
    special.add("notebooks", "2.1+special")
    special.add("notebooks", "2.2+special")
    index.add("notebooks", "2.9")
    evidence = evidence_of(tmp_path, lock_of(LOCKED), index.url)
    (one,) = (one for one in behind(evidence) if one.id == "notebooks")
    assert one.what == "notebooks 2.1+special in env-nets: special has 2.2+special; only the lock holds it"


def test_what_dsvm_itself_asks_for(tmp_path: Path, index: PythonIndex) -> None:
    index.add("uv", "0.14.0")
    (one,) = (
        one
        for one in behind(evidence_of(tmp_path, lock_of(LOCKED), index.url))
        if one.where.section == "builder-pypi-pypi"
    )
    assert one.what == "uv 0.13.9 in builder-pypi-pypi: pypi has 0.14.0; DSVM itself asks for uv ~= 0.13.0"


def test_a_hold_is_what_holds_it(tmp_path: Path, index: PythonIndex) -> None:
    index.add("numpy", "2.5.1")
    index.add("arrays", "1.5", "numpy")
    hold = Hold(
        section="env-base", package="numpy", version="2.4.0", broken="2.5.1", reason="sums are wrong with it",
        owner="nightly", expires=TODAY + datetime.timedelta(14),
    )  # fmt: skip
    mine = tmp_path / "mine"
    locks.write_holds(mine / "locks" / "tiny.holds.yaml", Holds(holds=(hold,)))
    evidence = evidence_of(tmp_path, lock_of(LOCKED), index.url)
    evidence = replace(evidence, catalog=replace(tiny.catalog(), folders=(*tiny.catalog().folders, mine)))
    arrays, numpy = sorted(of_base(evidence), key=lambda one: one.id)
    assert numpy.what.endswith("pypi has 2.5.1; a hold keeps it back until 2026-12-11")
    assert (numpy.why, numpy.where.line) == ("nightly gave it for: sums are wrong with it", 5)
    assert arrays.what.endswith("only the lock holds it")
    (again,) = relock(evidence)
    assert "arrays" in again.what and "numpy" not in again.what


def test_another_environment_that_is_bound_to_a_large_package_is_what_holds_it(
    tmp_path: Path, index: PythonIndex, server: Server
) -> None:
    index.links["arrays"].clear()
    index.add("arrays", "1.4.0", "numpy")
    index.add("numpy", "2.5.1")
    PythonIndex(server, "simple-special").add("notebooks", "2.1+special", "numpy < 2.5")
    small = lock_of(LOCKED, {**KERNEL, "numpy": "2.4.0"})
    # what is small no environment takes because another one has it
    assert [one.id for one in relock(evidence_of(tmp_path, small, index.url))] == ["env-base"]

    def enlarged(pin: Pin) -> Pin:
        return pin.model_copy(update={"size": 2 * locks.WORTH}) if pin.name == "numpy" else pin

    sections = [one.model_copy(update={"pins": tuple(map(enlarged, one.pins))}) for one in small.sections]
    evidence = evidence_of(tmp_path, small.model_copy(update={"sections": tuple(sections)}), index.url)
    (one,) = of_base(evidence)
    assert one.what == (
        "numpy 2.4.0 in env-base: pypi has 2.5.1; env-nets is bound to 2.4.0, and the image has that once for both"
    )
    assert one.action == "let the manifest of arrays ask for numpy by name, if it needs a newer one"
    (nets,) = (one for one in behind(evidence) if one.where.section == "env-nets")
    assert nets.what == "numpy 2.4.0 in env-nets: pypi has 2.5.1; notebooks holds it"
    assert list(relock(evidence)) == []


def test_the_gate_is_what_holds_it(tmp_path: Path, index: PythonIndex) -> None:
    index.add("arrays", "1.5", "numpy")
    rows = [
        {"package": "arrays", "since": "1.0", "python": ">= 3.9", "source": "makers", "date": "2026-01-01"},
        {"package": "arrays", "since": "1.5", "python": ">= 3.12", "source": "makers", "date": "2026-11-01"},
    ]
    compat = Compat.model_validate({"sources": {"makers": "the makers of arrays"}, "frameworks": rows})
    evidence = evidence_of(tmp_path, lock_of(LOCKED), index.url)
    (one,) = of_base(replace(evidence, catalog=replace(tiny.catalog(), compat=compat)))
    assert "pypi has 1.5; the gate refuses it: arrays ==1.5 needs Python >= 3.12" in one.what
    assert one.why == "the makers of arrays, 2026-11-01"


def test_a_vulnerability_says_whether_locking_again_mends_it(tmp_path: Path, index: PythonIndex) -> None:
    index.add("arrays", "1.5")
    index.add("arrays", "2.0")
    index.add("numpy", "2.4.1")
    advisories = tmp_path / "advisories"
    advisories.mkdir()
    for name, version in (("arrays", "1.5"), ("numpy", "2.4.2"), ("pip", "26.1")):
        entries = [affected("PyPI", name, *before(version))]
        text = json.dumps({"id": f"GHSA-{name}", "modified": "2026-11-20T00:00:00Z", "affected": entries})
        (advisories / f"{name}.json").write_text(text)
    index.add("arrays", "1.6", "numpy")
    evidence = evidence_of(tmp_path, lock_of(LOCKED), index.url, advisories=(advisories,))
    found = {one.id: one.action for one in vulnerability(evidence)}
    again = "invoke lock --variant tiny --upgrade"
    assert found["GHSA-arrays"] == f"1.5 is without it, and locking again brings 1.6: {again}"
    assert found["GHSA-numpy"] == "2.4.2 is without it, and locking again brings 2.4.1 only"
    assert found["GHSA-pip"] == (
        "26.1 is without it, and locking again does not bring it: see what rule behind says of it"
    )


# --- no answer ---------------------------------------------------------------------------------------------


def unknown(evidence: Evidence) -> dict[str, str]:
    return {one.id: one.what for one in behind(evidence) if one.level == "unknown"}


def test_nobody_is_asked_offline(tmp_path: Path, index: PythonIndex) -> None:
    index.add("arrays", "1.5.0")
    evidence = evidence_of(tmp_path, lock_of(LOCKED), index.url, online=False, host=None, work=None)
    assert [one.level for one in behind(evidence)] == ["unknown"] * 4
    found = unknown(evidence)
    assert found.keys() == {"debian", "pypi", "special", "url"}
    assert found["special"] == (
        "of 1 package of special (notebooks) nobody says which version is the newest: nobody was asked (--offline)"
    )
    assert list(relock(evidence)) == [] and index.asked() == []


def test_an_index_that_does_not_answer_is_unknown(tmp_path: Path, index: PythonIndex, server: Server) -> None:
    server.resources["/simple/arrays/"].statuses = [403]
    found = unknown(evidence_of(tmp_path, lock_of(LOCKED), index.url))
    assert "of 1 package of pypi (arrays)" in found["pypi"] and "HTTP 403" in found["pypi"]


def test_a_page_that_is_none_is_unknown(tmp_path: Path, index: PythonIndex, server: Server) -> None:
    server.add("/simple/arrays/", Resource(b"<html>Log in first</html>", headers={"Content-Type": "text/html"}))
    found = unknown(evidence_of(tmp_path, lock_of(LOCKED), index.url))
    assert "of 1 package of pypi (arrays)" in found["pypi"]


def test_a_name_that_is_gone_is_unknown(tmp_path: Path, index: PythonIndex, server: Server) -> None:
    del server.resources["/simple/numpy/"]
    found = unknown(evidence_of(tmp_path, lock_of(LOCKED), index.url))
    assert "(numpy) nobody says which version is the newest: no index has a version of it that fits" in found["pypi"]


def test_one_of_two_indexes_that_is_silent_makes_it_unknown(tmp_path: Path, index: PythonIndex, server: Server) -> None:
    """What one index has says nothing of what the other one might."""
    server.add("/more/arrays/", Resource(b"", statuses=[403]))
    found = unknown(evidence_of(tmp_path, lock_of(LOCKED), index.url, f"{server.url}/more"))
    assert "(arrays)" in found["pypi"] and "/more/arrays/: HTTP 403" in found["pypi"]


def test_a_request_without_a_solution_is_said(tmp_path: Path, index: PythonIndex) -> None:
    index.add("numpy", "2.5.1")
    index.links["arrays"].clear()
    index.add("arrays", "2.0")
    evidence = evidence_of(tmp_path, lock_of(LOCKED), index.url)
    (one,) = of_base(evidence, "numpy")
    assert "what holds it is not known: locking again finds no solution" in one.what
    assert list(relock(evidence)) == []


def test_a_lock_that_does_not_fit_the_manifests_is_unknown(tmp_path: Path, index: PythonIndex) -> None:
    lock = lock_of(LOCKED)
    stale = tuple(one.model_copy(update={"input": "0" * 64}) if one.id == "env-base" else one for one in lock.sections)
    found = unknown(evidence_of(tmp_path, lock.model_copy(update={"sections": stale}), index.url))
    assert "the lock does not fit the manifests any more" in found["pypi"]


# --- how often --------------------------------------------------------------------------------------------


def test_each_page_is_asked_for_once_by_all_variants(tmp_path: Path, index: PythonIndex) -> None:
    evidence = evidence_of(tmp_path, lock_of(LOCKED), index.url)
    list(behind(evidence))
    before = index.asked()
    assert sorted(before) == sorted(set(before))
    list(behind(replace(evidence, cache={}, lock=evidence.lock.model_copy(update={"left_out": ()}))))
    assert index.asked() == before


@pytest.mark.parametrize(
    ("words", "who"),
    [
        ("Because arrays==1.5 depends on numpy<2.5 and you require numpy==2.5.1, ...", ("arrays",)),
        ("Because all versions of arrays depend on numpy<2.5", ("arrays",)),
        ("arrays[fast]>=1.5,<2 depends on numpy<2.5 and rows==1 depends on\n    numpy<2", ("arrays", "rows")),
        # only over others: the one in between is who it is about
        ("numpy==2.5.1 depends on blas>=3 and arrays==1.5 depends on blas<3", ("arrays",)),
        ("Because your project depends on numpy<2", ()),
        ("Because there is no version of numpy==9", ()),
    ],
)
def test_holders_are_read_from_what_the_solver_says(words: str, who: tuple[str, ...]) -> None:
    assert holders(words, "numpy") == who
