"""Names of licences as packages write them -> SPDX: https://spdx.org/licenses/

Each function gives a canonical SPDX expression, or None for words that nothing is sure of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from dsvm.model import all_of, canonical, spdx_name

MOST_WORDS = 2000  # characters of an expression in a field; what is longer is a text
OPERATOR = re.compile(r"([()])|\s+(and/or|and|or|&&?|\|\|?)\s+", re.IGNORECASE)
GNU = re.compile(
    r"(?:gnu )?(?P<kind>[al]?)gpl(?:[ -]*\(?v?\.? ?(?P<number>\d(?:\.\d)?)(?:\.0)?\)?)?"
    r"(?P<later>\+|[ -]or[ -](?:later|newer|greater))?(?P<only>[ -]only)?",
    re.IGNORECASE,
)
GNU_LONG = re.compile(
    r"(?:the )?(?:gnu )?(?P<kind>affero |lesser |library |library or lesser )?general public licen[cs]e"
    r"(?:[ ,-]*\(?(?:[al]?gpl)?[ -]?\(?(?:v|version)?\.? ?(?P<number>\d(?:\.\d)?)(?:\.0)?(?P<plus>\+)?\)?)?"
    r"(?P<later> or (?:later|newer|any later version).*)?(?: \([al]?gpl(?:v\d(?:\.\d)?\+?)?\))?",
    re.IGNORECASE,
)
VAGUE = re.compile(
    r"(?:(?:new |modified |revised )?(?:bsd|apache|python|gpl|lgpl|mit)?(?:[ -](?:software|style|like))?"
    r"(?: ?licen[cs]e)?|dual(?:[ -]licen[cs]ed?)?|unknown"
    r"|\W*(?:see|file|in)\W+(?:[\w ]{0,20} )?(?:licen[cs]e|copying)\W.{0,40}"
    r"|\W*(?:see|file) (?:licen[cs]e|copying)|licen[cs]e\.\w{1,4})",
    re.IGNORECASE,
)
KINDS = {"": "GPL", "a": "AGPL", "l": "LGPL", "affero": "AGPL", "lesser": "LGPL", "library": "LGPL"}
# the versions that there are; without one any of them may be chosen
VERSIONS = {"GPL": ("1.0", "2.0", "3.0"), "LGPL": ("2.0", "2.1", "3.0"), "AGPL": ("3.0", "1.0")}
GFDL = re.compile(r"(?:gnu )?(?:gfdl|fdl)(?P<niv>-niv)?(?:-?v?(?P<number>1\.[123]))?(?P<later>\+|-or-later)?"
                  r"(?P<no>-no-invariants?)?", re.IGNORECASE)  # fmt: skip

# What is the same everywhere, in small letters without 'license', 'version' and the like (see `_plain`)
COMMON = {
    "2-clause bsd": "BSD-2-Clause",
    "3-clause bsd": "BSD-3-Clause",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache v2": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache software 2.0": "Apache-2.0",
    "apache2": "Apache-2.0",
    "apache2.0": "Apache-2.0",
    "asl 2.0": "Apache-2.0",
    "artistic 2.0": "Artistic-2.0",
    "boost": "BSL-1.0",
    "boost-1.0": "BSL-1.0",
    "boost software": "BSL-1.0",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd2": "BSD-2-Clause",
    "bsd3": "BSD-3-Clause",
    "bsd_2_clause": "BSD-2-Clause",
    "bsd_3_clause": "BSD-3-Clause",
    "bsl-1": "BSL-1.0",
    "cc0": "CC0-1.0",
    "cc0 1.0 universal": "CC0-1.0",
    "eclipse public 1.0": "EPL-1.0",
    "eclipse public 2.0": "EPL-2.0",
    "expat": "MIT",
    "isc": "ISC",
    "mit": "MIT",
    "mit/x11": "MIT",
    "mit x11": "MIT",
    "modified bsd": "BSD-3-Clause",
    "mozilla public 1.1": "MPL-1.1",
    "mozilla public 2.0": "MPL-2.0",
    "mozilla public 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl 1.1": "MPL-1.1",
    "mpl 2.0": "MPL-2.0",
    "mpl-2": "MPL-2.0",
    "mpl2": "MPL-2.0",
    "new bsd": "BSD-3-Clause",
    "ofl-1.1": "OFL-1.1",
    "psf": "PSF-2.0",
    "psf-2": "PSF-2.0",
    "psfl": "PSF-2.0",
    "python software foundation": "PSF-2.0",
    "public domain": "LicenseRef-scancode-public-domain",
    "public-domain": "LicenseRef-scancode-public-domain",
    "public_domain": "LicenseRef-scancode-public-domain",
    "sil-ofl-1.1": "OFL-1.1",
    "simplified bsd": "BSD-2-Clause",
    "the unlicense (unlicense)": "Unlicense",
    "wtfpl-2": "WTFPL",
    "zlib/libpng": "Zlib",
    "zope public 2.1": "ZPL-2.1",
    "zpl 2.1": "ZPL-2.1",
}  # fmt: skip

# https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/#license-short-name, and what packages write
DEBIAN = {
    "all-permissive": "FSFAP",
    "apache": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "artistic-1": "Artistic-1.0",
    "bds-3-clause": "BSD-3-Clause",
    "bsd-3-clauses": "BSD-3-Clause",
    "bsd-4": "BSD-4-Clause",
    "bsd-0-clause": "0BSD",
    "edl-1.0": "BSD-3-Clause",
    "lpgl-2.1+": "LGPL-2.1-or-later",
    "openldap-2.8": "OLDAP-2.8",
    "pd": "LicenseRef-scancode-public-domain",
    "python": "Python-2.0",
    "bzip": "bzip2-1.0.6",
}  # fmt: skip

# https://fedoraproject.org/wiki/Licensing:Main, as it was before Fedora took SPDX's names
FEDORA = {
    "artistic": "Artistic-1.0-Perl",
    "artistic clarified": "ClArtistic",
    "bitstream vera": "Bitstream-Vera",
    "boost": "BSL-1.0",
    "bsd with advertising": "BSD-4-Clause",
    "bsd": "BSD-3-Clause",
    "cc-by": "CC-BY-4.0",
    "cc-by-sa": "CC-BY-SA-4.0",
    "copyright only": "LicenseRef-Fedora-Copyright-only",
    "cpl": "CPL-1.0",
    "epl": "EPL-1.0",
    "fsf ulr": "FSFUL",
    "freetype": "FTL",
    "gfdl": "GFDL-1.1-or-later",
    "hsrl": "HPND",
    "lppl": "LPPL-1.3c",
    "mirOS": "MirOS",
    "mit with advertising": "MIT-advertising",
    "mplv1.1": "MPL-1.1",
    "mplv2.0": "MPL-2.0",
    "ofl": "OFL-1.1",
    "openldap": "OLDAP-2.8",
    "openssl": "OpenSSL",
    "php": "PHP-3.01",
    "python": "Python-2.0",
    "redistributable, no modification permitted": "LicenseRef-Fedora-Redistributable-no-modification",
    "romio": "LicenseRef-Fedora-Romio",
    "sissl": "SISSL",
    "sleepycat": "Sleepycat",
    "tcl": "TCL",
    "tmate": "TMate",
    "ucd": "Unicode-DFS-2015",
    "unicode": "Unicode-DFS-2016",
    "vim": "Vim",
    "w3c": "W3C",
    "zplv2.1": "ZPL-2.1",
}  # fmt: skip

# R's own share/licenses/license.db: https://svn.r-project.org/R/trunk/share/licenses/license.db
CRAN = {
    "artistic-1.0": "Artistic-1.0",
    "bsl": "BSL-1.0",
    "bsl-1.0": "BSL-1.0",
    "cecill": "CECILL-2.0",
    "cecill-2": "CECILL-2.0",
    "epl": "EPL-1.0",
    "fdl": "GFDL-1.3-or-later",
    "lucent public": "LPL-1.02",
    "mpl": "MPL-1.1",
    "unlimited": "LicenseRef-CRAN-Unlimited",
}  # fmt: skip

# https://github.com/pypa/trove-classifiers: those that name one licence, and None for those that name several
TROVE = {
    "Academic Free License (AFL)": "AFL-3.0",
    "Apache Software License": None,
    "BSD License": None,
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CEA CNRS Inria Logiciel Libre License, version 2.1 (CeCILL-2.1)": "CECILL-2.1",
    "CMU License (MIT-CMU)": "MIT-CMU",
    "Common Development and Distribution License 1.0 (CDDL-1.0)": "CDDL-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.1 (EUPL 1.1)": "EUPL-1.1",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License (GPL)": "GPL-1.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-2.0-or-later",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PostgreSQL License": "PostgreSQL",
    "Python Software Foundation License": "PSF-2.0",
    "SIL Open Font License 1.1 (OFL-1.1)": "OFL-1.1",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "University of Illinois/NCSA Open Source License": "NCSA",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "Zope Public License": "ZPL-2.1",
    "zlib/libpng License": "Zlib",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Public Domain": "LicenseRef-scancode-public-domain",
}

# Of those that are named most, in small letters; any other one counts as its licence without it, which allows less
EXCEPTIONS = {
    "bison": "Bison-exception-2.2",
    "classpath": "Classpath-exception-2.0",
    "font": "Font-exception-2.0",
    "libtool": "Libtool-exception",
    "linux-syscall-note": "Linux-syscall-note",
    "llvm": "LLVM-exception",
    "gcc": "GCC-exception-3.1",
}


def loose(text: str) -> str | None:
    """What people write in a field that has no rules: 'MIT License', 'GPLv3+', 'Apache License, Version 2.0'."""
    if len(text) > MOST_WORDS:
        return None
    # before Cargo took SPDX's operators, Rust's packages wrote MIT/Apache-2.0
    told = re.sub(r"(?<=[\w.])/(?=(?:Apache|MIT|BSD|GPL|MPL|Unlicense|ISC)\b)", " OR ", text.strip())
    return canonical(text.strip()) or _expression(told, lambda word: _word(word, {}))


def debian(text: str, own: Callable[[str], str | None] = lambda word: None) -> str | None:
    """A License field of a Debian copyright file; `own` names a licence that the file itself names.

    https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/#license-syntax
    """
    if len(text) > MOST_WORDS:
        return None

    # after a comma an operator binds less than those without one
    parts = re.split(r",\s+(and|or)\s+", text.replace("|", " or ").strip(), flags=re.IGNORECASE)
    joined = " ".join(one if number % 2 else f"({one})" for number, one in enumerate(parts)) if parts[1:] else parts[0]
    return _expression(joined, lambda word: _word(word, DEBIAN), own) or own(text)


def fedora(text: str) -> str | None:
    """The License tag of an RPM package, by SPDX's names or by Fedora's older ones."""
    if len(text) > MOST_WORDS:
        return None
    return canonical(text.strip()) or _expression(text, lambda word: _word(word, FEDORA))


def cran(text: str) -> str | None:
    """https://cran.r-project.org/doc/manuals/r-release/R-exts.html#Licensing"""
    if len(text) > MOST_WORDS:
        return None
    branches = [_cran(branch.strip()) for branch in text.split("|")]
    known = [one for one in branches if one is not None]
    return canonical(" OR ".join(known)) if known else None  # one that is known may be chosen


