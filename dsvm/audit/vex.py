"""Statements about what a known vulnerability does to a product (VEX), in the three forms that the field writes.

OpenVEX: https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md, CycloneDX:
https://cyclonedx.org/docs/1.6/json/#vulnerabilities, and CSAF: https://docs.oasis-open.org/csaf/csaf/v2.0/csaf-v2.0.html
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, ValidationError

from dsvm.audit.advisories import ID, Lenient, Text
from dsvm.audit.documents import Fault, documents, plain, shown_place

Status = Literal["not_affected", "affected", "fixed", "under_investigation"]
# CycloneDX's states of an analysis
STATES: Mapping[str, Status] = {
    "not_affected": "not_affected",
    "false_positive": "not_affected",
    "exploitable": "affected",
    "in_triage": "under_investigation",
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
}
# CSAF's status of a product
STATUSES: Mapping[str, Status] = {
    "known_not_affected": "not_affected",
    "known_affected": "affected",
    "first_affected": "affected",
    "last_affected": "affected",
    "under_investigation": "under_investigation",
    "fixed": "fixed",
    "first_fixed": "fixed",
}
DEEPEST = 50  # branches of a CSAF product tree in each other


@dataclass(frozen=True)
class Product:
    """What a statement is about: package URLs as they are written, and the SHA-256 of an artefact.

    `parts` are components of the product that it is about alone; without them it is the whole product.
    """

    purls: tuple[str, ...] = ()
    sha256: str | None = None
    parts: tuple[Product, ...] = ()


@dataclass(frozen=True)
class Statement:
    # where it stands, the same in every run
    id: str
    # the vulnerability, and other names of the same
    names: tuple[str, ...]
    products: tuple[Product, ...]
    status: Status
    # why it is not affected; "" where nobody says so
    reason: str
    author: str
    time: datetime.datetime


def read(places: Iterable[Path]) -> tuple[list[Statement], list[Fault]]:
    """The statements of folders, zip files and files, in a stable order, and what counts for nothing."""
    found: list[Statement] = []
    faults: list[Fault] = []
    for place in places:
        before = len(found), len(faults)
        for location, data in documents(place):
            where = shown_place(location)
            if isinstance(data, str):
                faults.append(Fault(where, data))
                continue
            for number, one in enumerate(_statements(data), 1):
                at = f"{where}#{number}"
                if isinstance(one, str):
                    faults.append(Fault(at, one))
                elif fault := _fault(one):
                    faults.append(Fault(f"{at} ({', '.join(map(plain, one.names[:3]))})", fault))
                else:
                    found.append(Statement(at, **one.said()))
        if (len(found), len(faults)) == before:
            faults.append(Fault(shown_place((str(place), "")), "there is no VEX statement in it"))
    return found, faults


@dataclass(frozen=True)
class _Said:
    """A statement as a document has it."""

    names: tuple[str, ...]
    products: tuple[Product, ...]
    status: Status
    reason: str
    author: str
    time: datetime.datetime | None

    def said(self) -> dict[str, Any]:
        time = self.time or datetime.datetime.min
        time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        names = tuple(dict.fromkeys(self.names))
        return {
            **vars(self),
            "names": names,
            "time": time,
            "reason": plain(self.reason),
            "author": plain(self.author, 80),
        }


def _fault(one: _Said) -> str:
    """What makes a statement one that counts for nothing, or ""."""
    if strange := [name for name in one.names if not re.fullmatch(ID, name)]:
        return f"'{plain(strange[0], 100)}' is no name of a single vulnerability"
    if not one.names:
        return "it names no vulnerability"
    if not any(_leaves(one.products)):
        return "it names no product by a package URL or SHA-256: it is too broad"
    if any("*" in unquote(purl) for product in _leaves(one.products) for purl in product.purls):
        return "it speaks of products by pattern: it is too broad"
    if one.time is None:
        return "it does not say when it was made"
    if one.status == "not_affected" and not one.reason.strip():
        return "it does not say why the product is not affected"
    return ""


def _leaves(products: Iterable[Product]) -> Iterator[Product]:
    for product in products:
        if product.purls or product.sha256:
            yield product
        yield from product.parts


def _statements(data: bytes) -> Iterator[_Said | str]:
    """What a document says, in its order, or what is wrong with a statement or all of it."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            yield "no VEX document: it is no JSON object"
        elif str(document.get("@context", "")).startswith("https://openvex.dev/ns"):
            yield from _openvex(document)
        elif document.get("bomFormat") == "CycloneDX":
            yield from _cyclonedx(document)
        elif isinstance(document.get("document"), dict) and "csaf_version" in document["document"]:
            yield from _csaf(document)
        else:
            yield "no VEX document in the form of OpenVEX, CycloneDX or CSAF"
    except ValidationError as error:
        yield _why(error)
    except (ValueError, RecursionError) as error:
        yield plain(f"no VEX document: {error}")


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return plain(f"no VEX statement: {where + ': ' if where else ''}{first['msg']}")


