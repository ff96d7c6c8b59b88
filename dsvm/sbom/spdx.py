"""A bill of materials as SPDX 2.3, JSON: https://spdx.github.io/spdx-spec/v2.3/

Written here, for the library takes longer than all the rest; its validator is asked by the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from dsvm.model import digest_of
from dsvm.sbom.bill import Bill, Component, Part, Product, uri, written

DOCUMENT = "SPDXRef-DOCUMENT"
NOTHING = "NOASSERTION"


def to_spdx(bill: Bill) -> str:
    """JSON that is the same bytes for the same bill; ends in a newline."""
    ids = {ref: _id(ref) for ref in (bill.ref, *(one.ref for one in bill.entries))}
    parts = [(one, part, _id(part.ref(one.ref))) for one in bill.components for part in one.parts]
    comments = []
    if bill.unknown:
        comments.append(
            f"What {bill.unknown} of {len(bill.components)} components need is unknown: their artefacts said nothing."
        )
    if bill.missing:
        comments.append(f"In the lock and not in the image: {', '.join(bill.missing)}.")
    of = f"image {bill.image}; " if bill.image else ""
    image = _package(
        ids[bill.ref],
        bill.variant,
        bill.version,
        comment=f"{of}lock {bill.lock}; base {bill.base}",
        primaryPackagePurpose="CONTAINER",
        summary=bill.summary or None,
    )
    packages = [image, *(_product(ids[one.ref], one) for one in bill.tools)]
    packages += [_component(ids[one.ref], one) for one in bill.components]
    packages += [_part(name, part) for _, part, name in parts]
    relationships = [(DOCUMENT, "DESCRIBES", ids[bill.ref])]
    relationships += [(ids[bill.ref], "CONTAINS", ids[one.ref]) for one in bill.components]
    relationships += [(ids[one.ref], "CONTAINS", name) for one, _, name in parts]
    relationships += [(ids[ref], "DEPENDS_ON", ids[need]) for ref, needs in bill.edges() for need in needs]
    document = {
        "SPDXID": DOCUMENT,
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "name": f"{bill.variant} {bill.version}",
        "documentNamespace": f"urn:uuid:{bill.serial}",
        "creationInfo": {
            "created": datetime.fromtimestamp(bill.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: dsvm-{version('dsvm')}"],
        },
        **({"comment": " ".join(comments)} if comments else {}),
        "packages": packages,
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relationships
        ],
        "hasExtractedLicensingInfos": [*_own_licenses(bill)],
    }
    return written(document)


def _id(ref: str) -> str:
    """An identifier of letters, digits, dots and hyphens, that no other ref has."""
    return f"SPDXRef-{re.sub('[^A-Za-z0-9.]+', '-', ref).strip('-')}-{digest_of(ref)[:8]}"


def _package(
    spdx_id: str, name: str, version: str | None, *, license: str | None = None, **more: Any
) -> dict[str, Any]:
    package = {
        "SPDXID": spdx_id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": NOTHING,
        "licenseDeclared": license or NOTHING,
        "copyrightText": NOTHING,
        **more,
    }
    return {key: value for key, value in package.items() if value is not None and value != []}


def _product(spdx_id: str, tool: Product) -> dict[str, Any]:
    return _package(
        spdx_id,
        tool.name,
        tool.version,
        license=tool.license,
        comment="a tool: what people asked for, made of the packages that it depends on",
        homepage=uri(tool.homepage) if tool.homepage else None,
        primaryPackagePurpose="APPLICATION",
        summary=tool.summary or None,
    )


def _component(spdx_id: str, one: Component) -> dict[str, Any]:
    said = {
        "section": one.section,
        "environment": one.env,
        "tools": ", ".join(one.tools),
        "registry": one.registry,
        "size": f"{one.size} bytes" if one.size is not None else None,
        "evidence": one.evidence,
        "dependencies": "unknown" if one.needs is None else None,
    }
    return _package(
        spdx_id,
        one.name,
        one.version,
        license=one.license,
        checksums=_checksums(one.sha256),
        comment="; ".join(f"{name}: {value}" for name, value in said.items() if value),
        downloadLocation=uri(one.url) if one.url else NOTHING,
        externalRefs=_purls(one.purl.to_string()),
        primaryPackagePurpose="CONTAINER" if one.purl.type == "oci" else "LIBRARY",
    )


def _part(spdx_id: str, part: Part) -> dict[str, Any]:
    return _package(
        spdx_id,
        part.name,
        part.version,
        license=part.license,
        checksums=_checksums(part.sha256),
        comment=f"file: {part.file}",
        externalRefs=_purls(part.purl),
        primaryPackagePurpose="LIBRARY",
    )


def _checksums(sha256: str | None) -> Sequence[Mapping[str, str]]:
    return [{"algorithm": "SHA256", "checksumValue": sha256}] if sha256 else []


def _purls(purl: str | None) -> Sequence[Mapping[str, str]]:
    place = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl"}
    return [{**place, "referenceLocator": purl}] if purl else []


def _own_licenses(bill: Bill) -> Iterator[Mapping[str, str]]:
    """Licences without a name of SPDX's, which a document has to describe itself."""
    found: dict[str, str | None] = {}
    said = [(one.license, one.homepage if isinstance(one, Product) else None) for one in bill.entries]
    said += [(part.license, None) for one in bill.components for part in one.parts]
    for license, page in said:
        for name in re.findall(r"\bLicenseRef-[A-Za-z0-9.-]+", license or ""):
            found.setdefault(name, page)
    for name, page in sorted(found.items()):
        text = f"See {page}" if page else "See the package"
        yield {"licenseId": name, "extractedText": text, "name": name.removeprefix("LicenseRef-")}