def trove(classifiers: Iterable[str]) -> str | None:
    """The licences that classifiers of a Python package name; None when one of them may be several."""
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: ")]
    named = [one for one in named if one != "OSI Approved"]
    found = [TROVE.get(one) for one in named]
    known = [one for one in found if one is not None]
    return all_of(known) if known and len(known) == len(found) else None


def is_vague(words: str) -> bool:
    """Whether words leave it to a licence file to say more: none, `BSD`, `see LICENSE.txt`.

    Any others that are unknown may be terms of somebody's own, beside which such a file only names what it brings.
    """
    return VAGUE.fullmatch(words.strip()) is not None


def own_name(prefix: str, word: str) -> str | None:
    """A LicenseRef for a name that only its package knows; None when nothing of it is left."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", word.encode("ascii", "ignore").decode())[:60].strip("-")
    return canonical(f"LicenseRef-{prefix}{name}") if name else None


def _cran(text: str) -> str | None:
    name, *files = (part.strip() for part in text.split(" + "))
    if any(not re.fullmatch(r"file LICEN[SC]E", one) for one in files):
        return None
    match = re.fullmatch(r"([^()]+?)\s*\(\s*(>=|>|==|<=|<)\s*([\d.]+)\s*\)", name)
    if match is None:
        return _word(re.sub(r"[ _-]clause", "-clause", name.replace("BSD_", "BSD-")), CRAN)
    later = "+" if match[2] in (">=", ">") else ""
    return _word(f"{match[1]} {match[3]}{later}", CRAN)


def _expression(
    text: str, known: Callable[[str], str | None], own: Callable[[str], str | None] = lambda word: None
) -> str | None:
    """Names between operators and brackets, each by `known`, or by `own`; None when one of them is neither."""
    if (whole := known(text.strip())) is not None:
        return whole
    made: list[str] = []
    for number, part in enumerate(re.split(OPERATOR, text)):
        if part is None or not part.strip():
            continue
        if number % 3:
            made.append({"or": "OR", "|": "OR", "||": "OR", "(": "(", ")": ")"}.get(part.lower(), "AND"))
            continue
        name = part.strip(" ,")
        found = known(name) or own(name)
        if found is None:
            return None
        made.append(f"({found})")
    return canonical(" ".join(made))


def _word(text: str, table: dict[str, str]) -> str | None:
    """One licence by its name, with an exception or without."""
    base, with_, exception = _without_exception(text)
    found = table.get(base.lower()) or COMMON.get(_plain(base)) or _gnu(base) or table.get(_plain(base))
    found = found or spdx_name(base)
    if found is None or not with_:
        return canonical(found) if found else None
    name = EXCEPTIONS.get(exception)
    return canonical(f"{found} WITH {name}" if name and " " not in found else found)


def _without_exception(text: str) -> tuple[str, bool, str]:
    """A name without its exception, whether it has one, and which, in small letters."""
    match = re.fullmatch(
        r"(.+?)(?:\s+with\s+|-with-)(.+?)(?:[ -](?:special )?exceptions?.*)?|(\S+?\+)-(\S+)-exception", text, re.I
    )
    if match is None or re.fullmatch(r".*[ -]with[ -](?!.*exception|.*syscall).*", text, re.I):
        return text, False, ""
    base, name = (match[1], match[2]) if match[1] else (match[3], match[4])
    return base, True, name.lower()


def _plain(text: str) -> str:
    """A name in small letters without the words that make no difference."""
    small = re.sub(r"[\s,\"']+", " ", text.lower()).strip()
    small = re.sub(r"^the |\b(licen[cs]ed?|version)\b|\(license\)", " ", small)
    small = re.sub(r"\bv(?=\d)", "", small) if small.startswith(("apache", "mozilla", "mpl")) else small
    return " ".join(small.split()).removesuffix(" only")


def _gnu(text: str) -> str | None:
    """GPL-2+, LGPLv3, GNU General Public License v2 or later, GFDL-NIV-1.3+."""
    text = " ".join(text.replace(",", " ").split())
    if match := GFDL.fullmatch(text):
        return _gfdl(match)
    match = GNU.fullmatch(re.sub(r"(?i)[ ,]*\b(licen[cs]e|version)\b[ ,]*", " ", text).strip())
    later = bool(match and match["later"])
    if match is None:
        match = GNU_LONG.fullmatch(text)
        if match is None:
            return None
        later = bool(match["later"] or match["plus"])
    kind = KINDS[(match["kind"] or "").strip().lower().partition(" ")[0]]
    if match["number"] is None:
        return f"{kind}-{VERSIONS[kind][0]}-or-later"
    number = match["number"] if "." in match["number"] else f"{match['number']}.0"
    return f"{kind}-{number}-{'or-later' if later else 'only'}" if number in VERSIONS[kind] else None


def _gfdl(match: re.Match[str]) -> str:
    number = match["number"] or "1.1"
    later = "or-later" if match["later"] or not match["number"] else "only"
    kept = "-no-invariants" if match["niv"] or match["no"] else ""
    return f"GFDL-{number}{kept}-{later}"
