"""What a conda package says of its licence: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

from dsvm.ecosystems.licenses.names import is_vague, loose
from dsvm.ecosystems.licenses.reading import inner_name, members, plain_faults, shown, stated, tar_texts
from dsvm.ecosystems.licenses.texts import own_terms
from dsvm.model import Stated, all_of

PLACES = ("info/about.json", "info/index.json")
WANTED = re.compile(r"info/(?:about\.json|index\.json|licenses/.+|LICENSE\.txt)")


def licenses(artefact: Path) -> Stated:
    """What a package says of its licence, in either form that there is: .conda or .tar.bz2."""
    try:
        texts = _texts(artefact)
        said = {place: json.loads(texts.pop(place)) for place in PLACES if place in texts}
    except (ValueError, RecursionError) as error:
        return Stated(file=PLACES[0], why=shown(str(error)))
    told = [(place, value) for place, one in said.items() if isinstance(one, dict) and (value := one.get("license"))]
    for place, words in told:
        if isinstance(words, str) and (found := loose(words)):
            return stated(found, words, place)
    read = {file: one for file, text in sorted(texts.items()) if (one := own_terms(text))}
    place, words = told[0] if told else (PLACES[0], "")
    if read and is_vague(str(words)):
        return stated(all_of(read.values()), str(words), ", ".join(read), by_words=True)
    return stated(None, str(words), place, "" if words else "it says nothing of its licence")


def _texts(artefact: Path) -> dict[str, str]:
    """Name -> text of the files that may say something. Raises ValueError."""
    if not zipfile.is_zipfile(artefact):
        return tar_texts(artefact, WANTED)
    found: dict[str, str] = {}
    with plain_faults(), zipfile.ZipFile(artefact) as archive:
        inner = next((one for one in archive.infolist() if re.fullmatch(r"info-.+\.tar\.zst", one.filename)), None)
        if inner is None:
            raise ValueError("it has no info")
        with archive.open(inner) as stream:
            for member, text in members(stream, inner.compress_size):
                name = inner_name(member.name)
                if WANTED.fullmatch(name) and (content := text()) is not None:
                    found.setdefault(name, content)
    return found
