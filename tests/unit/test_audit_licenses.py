"""The audit's rules on licences: read once from each artefact, judged by the policy's lists."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from licensed import deb, metadata, wheel
from small_world import ROOT

from dsvm.audit import Evidence, auditing
from dsvm.audit.licensing import differs, license, license_differs, problems
from dsvm.audit.stated import FILE, answers
from dsvm.model import Finding, LicensePolicy, Lock, Policy, Stated
from dsvm.store import Store

TODAY = datetime.date(2026, 11, 27)
POLICY = LicensePolicy.model_validate(
    {
        "allowed": ["MIT", "BSD-*", "GPL-2.0-*", "Apache-2.0", "LicenseRef-debian.main.*"],
        "opt_in": ["LicenseRef-NVIDIA-*", "GPL-2.0-only WITH Classpath-exception-2.0"],
        "denied": ["AGPL-*"],
        "terms": [
            {
                "license": "LicenseRef-NVIDIA-CUDA-EULA",
                "packages": ["nvidia-*"],
                "says": ["*nvidia proprietary*"],
                "source": "https://docs.nvidia.com/cuda/eula/index.html",
                "date": "2026-11-27",
            }
        ],
    }
)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("MIT", []),
        ("MIT AND BSD-3-Clause", []),
        ("AGPL-3.0-only OR MIT", []),
        ("AGPL-3.0-only AND MIT", [("AGPL-3.0-only", "denied")]),
        ("AGPL-3.0-only OR Zlib", [("Zlib", "other")]),
        ("(MIT OR AGPL-3.0-only) AND (Zlib OR ISC)", [("Zlib", "other")]),
        ("Apache-2.0 WITH LLVM-exception", []),
        ("GPL-2.0-only WITH Classpath-exception-2.0", [("GPL-2.0-only WITH Classpath-exception-2.0", "opt_in")]),
        ("LicenseRef-NVIDIA-X AND AGPL-3.0-only", [("AGPL-3.0-only", "denied"), ("LicenseRef-NVIDIA-X", "opt_in")]),
    ],
)
def test_expressions_are_judged_as_such(expression: str, found: list[tuple[str, str]]) -> None:
    assert [(one.name, one.kind) for one in problems(expression, POLICY)] == found


def world(tmp_path: Path, artefacts: Mapping[str, bytes], policy: Policy | None = None) -> Evidence:
    """The tiny lock, in which these packages have real artefacts; all others, and their sections, are gone."""
    tmp_path.mkdir(exist_ok=True)
    store, sections = Store(tmp_path / "store"), []
    for section in tiny.lock().sections:
        pins = []
        for pin in section.pins:
            if (data := artefacts.get(pin.name)) is not None:
                (path := tmp_path / pin.filename).write_bytes(data)
                sha256, size = store.add(path)
                pins.append(pin.model_copy(update={"sha256": sha256, "size": size}))
        if pins:
            sections.append(section.model_copy(update={"pins": tuple(pins)}))
    lock: Lock = tiny.lock().model_copy(update={"sections": tuple(sections)})
    catalog = replace(tiny.catalog(), policy=policy or Policy(licenses=POLICY))
    return Evidence(catalog, lock, store, TODAY)


def arrays(*lines: str) -> dict[str, bytes]:
    return {"arrays": wheel(metadata(*lines))}


def found(evidence: Evidence) -> list[tuple[str, str]]:
    return [(one.id, one.level) for one in license(evidence)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("License-Expression: MIT", []),
        ("License-Expression: AGPL-3.0-or-later", [("AGPL-3.0-or-later", "error")]),
        ("License-Expression: LicenseRef-NVIDIA-Proprietary", [("LicenseRef-NVIDIA-Proprietary", "error")]),
        ("License-Expression: Zlib", [("Zlib", "warning")]),
        ("License: ask us", [("unknown", "unknown")]),
    ],
)
def test_what_a_wheel_says_is_judged(tmp_path: Path, line: str, expected: list[tuple[str, str]]) -> None:
    evidence = world(tmp_path, arrays(line))
    assert found(evidence) == expected
    for one in license(evidence):
        assert one.where.pin == "arrays 1.4.0" and one.action and one.why and "METADATA" in one.source


def test_terms_are_known_by_what_artefacts_say(tmp_path: Path) -> None:
    named = POLICY.model_copy(
        update={"terms": tuple(one.model_copy(update={"packages": ("arrays",)}) for one in POLICY.terms)}
    )
    proprietary = arrays("License: NVIDIA Proprietary Software")
    assert found(world(tmp_path, proprietary, Policy(licenses=named))) == [("LicenseRef-NVIDIA-CUDA-EULA", "error")]
    # terms are of these packages, and nothing that is a licence of SPDX is taken for them
    assert found(world(tmp_path, proprietary)) == [("unknown", "unknown")]
    free = arrays("License-Expression: MIT", "Summary: no NVIDIA proprietary software")
    assert found(world(tmp_path, free, Policy(licenses=named))) == []


def test_a_waiver_opts_in(tmp_path: Path) -> None:
    waiver = {"rule": "license", "id": "LicenseRef-NVIDIA-*", "package": "arrays", "expires": "2026-12-31"}
    whole = {"reason": "legal read them on 1 October", "owner": "platform team"}
    policy = Policy.model_validate({"licenses": POLICY, "waivers": [{**waiver, **whole}]})
    evidence = world(tmp_path, arrays("License-Expression: LicenseRef-NVIDIA-Proprietary"), policy)
    (one,) = (one for one in auditing.audit(evidence).findings if one.rule == "license")
    assert one.level == "error" and one.waived


def test_an_artefact_is_read_once(tmp_path: Path) -> None:
    evidence = world(tmp_path, arrays("License-Expression: AGPL-3.0-only"))
    assert found(evidence) == [("AGPL-3.0-only", "error")]
    (pin,) = answers(evidence).found
    evidence.store.path(pin).unlink()
    assert found(replace(evidence, cache={})) == [("AGPL-3.0-only", "error")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"reader": 0, "artefacts": {"SHA": {"expression": "MIT", "registry": "pypi"}}}',
        '{"reader": READER, "artefacts": []}',
        '{"reader": READER, "artefacts": {"SHA": 7}}',
        '{"reader": READER, "artefacts": {"SHA": {"expression": "no licence", "registry": "pypi"}}}',
        '{"reader": READER, "artefacts": {"SHA": {"expression": "MIT", "registry": "pypi", "more": 1}}}',
        '{"reader": READER, "artefacts": {"SHA": {"expression": "MIT", "registry": "another"}}}',
        '{"reader": READER, "artefacts": {"SHA": {"expression": "MIT\\u001b", "registry": "pypi"}}}',
    ],
)
def test_what_stands_wrongly_in_the_store_is_read_again(tmp_path: Path, text: str) -> None:
    evidence = world(tmp_path, arrays("License-Expression: AGPL-3.0-only"))
    assert found(evidence) == [("AGPL-3.0-only", "error")]
    kept = evidence.store.root / "readings" / f"{FILE}.json"
    reader, (sha256,) = json.loads(kept.read_text())["reader"], answers(evidence).found
    kept.write_text(text.replace("READER", str(reader)).replace("SHA", sha256))
    assert found(replace(evidence, cache={}, store=Store(evidence.store.root))) == [("AGPL-3.0-only", "error")]
    assert json.loads(kept.read_text())["artefacts"][sha256]["expression"] == "AGPL-3.0-only"


def test_what_is_not_in_the_store_is_unknown_section_by_section(tmp_path: Path) -> None:
    evidence = Evidence(replace(tiny.catalog(), policy=Policy()), tiny.lock(), Store(tmp_path / "store"), TODAY)
    unknown = [one for one in license(evidence) if one.level == "unknown"]
    assert {one.action for one in unknown if one.id != "unknown"} == {"invoke fetch --variant tiny"}
    sections = {one.id: one for one in tiny.lock().sections}
    assert all(one.id in sections for one in unknown if one.id != "unknown")
    assert not (tmp_path / "store" / "readings").exists()


def test_a_damaged_artefact_is_not_believed(tmp_path: Path) -> None:
    evidence = world(tmp_path, arrays("License-Expression: AGPL-3.0-only"))
    (pin,) = (pin for _, pin in evidence.pins())
    path = evidence.store.path(pin.sha256)
    path.chmod(0o644)
    path.write_bytes(wheel(metadata("License-Expression: MIT")))
    (one,) = license(evidence)
    assert one.level == "unknown" and "not in the store" in one.what


def two_debs() -> tuple[str, str]:
    """Names of two Debian packages of the tiny lock."""
    names = {pin.name for section in tiny.lock().sections if section.ecosystem == "apt" for pin in section.pins}
    first, second, *_ = sorted(names)
    return first, second


def test_terms_of_another_package_are_looked_up(tmp_path: Path) -> None:
    first, second = two_debs()
    refers = deb({}, {f"usr/share/doc/{first}": second})
    copyright = "Format: 1.0\n\nFiles: *\nLicense: AGPL-3\n"
    evidence = world(tmp_path, {first: refers, second: deb({f"usr/share/doc/{second}/copyright": copyright})})
    assert {one.where.pin.partition(" ")[0] for one in license(evidence) if one.where.pin} == {first, second}
    assert {one.level for one in license(evidence)} == {"error"}
    (alone,) = license(world(tmp_path / "alone", {first: refers}))
    assert alone.level == "unknown" and second in alone.what


def test_packages_that_refer_to_each_other_end(tmp_path: Path) -> None:
    first, second = two_debs()
    links = {one: deb({}, {f"usr/share/doc/{one}": two}) for one, two in ((first, second), (second, first))}
    assert {one.level for one in license(world(tmp_path, links))} == {"unknown"}


def test_many_licences_of_a_package_are_one_finding(tmp_path: Path) -> None:
    evidence = world(tmp_path, arrays("License-Expression: Zlib AND ISC AND X11 AND AGPL-3.0-only AND MIT"))
    assert found(evidence) == [("AGPL-3.0-only", "error"), ("ISC AND X11 AND Zlib", "warning")]


def test_a_name_of_any_length_is_shown_shortened(tmp_path: Path) -> None:
    (one,) = license(world(tmp_path, arrays(f"License-Expression: LicenseRef-{'x' * 15_000}")))
    assert len(one.what) < 1100 and len(one.id) <= 200
    assert len([*license_differs(world(tmp_path / "b", arrays(f"License-Expression: LicenseRef-{'x' * 15_000}")))]) == 1


def test_terms_do_not_hide_the_licences_beside_them(tmp_path: Path) -> None:
    named = POLICY.model_copy(
        update={"terms": tuple(one.model_copy(update={"packages": ("arrays",)}) for one in POLICY.terms)}
    )
    line = "License-Expression: LicenseRef-NVIDIA-Proprietary AND AGPL-3.0-only"
    policy = named.model_copy(
        update={"terms": tuple(one.model_copy(update={"says": ("*nvidia*",)}) for one in named.terms)}
    )
    expected = [("AGPL-3.0-only", "error"), ("LicenseRef-NVIDIA-CUDA-EULA", "error")]
    assert found(world(tmp_path, arrays(line), Policy(licenses=policy))) == expected


# --- what manifests claim ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "said", "expected"),
    [
        ("MIT", {"expression": "MIT"}, False),
        ("MIT", {"expression": "Apache-2.0"}, True),
        ("MIT AND ISC", {"expression": "ISC AND MIT AND ISC"}, False),
        ("MIT OR (ISC OR Zlib)", {"expression": "(Zlib OR MIT) OR ISC"}, False),
        ("MIT OR ISC", {"expression": "MIT AND ISC"}, True),
        ("MIT", {"expression": "MIT AND 0BSD"}, True),
        ("MIT AND 0BSD", {"expression": "MIT"}, False),
        ("GPL-2.0+", {"expression": "GPL-2.0-or-later AND MIT", "main": "GPL-2.0-or-later"}, False),
        ("GPL-2.0-only", {"expression": "GPL-2.0-or-later AND MIT", "main": "GPL-2.0-or-later"}, True),
        ("MIT", {"expression": "MIT AND BSD-3-Clause", "by_words": True}, False),
        ("ISC", {"expression": "MIT AND BSD-3-Clause", "by_words": True}, True),
        ("MIT", {"why": "it says nothing"}, False),
    ],
)
def test_claims_are_compared_as_expressions(claim: str, said: dict[str, object], expected: bool) -> None:
    assert differs(claim, Stated.model_validate(said)) is expected


def test_a_manifest_that_claims_another_licence_is_found(tmp_path: Path) -> None:
    def differing(line: str) -> list[Finding]:
        return [*license_differs(world(tmp_path, arrays(line)))]

    (tool,) = (one for one in tiny.catalog().tools.values() if any("arrays" in str(s.requests()) for s in one.sources))
    assert differing(f"License-Expression: {tool.license}") == []
    (one,) = differing("License-Expression: AGPL-3.0-only")
    assert (one.id, one.level, one.where.pin) == (tool.tool, "warning", "arrays 1.4.0")
    assert "AGPL-3.0-only" in one.what and tool.license in one.what
    assert one.where.file and one.where.line
    line = (ROOT / one.where.file).read_text().splitlines()[one.where.line - 1]
    assert line.startswith("license:")


def test_what_says_nothing_goes_by_its_manifest(tmp_path: Path) -> None:
    evidence = world(tmp_path, {"editor-1.2.tar.gz": b"a whole archive"})
    (pin,) = (pin for _, pin in evidence.pins())
    assert pin.sha256 == hashlib.sha256(b"a whole archive").hexdigest()
    (tool,) = evidence.lock.sections[0].tools
    claimed = evidence.catalog.tools[tool].license
    denying = Policy.model_validate({"licenses": {"denied": [claimed]}})
    assert found(world(tmp_path, {"editor-1.2.tar.gz": b"x"}, denying)) == [(claimed, "error")]