def _of_text(key: str) -> BeforeValidator:
    """What may stand as a text too, as in earlier versions."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _listed(value: object) -> object:
    return () if value is None else value


# --- OpenVEX -----------------------------------------------------------------------------------------------


class _OpenPart(Lenient):
    id: str = Field("", alias="@id")
    identifiers: Mapping[str, str] = Field(default_factory=dict)
    hashes: Mapping[str, str] = Field(default_factory=dict)

    def product(self, parts: tuple[Product, ...] = ()) -> Product:
        named = (self.id, self.identifiers.get("purl", ""))
        purls = tuple(dict.fromkeys(one for one in named if one.startswith("pkg:")))
        return Product(purls, self.hashes.get("sha-256"), parts)


class _OpenProduct(_OpenPart):
    subcomponents: Annotated[tuple[Annotated[_OpenPart, _of_text("@id")], ...], BeforeValidator(_listed)] = ()

    def whole(self) -> Product:
        return self.product(tuple(one.product() for one in self.subcomponents))


class _OpenVulnerability(Lenient):
    name: str
    aliases: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()


class _OpenStatement(Lenient):
    vulnerability: Annotated[_OpenVulnerability, _of_text("name")]
    products: Annotated[tuple[Annotated[_OpenProduct, _of_text("@id")], ...], BeforeValidator(_listed)] = ()
    status: Status
    justification: Text = ""
    impact_statement: Text = ""
    timestamp: datetime.datetime | None = None
    last_updated: datetime.datetime | None = None


class _OpenDocument(Lenient):
    author: str
    timestamp: datetime.datetime
    last_updated: datetime.datetime | None = None
    statements: tuple[Any, ...]


def _openvex(document: Mapping[str, Any]) -> Iterator[_Said | str]:
    whole = _OpenDocument.model_validate(document)
    for one in whole.statements:
        try:
            said = _OpenStatement.model_validate(one)
        except ValidationError as error:
            yield _why(error)
            continue
        yield _Said(
            (said.vulnerability.name, *said.vulnerability.aliases),
            tuple(product.whole() for product in said.products),
            said.status,
            ": ".join(filter(None, (said.justification, said.impact_statement))),
            whole.author,
            said.last_updated or said.timestamp or whole.last_updated or whole.timestamp,
        )


# --- CycloneDX ---------------------------------------------------------------------------------------------


class _Analysis(Lenient):
    state: Literal["not_affected", "false_positive", "exploitable", "in_triage", "resolved", "resolved_with_pedigree"]
    justification: Text = ""
    detail: Text = ""
    first_issued: datetime.datetime | None = Field(None, alias="firstIssued")
    last_updated: datetime.datetime | None = Field(None, alias="lastUpdated")


class _Reference(Lenient):
    id: Text = ""
    ref: Text = ""


class _Vulnerability(Lenient):
    id: str
    references: Annotated[tuple[_Reference, ...], BeforeValidator(_listed)] = ()
    analysis: _Analysis | None = None
    affects: Annotated[tuple[_Reference, ...], BeforeValidator(_listed)] = ()
    published: datetime.datetime | None = None
    updated: datetime.datetime | None = None


class _Named(Lenient):
    name: Text = ""


class _Metadata(Lenient):
    timestamp: datetime.datetime | None = None
    authors: Annotated[tuple[_Named, ...], BeforeValidator(_listed)] = ()
    supplier: _Named = _Named()
    manufacturer: _Named = _Named()
    component: Mapping[str, Any] = Field(default_factory=dict)


def _cyclonedx(document: Mapping[str, Any]) -> Iterator[_Said | str]:
    about = _Metadata.model_validate(document.get("metadata") or {})
    names = (*(one.name for one in about.authors), about.supplier.name, about.manufacturer.name)
    purls: dict[str, str] = {}
    for one in _components([about.component, *_list(document.get("components"))]):
        if isinstance(one.get("bom-ref"), str) and isinstance(one.get("purl"), str):
            purls[one["bom-ref"]] = one["purl"]
    for one in _list(document.get("vulnerabilities")):
        try:
            said = _Vulnerability.model_validate(one)
        except ValidationError as error:
            yield _why(error)
            continue
        if said.analysis is None:
            continue  # a vulnerability that nobody has judged
        refs = (one.ref for one in said.affects)
        yield _Said(
            (said.id, *(one.id for one in said.references if one.id)),
            tuple(Product((purl,)) for ref in refs if (purl := _purl_of(ref, purls))),
            STATES[said.analysis.state],
            ": ".join(filter(None, (said.analysis.justification, said.analysis.detail))),
            next(filter(None, names), ""),
            said.analysis.last_updated
            or said.analysis.first_issued
            or said.updated
            or said.published
            or about.timestamp,
        )


def _components(found: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    """Components, and those in them."""
    waiting = [*found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += _list(one.get("components"))


def _purl_of(ref: str, purls: Mapping[str, str]) -> str:
    """The package URL of a component of this document, or the one that a link into another document (BOM-Link) is."""
    inner = unquote(ref.partition("#")[2]) if ref.startswith("urn:cdx:") else ref
    return purls.get(ref) or (inner if inner.startswith("pkg:") else "")


# --- CSAF --------------------------------------------------------------------------------------------------


class _Flag(Lenient):
    label: str
    product_ids: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()


class _Threat(Lenient):
    category: str
    details: Text = ""
    product_ids: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()


class _CsafId(Lenient):
    text: str


class _CsafVulnerability(Lenient):
    cve: Text = ""
    ids: Annotated[tuple[_CsafId, ...], BeforeValidator(_listed)] = ()
    product_status: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    flags: Annotated[tuple[_Flag, ...], BeforeValidator(_listed)] = ()
    threats: Annotated[tuple[_Threat, ...], BeforeValidator(_listed)] = ()

    def reason(self, product: str) -> str:
        """Why a product is not affected."""
        said = [one.label for one in self.flags if product in one.product_ids or not one.product_ids]
        impacts = [one for one in self.threats if one.category == "impact"]
        said += [one.details for one in impacts if product in one.product_ids or not one.product_ids]
        return ": ".join(filter(None, said))


class _Tracking(Lenient):
    current_release_date: datetime.datetime


class _Csaf(Lenient):
    publisher: _Named
    tracking: _Tracking


def _csaf(document: Mapping[str, Any]) -> Iterator[_Said | str]:
    about = _Csaf.model_validate(document["document"])
    products = dict(_csaf_products(document.get("product_tree") or {}))
    for one in _list(document.get("vulnerabilities")):
        try:
            said = _CsafVulnerability.model_validate(one)
        except ValidationError as error:
            yield _why(error)
            continue
        names = tuple(filter(None, (said.cve, *(one.text for one in said.ids))))
        for key, ids in said.product_status.items():
            if key not in STATUSES:
                continue  # what is recommended is not about the vulnerability
            by_reason: dict[str, list[Product]] = {}
            for id in ids:
                by_reason.setdefault(said.reason(id), []).append(products.get(id, Product()))
            for reason, those in by_reason.items():
                date = about.tracking.current_release_date
                yield _Said(names, tuple(those), STATUSES[key], reason, about.publisher.name, date)


def _csaf_products(tree: Any, depth: int = 0) -> Iterator[tuple[str, Product]]:
    """Product id -> what it is, as far as package URLs or digests say so."""
    if not isinstance(tree, dict) or depth > DEEPEST:
        return
    for one in [tree.get("product"), *_list(tree.get("full_product_names"))]:
        if isinstance(one, dict) and isinstance(one.get("product_id"), str):
            helper = one.get("product_identification_helper")
            purl = helper.get("purl") if isinstance(helper, dict) else None
            yield one["product_id"], Product((purl,) if isinstance(purl, str) else ())
    for branch in _list(tree.get("branches")):
        yield from _csaf_products(branch, depth + 1)
