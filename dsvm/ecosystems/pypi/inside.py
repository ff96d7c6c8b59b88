"""What a wheel brings of others: what its own SBOMs name, libraries copied into it, packages vendored in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from dsvm.ecosystems.licenses.reading import zip_texts
from dsvm.ecosystems.protocol import Inside
from dsvm.ecosystems.pypi.contents import contents
from dsvm.model import all_of, canonical

# https://peps.python.org/pep-0770/
SBOMS = re.compile(r"[^/]+\.dist-info/sboms/.+")
# what pip's own tool writes beside the packages that it vendors: the program `vendoring`
LISTS = re.compile(r".*/_vendor/vendor\.txt")
# auditwheel puts a part of a library's digest into its name, and a second one where it was repaired twice
LIBRARY = re.compile(r".*/(?P<name>[^/]+?)(?:-[0-9a-f]{8})+(?P<rest>(?:\.[^/.]+)*\.so(?:\.[^/]+)?)")
VENDORED = re.compile(r".+/(?P<name>[^/]+)-(?P<version>[^/-]+)\.dist-info/METADATA")
MOST = 10_000  # parts of one wheel
DEEPEST = 20  # components in components


def inside(artefact: Path, own: str) -> Iterator[Inside]:
    """What the wheel of the package `own` brings of others. Raises LockError or ValueError for what is no wheel."""
    for path, entry in contents(artefact, ""):
        if library := LIBRARY.fullmatch(path):
            yield Inside(library["name"] + library["rest"], None, path, sha256=entry.sha256 or None)
        elif package := VENDORED.fullmatch(path):
            name = canonicalize_name(package["name"])
            yield Inside(name, package["version"], path, f"pkg:pypi/{name}@{package['version']}")
    for path, text in sorted(zip_texts(artefact, LISTS).items()):
        yield from _listed(text, path)
    for path, text in sorted(zip_texts(artefact, SBOMS).items()):
        yield from _named(text, path, own)


def _listed(text: str, path: str) -> Iterator[Inside]:
    for line in text.splitlines():
        try:
            wanted = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:
            continue
        version = next((one.version for one in wanted.specifier if one.operator == "=="), None)
        name = canonicalize_name(wanted.name)
        if version is not None:
            yield Inside(name, version, path, f"pkg:pypi/{name}@{version}")


def _named(text: str, path: str, own: str) -> Iterator[Inside]:
    """The components, or packages, of an SBOM in JSON; one of another form is a part itself, for nobody read it."""
    try:
        said = json.loads(text)
        found = [*_components(said)] if "bomFormat" in said else [*_packages(said)] if "spdxVersion" in said else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        found = None
    if found is None:
        yield Inside(path.rpartition("/")[2], None, path)
        return
    for name, version, purl, license in found[:MOST]:
        if canonicalize_name(name) != own:
            yield Inside(name, version, path, _purl(purl), license=license)


def _purl(text: str | None) -> str | None:
    from packageurl import PackageURL

    try:
        return PackageURL.from_string(text).to_string() if text else None
    except ValueError:
        return None


Named = tuple[str, str | None, str | None, str | None]


def _components(said: Mapping[str, Any], depth: int = 0) -> Iterator[Named]:
    """https://cyclonedx.org/docs/1.6/json/#components"""
    if depth > DEEPEST:
        return
    for one in said.get("components") or ():
        if isinstance(one.get("name"), str):
            yield one["name"], _text(one.get("version")), _text(one.get("purl")), _license(one.get("licenses") or ())
        yield from _components(one, depth + 1)


def _license(choices: Any) -> str | None:
    words = [one.get("expression") or (one.get("license") or {}).get("id") for one in choices]
    known = [canonical(one) for one in words if isinstance(one, str)]
    return all_of([one for one in known if one]) if known and all(known) else None


def _packages(said: Mapping[str, Any]) -> Iterator[Named]:
    """https://spdx.github.io/spdx-spec/v2.3/package-information/"""
    for one in said.get("packages") or ():
        if isinstance(one.get("name"), str):
            places = [ref.get("referenceLocator") for ref in one.get("externalRefs") or ()]
            purl = next((place for place in places if isinstance(place, str) and place.startswith("pkg:")), None)
            license = one.get("licenseDeclared")
            known = canonical(license) if isinstance(license, str) else None
            yield one["name"], _text(one.get("versionInfo")), purl, known


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
