"""Small R packages, and a repository of them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from functools import cache

# One with C code that offers it to others by a header, one that calls it from C and from R, one of R alone.
PACKAGES = {
    "twice": {
        "DESCRIPTION": "Package: twice\nVersion: 1.2-3\nTitle: Twice\nDescription: Doubles.\nLicense: MIT\n"
        "Author: A\nMaintainer: A <a@example.org>\nDepends: R (>= 3.5)\n",
        "NAMESPACE": "useDynLib(twice, .registration = TRUE)\nexport(twice)\n",
        "R/twice.R": "#' doubles\ntwice <- function(x) .Call(C_twice, x)\n",
        "man/twice.Rd": "\\name{twice}\n\\alias{twice}\n\\title{Twice}\n\\description{Doubles.}\n\\usage{twice(x)}\n"
        "\\arguments{\\item{x}{a number}}\n",
        "inst/include/twice.h": "static double twice(double x) { return 2 * x; }\n",
        "src/twice.c": """\
#include <Rinternals.h>
#include <R_ext/Rdynload.h>
#include <assert.h>
#include "../inst/include/twice.h"
static SEXP C_twice(SEXP x) { assert(isReal(x)); return ScalarReal(twice(asReal(x))); }
static const R_CallMethodDef calls[] = {{"C_twice", (DL_FUNC) &C_twice, 1}, {NULL, NULL, 0}};
void R_init_twice(DllInfo *dll) { R_registerRoutines(dll, NULL, calls, NULL, NULL); R_useDynamicSymbols(dll, FALSE); }
""",
    },
    "four": {
        "DESCRIPTION": "Package: four\nVersion: 0.4\nTitle: Four\nDescription: Four times.\nLicense: MIT\nAuthor: A\n"
        "Maintainer: A <a@example.org>\nImports: twice (>= 1.2-0), utils\nLinkingTo: twice\nNeedsCompilation: yes\n",
        "NAMESPACE": "useDynLib(four)\nimport(twice)\nexport(four, eight)\n",
        "R/four.R": "four <- function(x) twice(twice(x))\neight <- function(x) .Call('eight', x, PACKAGE = 'four')\n",
        "data/numbers.csv": "n\n1\n2\n",
        "src/four.c": '#include <Rinternals.h>\n#include <twice.h>\n'
        "SEXP eight(SEXP x) { return ScalarReal(twice(twice(twice(asReal(x))))); }\n",
        "exec/run": "#!/bin/sh\necho four\n",
    },
    "broken": {
        "DESCRIPTION": "Package: broken\nVersion: 1.0\nTitle: B\nDescription: B.\nLicense: MIT\nAuthor: A\n"
        "Maintainer: A <a@example.org>\n",
        "NAMESPACE": "",
        "R/broken.R": "stop('it does not load')\n",
    },
}  # fmt: skip


@cache
def tarball(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for file, text in PACKAGES[name].items():
            member = tarfile.TarInfo(f"{name}/{file}")
            member.size = len(text)
            # somebody else's, setuid and writable by all: none of that may survive
            member.mode, member.uid, member.mtime = 0o4777 if file.startswith("exec/") else 0o666, 1234, 1
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def files() -> dict[str, bytes]:
    """What src/contrib of a repository with them holds."""
    found, entries = {}, []
    for name, text in PACKAGES.items():
        description = text["DESCRIPTION"]
        entries.append(f"{description}MD5sum: {hashlib.md5(tarball(name)).hexdigest()}\n")
        version = description.split("Version: ")[1].split()[0]
        found[f"{name}_{version}.tar.gz"] = tarball(name)
    return {**found, "PACKAGES": "\n".join(entries).encode()}
