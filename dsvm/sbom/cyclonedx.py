"""A bill of materials as CycloneDX 1.6, JSON: https://cyclonedx.org/docs/1.6/json/

Written here, for the library's model of it takes longer than all the rest; its validator is asked by the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from dsvm.sbom.bill import Bill, Component, Part, Product, uri, written


def to_cyclonedx(bill: Bill) -> str:
    """JSON that is the same bytes for the same bill; ends in a newline."""
    unknown = f"{bill.unknown} of {len(bill.components)} components" if bill.unknown else None
    image = {
        "type": "container",
        "bom-ref": bill.ref,
        "name": bill.variant,
        "version": bill.version,
        "description": bill.summary or None,
        "properties": _properties({"base": bill.base, "image": bill.image, "lock": bill.lock}),
    }
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{bill.serial}",
        "version": 1,
        "metadata": _known(
            {
                "timestamp": datetime.fromtimestamp(bill.epoch, UTC).isoformat(),
                "tools": {"components": [{"type": "application", "name": "dsvm", "version": version("dsvm")}]},
                "component": _known(image),
                "properties": _properties(
                    {"dependencies:unknown": unknown, "missing": ", ".join(bill.missing) or None}
                ),
            }
        ),
        "components": [*map(_product, bill.tools), *map(_component, bill.components)],
        "dependencies": [_known({"ref": ref, "dependsOn": list(needs)}) for ref, needs in bill.edges()],
    }
    return written(document)


def _known(members: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not known: None, and empty lists."""
    return {key: one for key, one in members.items() if one is not None and one != []}


def _product(tool: Product) -> dict[str, Any]:
    return _known(
        {
            "type": "application",
            "bom-ref": tool.ref,
            "name": tool.name,
            "version": tool.version,
            "description": tool.summary or None,
            "licenses": _licenses(tool.license),
            "externalReferences": _reference("website", tool.homepage),
            "properties": _properties({"kind": "tool"}),
        }
    )


def _component(one: Component) -> dict[str, Any]:
    return _known(
        {
            "type": "container" if one.purl.type == "oci" else "library",
            "bom-ref": one.ref,
            "name": one.name,
            "version": one.version,
            "purl": one.purl.to_string(),
            "hashes": _hashes(one.sha256),
            "licenses": _licenses(one.license),
            "externalReferences": _reference("distribution", one.url),
            "components": [_part(one, part) for part in one.parts],
            "properties": _properties(
                {
                    "dependencies": "unknown" if one.needs is None else None,
                    "ecosystem": one.ecosystem,
                    "environment": one.env,
                    "evidence": one.evidence,
                    "registry": one.registry,
                    "section": one.section,
                    "size": str(one.size) if one.size is not None else None,
                    "tools": ", ".join(one.tools) or None,
                }
            ),
        }
    )


def _part(whole: Component, part: Part) -> dict[str, Any]:
    return _known(
        {
            "type": "library",
            "bom-ref": part.ref(whole.ref),
            "name": part.name,
            "version": part.version,
            "purl": part.purl,
            "hashes": _hashes(part.sha256),
            "licenses": _licenses(part.license),
            "properties": _properties({"file": part.file}),
        }
    )


def _hashes(sha256: str | None) -> Sequence[Mapping[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}] if sha256 else []


def _licenses(expression: str | None) -> Sequence[Mapping[str, str]]:
    return [{"expression": expression}] if expression else []


def _reference(kind: str, url: str | None) -> Sequence[Mapping[str, str]]:
    return [{"type": kind, "url": uri(url)}] if url else []


def _properties(values: Mapping[str, str | None]) -> Sequence[Mapping[str, str]]:
    """https://github.com/CycloneDX/cyclonedx-property-taxonomy"""
    return [{"name": f"dsvm:{name}", "value": value} for name, value in values.items() if value is not None]
