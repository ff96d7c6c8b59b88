"""VEX statements: which findings they waive, which never, and what is said of those that count for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import osv_records as osv
import pytest
from advised import JINJA, evidence_of, lock_of
from hypothesis import given
from hypothesis import strategies as st

from dsvm.audit import auditing, settle, vex
from dsvm.model import Audit, Lock, Policy

CVE = "CVE-2024-34064"
JINJA_PURL = "pkg:pypi/jinja2@2.11.2"
REASON = "vulnerable_code_not_in_execute_path"


def statement(name: str = CVE, *purls: str, **more: Any) -> dict[str, Any]:
    products = [{"@id": one} for one in purls or (JINJA_PURL,)]
    return {
        "vulnerability": {"name": name},
        "products": products,
        "status": "not_affected",
        "justification": REASON,
        **more,
    }


def openvex(*statements: Any, **more: Any) -> dict[str, Any]:
    return {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://example.org/vex/1",
        "author": "Platform team",
        "timestamp": "2026-11-01T00:00:00Z",
        "version": 1,
        "statements": [*statements],
        **more,
    }


def cyclonedx(**analysis: Any) -> dict[str, Any]:
    said = {"state": "not_affected", "justification": "code_not_reachable", "detail": "no template is foreign"}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {"timestamp": "2026-11-01T00:00:00Z", "authors": [{"name": "Platform team"}]},
        "components": [{"type": "library", "name": "jinja2", "bom-ref": "j", "purl": JINJA_PURL}],
        "vulnerabilities": [
            {
                "id": "GHSA-h75v-3vvj-5mfj",
                "references": [{"id": CVE}],
                "analysis": {**said, **analysis},
                "affects": [{"ref": "j"}],
            }
        ],
    }


def csaf() -> dict[str, Any]:
    helper = {"product_identification_helper": {"purl": JINJA_PURL}}
    product = {"product": {"product_id": "P1", "name": "Jinja2 2.11.2", **helper}}
    return {
        "document": {
            "category": "csaf_vex",
            "csaf_version": "2.0",
            "publisher": {"category": "vendor", "name": "Platform team", "namespace": "https://example.org"},
            "title": "Jinja2",
            "tracking": {"id": "1", "current_release_date": "2026-11-01T00:00:00Z"},
        },
        "product_tree": {"branches": [{"category": "vendor", "name": "x", "branches": [product]}]},
        "vulnerabilities": [
            {
                "cve": CVE,
                "product_status": {"known_not_affected": ["P1"]},
                "flags": [{"label": REASON, "product_ids": ["P1"]}],
            }
        ],
    }


Audited = Callable[..., Audit]


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    def run(*documents: Mapping[str, Any] | bytes, lock: Lock = JINJA, **records: osv.Record) -> Audit:
        folder = tmp_path / "statements"
        folder.mkdir(exist_ok=True)
        for number, one in enumerate(documents):
            data = one if isinstance(one, bytes) else json.dumps(one).encode()
            (folder / f"{number}.json").write_bytes(data)
        given = records.values() or (osv.GHSA_H75V, osv.GHSA_H5C8)
        return auditing.audit(evidence_of(tmp_path, lock, *given, vex=(folder,)))

    return run


def waived(audit: Audit) -> dict[str, str]:
    return {one.id: one.waived for one in audit.findings if one.waived is not None}


def said(audit: Audit) -> list[str]:
    return [one.what.replace("\n", "") for one in audit.findings if one.rule == "vex"]


# --- what is waived ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (openvex(statement()), REASON),
        (
            openvex(statement("GHSA-h75v-3vvj-5mfj", impact_statement="no template is foreign")),
            "no template is foreign",
        ),
        (openvex(statement(vulnerability={"name": "GHSA-other", "aliases": [CVE]})), REASON),
        # as version 0.0.1 has it
        (openvex(statement(vulnerability=CVE, products=[JINJA_PURL])), REASON),
        (openvex(statement(products=[{"@id": "urn:x", "identifiers": {"purl": JINJA_PURL}}])), REASON),
        (cyclonedx(), "code_not_reachable: no template is foreign"),
        (csaf(), REASON),
    ],
)
def test_what_is_not_affected_is_waived_and_the_next_is_not(audited: Audited, document: Any, reason: str) -> None:
    audit = audited(document)
    assert set(waived(audit)) == {CVE} and not said(audit)
    text = waived(audit)[CVE]
    assert reason in text and "Platform team, 2026-11-01" in text and "0.json#1" in text
    assert [one.id for one in audit.findings if one.rule == "vulnerability" and not one.waived] == [
        "CVE-2024-22195",
        *(one.id for one in audit.findings if one.rule == "vulnerability" and one.level == "unknown"),
    ]


@pytest.mark.parametrize(
    ("purl", "covers"),
    [
        ("pkg:pypi/Jinja2", True),
        ("pkg:pypi/jinja2@2.11.3", False),
        ("pkg:npm/jinja2@2.11.2", False),
        ("pkg:pypi/jinja@2.11.2", False),
        ("pkg:pypi/jinja2@2.11.2?file_name=x.whl", False),
        ("pkg:oci/tiny", True),
        ("pkg:docker/dsvm/tiny", True),
        ("pkg:oci/other", False),
        # another build: nobody knows whether it is this one
        ("pkg:oci/tiny@sha256%3Aabc", False),
        ("pkg:", False),
    ],
)
def test_a_product_is_what_its_package_url_says(audited: Audited, purl: str, covers: bool) -> None:
    assert (CVE in waived(audited(openvex(statement(CVE, purl))))) is covers


@pytest.mark.parametrize(
    ("product", "part", "covers"),
    [
        ("pkg:oci/tiny", JINJA_PURL, True),
        ("pkg:oci/tiny", "pkg:pypi/numpy", False),
        ("pkg:oci/other", JINJA_PURL, False),
        ("pkg:oci/tiny", "pkg:oci/tiny", False),
        # that part of a package, which is not the package of that name beside it
        ("pkg:npm/webpack@5", JINJA_PURL, False),
        (JINJA_PURL, "pkg:pypi/markupsafe", False),
    ],
)
def test_components_of_a_product_are_what_it_is_about(audited: Audited, product: str, part: str, covers: bool) -> None:
    one = statement(products=[{"@id": product, "subcomponents": [{"@id": part}]}])
    assert (CVE in waived(audited(openvex(one)))) is covers


def test_a_digest_names_an_artefact(audited: Audited) -> None:
    (pin,) = [pin for section in JINJA.sections for pin in section.pins if pin.name == "jinja2"]
    for digest, covers in ((pin.sha256, True), ("0" * 64, False)):
        one = statement(products=[{"@id": "urn:x", "hashes": {"sha-256": digest}}])
        assert (CVE in waived(audited(openvex(one)))) is covers


@pytest.mark.parametrize(
    ("purl", "covers"),
    [
        ("pkg:deb/debian/openssl@3.0.11-1~deb12u1", True),
        ("pkg:deb/debian/openssl@3.0.11-1~deb12u1?arch=amd64&distro=debian-12", True),
        ("pkg:deb/debian/openssl@3.0.11-1~deb12u1?distro=debian-13", False),
        ("pkg:deb/debian/openssl?arch=source", True),
        ("pkg:deb/ubuntu/openssl", False),
        ("pkg:deb/openssl", False),
    ],
)
def test_a_distribution_is_part_of_a_package_url(audited: Audited, purl: str, covers: bool) -> None:
    lock = lock_of({"system": {"openssl": "3.0.11-1~deb12u1"}})
    audit = audited(openvex(statement("CVE-2023-5363", purl)), lock=lock, one=osv.DEBIAN_2023_5363)
    assert ("CVE-2023-5363" in waived(audit)) is covers


def test_every_artefact_in_the_image_must_be_covered(audited: Audited) -> None:
    two = lock_of({"env-base": {"jinja2": "2.11.2"}, "env-nets": {"jinja2": "2.11.2"}})
    assert CVE in waived(audited(openvex(statement()), lock=two))
    (pin,) = [pin for section in two.sections if section.id == "env-base" for pin in section.pins]
    other = pin.model_copy(update={"sha256": "1" * 64})
    sections = tuple(one.model_copy(update={"pins": (other,)}) if one.id == "env-nets" else one for one in two.sections)
    lock = two.model_copy(update={"sections": sections})
    by_digest = statement(products=[{"hashes": {"sha-256": pin.sha256}}])
    assert CVE not in waived(audited(openvex(by_digest), lock=lock))
    assert CVE in waived(audited(openvex(by_digest, statement()), lock=lock))


@pytest.mark.parametrize("status", ["affected", "under_investigation", "fixed"])
def test_the_newest_statement_counts(audited: Audited, status: str) -> None:
    later = statement(status=status, timestamp="2026-11-02T00:00:00Z")
    assert not waived(audited(openvex(later, statement())))
    assert waived(audited(openvex(later, statement(timestamp="2026-11-03T00:00:00Z"))))
    # of one moment: what waives nothing
    assert not waived(audited(openvex(statement(), statement(status=status))))


# --- what counts for nothing, and is said ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (openvex(statement(), timestamp="2025-11-01T00:00:00Z"), "more than 365 days ago"),
        (openvex(statement(), timestamp="2099-01-01T00:00:00Z"), "still to come"),
        (openvex(statement("CVE-2020-0001")), "waives nothing in tiny"),
        (openvex(statement("CVE-*")), "no name of a single vulnerability"),
        (openvex(statement("*")), "no name of a single vulnerability"),
        (openvex(statement(CVE, "pkg:pypi/*")), "too broad"),
        (openvex(statement(CVE, "pkg:pypi/%2A")), "too broad"),
        (openvex(statement(products=[])), "too broad"),
        (openvex(statement(products=[{"@id": "https://example.org/everything"}])), "too broad"),
        (openvex(statement(justification=None)), "does not say why"),
        (openvex(statement(status="harmless")), "status"),
        (openvex(statement(), author=None), "author"),
        (openvex(statement(), statements="none"), "statements"),
        (cyclonedx(justification=None, detail=None), "does not say why"),
        (cyclonedx() | {"metadata": {}}, "when it was made"),
        (cyclonedx() | {"components": 7}, "too broad"),
        (csaf() | {"product_tree": {"branches": 1}}, "too broad"),
        ({"@context": "https://example.org"}, "no VEX document in the form of"),
        (b"", "no VEX document"),
        (b"[" * 200_000, "no VEX document"),
        (b"\xff\xfe", "no VEX document"),
        (b"[]", "no JSON object"),
        (openvex(), "no VEX statement in it"),
    ],
)
def test_a_statement_that_counts_for_nothing_is_said_and_hides_no_other(
    audited: Audited, document: Any, why: str
) -> None:
    audit = audited(document)
    assert not waived(audit)
    (what,) = said(audit)
    assert why in what and what.isprintable()
    if b"no VEX statement in it" not in why.encode():
        assert CVE in waived(audited(document, openvex(statement())))


def test_hostile_words_are_one_printable_line(audited: Audited) -> None:
    text = "a\x1b[31m\u202e<script>\n" + "x" * 5000
    audit = audited(openvex(statement(impact_statement=text), author=text))
    assert waived(audit)[CVE].isprintable() and len(waived(audit)[CVE]) <= 500
    audit = audited(openvex(statement(text, text, status=text)))
    assert all(one.isprintable() and len(one) < 600 for one in said(audit)) and said(audit)


def test_a_huge_feed_is_a_few_findings(audited: Audited) -> None:
    audit = audited(openvex(*(statement(f"CVE-2020-{number}") for number in range(2000)), statement()))
    assert set(waived(audit)) == {CVE}
    assert len(said(audit)) == 51 and said(audit)[-1].startswith("1950 more")


def test_what_one_variant_uses_is_not_unused_in_another(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(openvex(statement(), statement("CVE-2020-0001"))))
    audits = []
    for name, lock in (("a", JINJA), ("b", lock_of({"env-base": {"jinja2": "3.1.6"}}))):
        (tmp_path / name).mkdir()
        audits.append(auditing.audit(evidence_of(tmp_path / name, lock, osv.GHSA_H75V, vex=(path,))))
    assert [len(said(one)) for one in audits] == [1, 2]
    assert [[CVE in what for what in said(one)] for one in settle(audits, Policy())] == [[False], [False]]


KEYS = st.sampled_from(["product", "branches", "components", "purl", "name", "vulnerability", "products", "ref"])
ANYTHING = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(KEYS, one),
)


@given(ANYTHING)
def test_no_form_breaks_it(content: Any) -> None:
    for whole in (openvex(content), cyclonedx(), csaf()):
        for key in ("statements", "vulnerabilities", "metadata", "components", "product_tree", "document"):
            data = json.dumps(whole | ({key: content} if key in whole else {})).encode()
            for one in vex._statements(data):
                assert isinstance(one, str) or vex._fault(one) or one.said()
