"""What a Python package says of its licence.

https://packaging.python.org/en/latest/specifications/core-metadata/#license-expression
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm.ecosystems.licenses.names import TROVE, is_vague, loose, trove
from dsvm.ecosystems.licenses.reading import shown, stated, tar_texts, zip_texts
from dsvm.ecosystems.licenses.texts import own_terms
from dsvm.model import Stated, all_of, canonical

if TYPE_CHECKING:
    from packaging.metadata import RawMetadata

LICENSE_FILE = r"(?:licen[cs]e|copying|notice|eula)[^/]*"
METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
FILES = re.compile(rf"(?i:[^/]+\.dist-info/(?:licen[cs]es/)?{LICENSE_FILE})")
SOURCE = re.compile(rf"[^/]+/(?:PKG-INFO|(?i:{LICENSE_FILE}))")
LONG = 120  # characters: what is longer in the field License is a text


def licenses(artefact: Path, *, source: bool) -> Stated:
    """What a wheel, or with `source` a source distribution, says of its licence."""
    from packaging.metadata import parse_email  # slow to load, and most commands read no package

    own = "PKG-INFO" if source else "METADATA"
    try:
        # two looks: some wheels hold hundreds of licence files of others
        texts = tar_texts(artefact, SOURCE) if source else zip_texts(artefact, METADATA) | zip_texts(artefact, FILES)
        name = next((one for one in texts if one.endswith(f"/{own}")), None)
        if name is None:
            return Stated(file=own, why=f"it has no readable {own}")
        said, _ = parse_email(texts.pop(name))
    except ValueError as error:
        return Stated(file=own, why=shown(str(error)))
    return _read(said, name, texts)


def _read(said: RawMetadata, name: str, texts: dict[str, str]) -> Stated:
    """By the newest of its fields that says something clear; by its licence files where none does."""
    if words := said.get("license_expression", "").strip():
        return stated(canonical(words) or loose(words), words, name)
    field = said.get("license", "").strip()
    named = [one for one in said.get("classifiers", ()) if one.startswith("License :: ")]
    words = field if field and field.upper() != "UNKNOWN" and len(field) <= LONG else ""
    if words and (found := loose(words)):
        return stated(found, words, name)
    if found := trove(named):
        return stated(found, "; ".join(named), name)
    if len(field) > LONG and (found := own_terms(field)):
        return stated(found, field, name, by_words=True)
    read = {file: one for file, text in sorted(texts.items()) if (one := own_terms(text) if _own(file) else None)}
    told = words or "; ".join(named) or field or next(iter(texts.values()), "")
    # `BSD` is any of several: which one, its text says
    clear = all(one.rpartition(" :: ")[2] in ("OSI Approved", *TROVE) for one in named)
    if read and clear and is_vague(words):
        return stated(all_of(read.values()), told, ", ".join(read), by_words=True)
    return stated(None, told, name, "" if told else "it says nothing of its licence")


def _own(file: str) -> bool:
    """Whether a licence file is the package's, not one of what is bundled with it."""
    return re.search(r"(?i)third|3rd|bundled|notice", file) is None
