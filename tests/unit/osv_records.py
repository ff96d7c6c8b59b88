"""Advisories as they were published, without their long texts and lists of references; see each one's `id`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Record = dict[str, Any]


def affected(ecosystem: str, name: str, *events: Mapping[str, str], type: str = "ECOSYSTEM", **more: Any) -> Record:
    return {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": type, "events": list(events)}],
        **more,
    }


def cvss3(vector: str) -> Sequence[Record]:
    return [{"type": "CVSS_V3", "score": f"CVSS:3.1/{vector}"}]


def before(fixed: str) -> Sequence[Mapping[str, str]]:
    return {"introduced": "0"}, {"fixed": fixed}


JINJA_VERSIONS = ["2.9.6", "2.10", "2.10.1", "2.10.2", "2.10.3", "2.11.0", "2.11.1", "2.11.2"]  # the last of 38

PYSEC_2021_66: Record = {
    "id": "PYSEC-2021-66",
    "details": "This affects the package jinja2 from 0.0.0 and before 2.11.3.",
    "affected": [affected("PyPI", "jinja2", *before("2.11.3"), versions=JINJA_VERSIONS)],
    "aliases": ["CVE-2020-28493", "SNYK-PYTHON-JINJA2-1012994"],
    "modified": "2021-03-22T16:34:00Z",
    "published": "2021-02-01T20:15:00Z",
}
GHSA_G3RQ: Record = {
    "schema_version": "1.3.0",
    "id": "GHSA-g3rq-g295-4j3m",
    "modified": "2022-04-18T21:58:03Z",
    "published": "2021-03-19T21:28:05Z",
    "aliases": ["CVE-2020-28493"],
    "summary": "Regular Expression Denial of Service (ReDoS) in Jinja2",
    "severity": cvss3("AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"),
    "affected": [affected("PyPI", "Jinja2", *before("2.11.3"))],
    "database_specific": {"cwe_ids": ["CWE-400"], "severity": "MODERATE", "github_reviewed": True},
}
GHSA_H5C8: Record = {
    "schema_version": "1.4.0",
    "id": "GHSA-h5c8-rqwp-cp95",
    "modified": "2024-01-11T15:20:48Z",
    "published": "2024-01-11T15:20:48Z",
    "aliases": ["CVE-2024-22195"],
    "summary": "Jinja vulnerable to HTML attribute injection when passing user input as keys to xmlattr filter",
    "severity": cvss3("AV:N/AC:L/PR:N/UI:R/S:U/C:L/I:L/A:N"),
    "affected": [affected("PyPI", "jinja2", *before("3.1.3"))],
    "database_specific": {"cwe_ids": ["CWE-79"], "severity": "MODERATE", "github_reviewed": True},
}
GHSA_H75V: Record = {
    **GHSA_H5C8,
    "id": "GHSA-h75v-3vvj-5mfj",
    "modified": "2024-05-06T14:20:59Z",
    "published": "2024-05-06T14:20:59Z",
    "aliases": ["CVE-2024-34064"],
    "affected": [affected("PyPI", "Jinja2", *before("3.1.4"))],
}
GHSA_3H5V: Record = {
    "schema_version": "1.4.0",
    "id": "GHSA-3h5v-q93c-6h6q",
    "modified": "2024-06-17T19:09:12Z",
    "published": "2024-06-17T19:09:10Z",
    "aliases": ["CVE-2024-37890"],
    "summary": "ws affected by a DoS when handling a request with many HTTP headers",
    "severity": cvss3("AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"),
    "affected": [
        affected("npm", "ws", {"introduced": "2.1.0"}, {"fixed": "5.2.4"}),
        affected("npm", "ws", {"introduced": "6.0.0"}, {"fixed": "6.2.3"}),
        affected("npm", "ws", {"introduced": "7.0.0"}, {"fixed": "7.5.10"}),
        affected("npm", "ws", {"introduced": "8.0.0"}, {"fixed": "8.17.1"}),
    ],
    "database_specific": {"cwe_ids": ["CWE-476"], "severity": "HIGH", "github_reviewed": True},
}
DSA_5532: Record = {
    "id": "DSA-5532-1",
    "modified": "2023-10-24T00:00:00Z",
    "published": "2023-10-24T00:00:00Z",
    "upstream": ["CVE-2023-5363"],
    "summary": "openssl - security update",
    "affected": [affected("Debian:12", "openssl", *before("3.0.11-1~deb12u2"))],
}
DEBIAN_2023_5363: Record = {
    "schema_version": "1.7.0",
    "id": "DEBIAN-CVE-2023-5363",
    "modified": "2025-11-19T01:03:27.162407123Z",
    "published": "2023-10-25T18:17:43Z",
    "upstream": ["CVE-2023-5363"],
    "severity": cvss3("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"),
    "affected": [
        affected(
            "Debian:12", "openssl", *before("3.0.11-1~deb12u2"), ecosystem_specific={"urgency": "not yet assigned"}
        ),
        affected("Debian:13", "openssl", *before("3.0.12-1"), ecosystem_specific={"urgency": "not yet assigned"}),
    ],
}
