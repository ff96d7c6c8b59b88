"""Licences by their own words: what a text grants, or says that it is -> SPDX.

Only sentences are taken that a licence's authors fixed, as https://github.com/spdx/license-list-data has them. A text
may hold several licences: all that are found count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dsvm.model import all_of

MOST_TEXT = 1 << 20  # characters that are looked at
# one grant of the BSD family ends where the next begins, or after so many characters
MOST_GRANT = 4000
START = 3000  # characters in which a licence says what it is

GNU = re.compile(
    r"gnu (?P<kind>affero |lesser |library |library or lesser )?general public licen[cs]e,? (?:\(?[al]?gpl\)? )?"
    r"(?:as published by the free software foundation[;,:]? ?)?(?:either )?\(?(?:version|v\.?) ?"
    r"(?P<number>\d(?:\.\d)?)(?:\.0)?\)?(?: \([al]?gpl[^)]{0,10}\))?(?: of the licen[cs]e)?"
    r"(?P<later>[,;]? \(?(?:or|and),? ?\(?(?:at your option\)?,? ?)?(?:any )?(?:later|newer|greater)|\+)?"
)
TITLE = re.compile(r"gnu (affero |lesser |library )?general public license version (\d(?:\.\d)?), (?:\d+ )?\w+ \d{4}")
CRAN_LINE = re.compile(r"\blicen[cs]e: ([al]?gpl[^\n]{0,40})", re.IGNORECASE)
FDL = re.compile(r"gnu free documentation licen[cs]e[,;]? (?:version|v) ?(1\.[123])(,? or any later| or later)?")
COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z]+(?:-\d(?:\.\d)?)?)")
KINDS = {"": "GPL", "affero": "AGPL", "lesser": "LGPL", "library": "LGPL"}
# https://www.debian.org/doc/debian-policy/ch-docs.html#copyright-information; BSD is one university's alone
DEBIAN = {"Apache-2.0": "Apache-2.0", "Artistic": "Artistic-1.0-Perl", "BSD": "BSD-3-Clause", "CC0-1.0": "CC0-1.0"}
DEBIAN |= {"MPL-1.1": "MPL-1.1", "MPL-2.0": "MPL-2.0"}
VERSIONS = {"GPL": ("1.0", "2.0", "3.0"), "LGPL": ("2.0", "2.1", "3.0"), "AGPL": ("3.0",)}

# name -> what must stand there, in small letters with single blanks
PHRASES: tuple[tuple[str, str], ...] = (
    ("Apache-2.0", r"apache license,? (?:v\. ?|v|version )2\.0"),
    ("MPL-2.0", r"mozilla public licen[cs]e,? (?:v\. ?|v|version )2\.0"),
    ("MPL-1.1", r"mozilla public license,? version 1\.1"),
    ("BSL-1.0", r"boost software license - version 1\.0"),
    ("Unlicense", r"this is free and unencumbered software released into the public domain"),
    ("CC0-1.0", r"cc0 1\.0 universal|creativecommons\.org/publicdomain/zero/1\.0"),
    ("CC-BY-4.0", r"creative commons attribution 4\.0 international|creativecommons\.org/licenses/by/4\.0"),
    ("CC-BY-SA-4.0", r"creative commons attribution-sharealike 4\.0|creativecommons\.org/licenses/by-sa/4\.0"),
    ("CC-BY-NC-4.0", r"creative commons attribution-noncommercial 4\.0|creativecommons\.org/licenses/by-nc/4\.0"),
    ("Zlib", r"altered source versions must be plainly marked as such"),
    ("PSF-2.0", r"psf license agreement for python|python software foundation license version 2"),
    ("PSF-2.0", r"this license agreement is between the copyright holder of this product, and the individual or org"),
    ("CNRI-Python", r"cnri license agreement for python|cnri open source license agreement"),
    ("OFL-1.1", r"sil open font license,? version 1\.1"),
    ("EPL-1.0", r"eclipse public license,? (?:- )?v(?:ersion)? ?1\.0"),
    ("EPL-2.0", r"eclipse public license,? (?:- )?v(?:ersion)? ?2\.0"),
    ("CDDL-1.0", r"common development and distribution license \(cddl\),? version 1\.0"),
    ("Artistic-2.0", r"the artistic license 2\.0"),
    ("SSPL-1.0", r"server side public license"),
    ("BUSL-1.1", r"business source license 1\.1"),
    ("Elastic-2.0", r"elastic license 2\.0"),
    ("WTFPL", r"do what the fuck you want to public license"),
    ("Info-ZIP", r"info-zip license"),
    ("TCL", r"the authors hereby grant permission to use, copy, modify, distribute, and license this software"),
    ("blessing", r"may you do good and not evil"),
    ("OpenSSL", r"openssl toolkit\. \(http"),
    ("HPND", r"permission to use, copy, modify,?(?: and(?:/or)?)? distribute this software and its documentation"),
    ("HPND-sell-variant", r"permission to use, copy, modify, distribute,? and sell this software and its docum"),
    ("ISC", r"permission to use, copy, modify,? (?:and|and/or) distribute this software for any purpose with or "
            r"without fee is hereby granted, provided"),
    ("0BSD", r"permission to use, copy, modify,? and/or distribute this software for any purpose with or without fee "
             r"is hereby granted\. the"),
    ("LicenseRef-scancode-public-domain", r"(?:placed|put|released) (?:it )?(?:in|into|to) the public domain"),
)  # fmt: skip
COMPILED = tuple((name, re.compile(phrase)) for name, phrase in PHRASES)
# Words that no free licence has: what follows them may be notices of others, which free nothing
RESTRICTED = re.compile(
    r"end[- ]user licen[cs]e agreement(?!s)|(?:decompile|reverse[- ]engineer)(?:,| or| and)|"
    r"proprietary and confidential|confidential and proprietary|non-?commercial (?:use|purposes?) only|not for resale|"
    r"you may not (?:copy|distribute|redistribute|sublicense|share|publish|rent)|may not be (?:copied|redistributed)"
)
PERMISSION = "permission is hereby granted, free of charge, to any person obtaining a copy"
REDISTRIBUTION = "redistribution and use in source and binary forms"


def recognised(text: str) -> str | None:
    """All licences whose words are in a text, as one SPDX expression; None when there are none that are known.

    None too where the text forbids what free licences allow.
    """
    plain = _plain(text[:MOST_TEXT])
    if RESTRICTED.search(plain):
        return None
    return all_of({*_gnu(plain), *_bsd(plain), *_mit(plain), *_phrases(plain), *_common(text[:MOST_TEXT], plain)})


def own_terms(text: str) -> str | None:
    """What a package's licence file says: as `recognised`, but not by the words of others alone.

    What somebody's own terms begin with is no licence that is known, though the notices below them are.
    """
    return recognised(text) if recognised(text[:START]) else None


def _plain(text: str) -> str:
    """A text in small letters, without what people put around lines: comment signs, bullets, quotes."""
    bare = re.sub(r"(?m)^[ \t]*(?:[#*;>|.-]|//|dnl\b)+[ \t]*", " ", text.lower())
    return " ".join(re.sub(r"[\"'`“”‘’<>_]|\(c\)|©", " ", bare).split())


def _phrases(plain: str) -> Iterator[str]:
    yield from (name for name, phrase in COMPILED if phrase.search(plain))


def _mit(plain: str) -> Iterator[str]:
    for grant in plain.split(PERMISSION)[1:]:
        words = grant[:MOST_GRANT]
        if "shall not be used in advertising" in words and "x consortium" in words:
            yield "X11"
        elif "above copyright notice" in words or "copyright notice(s) and this permission notice" in words:
            yield "MIT"
        elif "as is" in words:
            yield "MIT-0"


def _bsd(plain: str) -> Iterator[str]:
    for grant in plain.split(REDISTRIBUTION)[1:]:
        words = grant[:MOST_GRANT]
        advertising = "all advertising materials mentioning" in words
        named = re.search(r"nor the names?|neither the names?|endorse or promote products|used to endorse", words)
        if advertising:
            yield "BSD-4-Clause"
        elif named and re.search(r"redistributions? of source code must|redistributions? in binary form", words):
            yield "BSD-3-Clause"
        elif "redistributions in binary form must" in words:
            yield "BSD-2-Clause"


def _gnu(plain: str) -> Iterator[str]:
    for match in GNU.finditer(plain):
        kind = KINDS[(match["kind"] or "").split(" ")[0]]
        yield from _numbered(kind, match["number"], "or-later" if match["later"] else "only")
    granted = {KINDS[(match["kind"] or "").split(" ")[0]] for match in GNU.finditer(plain) if match["later"]}
    for match in TITLE.finditer(plain):
        kind = KINDS[(match[1] or "").strip()]
        if kind not in granted:
            yield from _numbered(kind, match[2], "only")
    for match in FDL.finditer(plain):
        kept = "-no-invariants" if re.search(r"no invariant sections", plain) else ""
        yield f"GFDL-{match[1]}{kept}-{'or-later' if match[2] else 'only'}"


def _numbered(kind: str, number: str, which: str) -> Iterator[str]:
    whole = number if "." in number else f"{number}.0"
    if whole in VERSIONS[kind]:
        yield f"{kind}-{whole}-{which}"


def _common(text: str, plain: str) -> Iterator[str]:
    """Debian's way to name a licence in a text without a form: the file where every system has its words.

    What the text says of the GNU licences itself is more exact than the name of such a file.
    """
    from dsvm.ecosystems.licenses.names import cran

    gnu = {KINDS[(match["kind"] or "").split(" ")[0]] for match in GNU.finditer(plain)}
    for match in CRAN_LINE.finditer(text):
        if (found := cran(match[1].strip())) is not None:
            yield found
            gnu |= {"GPL", "LGPL"}
    for name in {match[1] for match in COMMON.finditer(text)}:
        kind, _, number = name.partition("-")
        if name in DEBIAN:
            yield DEBIAN[name]
        elif kind in ("GPL", "LGPL") and kind not in gnu:
            older = "1.0" if kind == "GPL" else "2.0"
            yield from _numbered(kind, number or older, "only" if number else "or-later")
