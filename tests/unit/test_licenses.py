"""What artefacts say of their licences, as SPDX names them: by their fields, and by the words of whole texts."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import conda_channel
import licensed
import pytest
import rpm_archive
from hypothesis import given
from hypothesis import strategies as st
from licensed import AGPL_3, BSD_2, BSD_3, GPL_2, MIT, deb, metadata, npm, pin, tarball, wheel, written

from dsvm import ecosystems
from dsvm.ecosystems import StatesLicenses
from dsvm.ecosystems.licenses import names, reading, texts
from dsvm.model import Stated, all_of, canonical, parse, terms


def said(ecosystem: str, path: Path, **of: str) -> Stated:
    found = ecosystems.get(ecosystem)
    assert isinstance(found, StatesLicenses)
    return found.licenses(pin(**of), path)


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        ("Expat", "MIT"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("GPL", "GPL-1.0-or-later"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("GPL-1+ or Artistic, and BSD-3-clause", "(GPL-1.0-or-later OR Artistic-1.0-Perl) AND BSD-3-Clause"),
        ("GPL-2+ or MPL-1.1 and Expat", "GPL-2.0-or-later OR (MPL-1.1 AND MIT)"),
        ("GPL-3+ with Bison exception", "GPL-3.0-or-later WITH Bison-exception-2.2"),
        ("GPL-2 with some odd exception", "GPL-2.0-only"),
        ("GPL-2+ and Hylafax", "GPL-2.0-or-later AND LicenseRef-debian.main.Hylafax"),
        ("GPL-2 with further restrictions", "LicenseRef-debian.main.GPL-2-with-further-restrictions"),
        ("", None),
        ("()", None),
    ],
)
def test_debian_names(words: str, expression: str | None) -> None:
    assert names.debian(words, lambda word: names.own_name("debian.main.", word)) == expression


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        ("GPLv2+ and LGPLv2+ and BSD", "GPL-2.0-or-later AND LGPL-2.0-or-later AND BSD-3-Clause"),
        ("(GPL+ or Artistic) and MIT", "(GPL-1.0-or-later OR Artistic-1.0-Perl) AND MIT"),
        ("ASL 2.0", "Apache-2.0"),
        ("GPL-2.0-or-later AND MIT", "GPL-2.0-or-later AND MIT"),
        ("Redistributable, no modification permitted", "LicenseRef-Fedora-Redistributable-no-modification"),
        ("pubkey", None),
    ],
)
def test_fedora_names(words: str, expression: str | None) -> None:
    assert names.fedora(words) == expression


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        ("GPL (>= 2)", "GPL-2.0-or-later"),
        ("GPL-2 | GPL-3", "GPL-2.0-only OR GPL-3.0-only"),
        ("MIT + file LICENSE", "MIT"),
        ("BSD_3_clause + file LICENSE", "BSD-3-Clause"),
        ("Apache License (== 2.0)", "Apache-2.0"),
        ("GPL-2 | file LICENSE", "GPL-2.0-only"),
        ("file LICENSE", None),
        ("GPL-2 + file TERMS", None),
    ],
)
def test_cran_names(words: str, expression: str | None) -> None:
    assert names.cran(words) == expression


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        ("MIT License", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("BSD", None),  # any of several
        ("NVIDIA Proprietary Software", None),
        ("UNLICENSED", None),
        ("SEE LICENSE IN LICENSE.md", None),
    ],
)
def test_loose_names(words: str, expression: str | None) -> None:
    assert names.loose(words) == expression


def test_a_classifier_that_names_several_licences_names_none() -> None:
    assert names.trove(["License :: OSI Approved :: MIT License", "Topic :: Software"]) == "MIT"
    assert names.trove(["License :: OSI Approved", "License :: OSI Approved :: BSD License"]) is None
    assert names.trove(["License :: OSI Approved :: MIT License", "License :: Other/Proprietary License"]) is None


READERS = (names.loose, names.debian, names.fedora, names.cran, lambda text: names.own_name("a.b.", text))
WORDS = st.sampled_from(
    ["MIT", "GPL-2+", "GPLv3", "and", "or", "OR", "with", "(", ")", ",", "|", "+ file LICENSE", "x"]
)


@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=12).map(" ".join)))
def test_whatever_is_written_gives_a_canonical_expression_or_none(text: str) -> None:
    for read in READERS:
        found = read(text)
        assert found is None or canonical(found) == found


@given(st.text(max_size=400))
def test_whatever_a_text_says_gives_an_expression_or_none(text: str) -> None:
    found = texts.recognised(text + MIT)
    assert found is not None and "MIT" in terms(found)
    assert all(canonical(one) for one in [texts.recognised(text)] if one)


LICENSES = st.sampled_from(["MIT", "ISC", "GPL-2.0-only", "Apache-2.0 WITH LLVM-exception", "LicenseRef-a.b-C"])
EXPRESSIONS = st.recursive(
    LICENSES,
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
        lambda one: f"({one[0]}) {one[1]} ({one[2]})"
    ),
    max_leaves=6,
)


@given(EXPRESSIONS, EXPRESSIONS)
def test_terms_do_not_depend_on_the_order(one: str, other: str) -> None:
    for operator in ("AND", "OR"):
        assert terms(f"({one}) {operator} ({other})") == terms(f"({other}) {operator} ({one})")
    joined = all_of([one, other])
    assert joined is not None and terms(joined) == sorted({*terms(one), *terms(other)})
    assert canonical(joined) and parse(joined)


# --- whole texts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        (MIT, "MIT"),
        (BSD_2, "BSD-2-Clause"),
        (BSD_3, "BSD-3-Clause"),
        (GPL_2, "GPL-2.0-or-later"),
        (AGPL_3, "AGPL-3.0-only"),
        ("# " + GPL_2.replace("\n", "\n# "), "GPL-2.0-or-later"),
        (MIT + BSD_3 + GPL_2, "BSD-3-Clause AND GPL-2.0-or-later AND MIT"),
        ("Its terms are in /usr/share/common-licenses/GPL-2.", "GPL-2.0-only"),
        (GPL_2 + "See /usr/share/common-licenses/GPL-2", "GPL-2.0-or-later"),
        ("Server Side Public License\nVersion 1", "SSPL-1.0"),
        ("You may use it on Sundays.", None),
        ("", None),
    ],
)
def test_texts_by_their_words(text: str, expression: str | None) -> None:
    assert texts.recognised(text) == expression


# --- artefacts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "files", "expression"),
    [
        (["License-Expression: MIT", "License: GPL"], {}, "MIT"),
        (["License: GPLv3+"], {}, "GPL-3.0-or-later"),
        (
            ["License: BSD", "Classifier: License :: OSI Approved :: BSD License"],
            {"licenses/LICENSE": BSD_2},
            "BSD-2-Clause",
        ),
        (["Classifier: License :: OSI Approved :: MIT License"], {"LICENSE": GPL_2}, "MIT"),
        ([], {"LICENSE.txt": AGPL_3}, "AGPL-3.0-only"),
        (
            ["License: BSD"],
            {"LICENSE": BSD_3, "LICENSES_bundled.txt": AGPL_3, "licenses/x/LICENSE": GPL_2},
            "BSD-3-Clause",
        ),
        (["License: NVIDIA Proprietary Software"], {"License.txt": "NVIDIA Software License Agreement"}, None),
        (["License-Expression: LicenseRef-NVIDIA-Proprietary"], {}, "LicenseRef-NVIDIA-Proprietary"),
    ],
)
def test_wheels(tmp_path: Path, lines: list[str], files: dict[str, str], expression: str | None) -> None:
    found = said("pypi", written(tmp_path, wheel(metadata(*lines), files)), file="demo-1.0-py3-none-any.whl")
    assert found.expression == expression and bool(found.why) == (expression is None)
    assert found.file.startswith("demo-1.0.dist-info/") and found.said


EULA = "END USER LICENSE AGREEMENT\nYou get a licence that you may not pass on.\n" + "It is ours.\n" * 400
NOTICES = "It brings work of others:\n" + MIT + BSD_3


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", EULA + NOTICES),
        ("", "Our own terms.\n" * 400 + NOTICES),
        ("", "You may not reverse engineer, decompile or disassemble it.\n" + NOTICES),
        ("NVIDIA Proprietary Software", NOTICES),
        ("Commercial", MIT),
        ("UNLICENSED", MIT),
    ],
)
def test_notices_of_others_do_not_free_a_package(tmp_path: Path, words: str, text: str) -> None:
    path = written(tmp_path, wheel(metadata(*([f"License: {words}"] if words else [])), {"License.txt": text}))
    assert said("pypi", path, file="demo-1.0-py3-none-any.whl").expression is None
    path = written(tmp_path, npm({"license": words or "SEE LICENSE IN LICENSE"}, {"LICENSE": text}))
    assert said("npm", path).expression is None


def test_a_classifier_of_other_terms_is_no_invitation_to_read_texts(tmp_path: Path) -> None:
    lines = metadata("Classifier: License :: Other/Proprietary License")
    path = written(tmp_path, wheel(lines, {"LICENSE": MIT}))
    assert said("pypi", path, file="demo-1.0-py3-none-any.whl").expression is None


def test_source_distributions(tmp_path: Path) -> None:
    path = written(tmp_path, tarball({"demo-1.0/PKG-INFO": metadata("License: BSD"), "demo-1.0/LICENSE": BSD_3}))
    assert said("pypi", path, file="demo-1.0.tar.gz").expression == "BSD-3-Clause"


DEP5 = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 Nobody
License: GPL-2+

Files: debian/*
Copyright: 2021 Somebody
License: Expat

Files: old/*
Copyright: 1990 Them
License: Hylafax
 Permission to use it.
"""


@pytest.mark.parametrize("how", [("w:xz", "data.tar.xz"), ("w:gz", "data.tar.gz"), ("w", "data.tar")])
def test_debian_packages(tmp_path: Path, how: tuple[str, str]) -> None:
    path = written(
        tmp_path, deb({"./usr/bin/demo": "#!", "./usr/share/doc/demo/copyright": DEP5}, how=how[0], name=how[1])
    )
    found = said("apt", path)
    assert found.expression == "GPL-2.0-or-later AND LicenseRef-debian.main.Hylafax AND MIT"
    assert (found.main, found.file) == ("GPL-2.0-or-later", "usr/share/doc/demo/copyright")
    elsewhere = said("apt", path, registry="vendor", file="dists/demo.deb").expression
    assert elsewhere == "GPL-2.0-or-later AND LicenseRef-vendor.other.Hylafax AND MIT"


def test_debian_packages_with_a_text_of_no_form(tmp_path: Path) -> None:
    found = said("apt", written(tmp_path, deb({"usr/share/doc/demo/copyright": "It is ours.\n" + GPL_2})))
    assert found.expression == "GPL-2.0-or-later" and found.by_words


@pytest.mark.parametrize(
    ("link", "target", "other"),
    [
        ("usr/share/doc/demo", "demo-base", "demo-base"),
        ("./usr/share/doc/demo/copyright", "../demo-base/copyright", "demo-base"),
        ("./usr/share/doc/demo/copyright", "/usr/share/doc/demo-base/copyright", "demo-base"),
        ("usr/share/doc/demo", "../../../../../../etc", None),
        ("usr/share/doc/demo/copyright", "/etc/passwd", None),
    ],
)
def test_debian_packages_that_refer_to_another(tmp_path: Path, link: str, target: str, other: str | None) -> None:
    found = said("apt", written(tmp_path, deb({}, {link: target})))
    assert found.same_as == other and found.expression is None and bool(found.why) == (other is None)


@pytest.mark.parametrize(
    ("package", "files", "expression"),
    [
        ({"license": "MIT"}, {}, "MIT"),
        ({"license": "(MIT OR GPL-3.0)"}, {}, "MIT OR GPL-3.0-only"),
        ({"license": {"type": "ISC"}}, {}, "ISC"),
        ({"licenses": [{"type": "MIT"}, {"type": "BSD-3-Clause"}]}, {}, "MIT OR BSD-3-Clause"),
        ({"license": "SEE LICENSE IN LICENSE"}, {"LICENSE": BSD_3}, "BSD-3-Clause"),
        ({"license": "SEE LICENSE"}, {"LICENSE": "You may not."}, None),
        ({"license": "UNLICENSED"}, {}, None),
        ({"license": 7}, {}, None),
        ({}, {}, None),
    ],
)
def test_npm_packages(
    tmp_path: Path, package: dict[str, object], files: dict[str, str], expression: str | None
) -> None:
    found = said("npm", written(tmp_path, npm(package, files)))
    assert found.expression == expression and bool(found.why) == (expression is None)


@pytest.mark.parametrize(
    ("words", "files", "expression"),
    [
        ("GPL (>= 2)", {}, "GPL-2.0-or-later"),
        ("file LICENSE", {"demo/LICENSE": BSD_2}, "BSD-2-Clause"),
        ("Terms", {}, None),
    ],
)
def test_r_packages(tmp_path: Path, words: str, files: dict[str, str], expression: str | None) -> None:
    path = written(tmp_path, tarball({"demo/DESCRIPTION": f"Package: demo\nVersion: 1.0\nLicense: {words}\n", **files}))
    assert said("cran", path).expression == expression


@pytest.mark.parametrize("old_format", [False, True])
def test_conda_packages(tmp_path: Path, old_format: bool) -> None:
    channel = tmp_path / "channel"
    file = conda_channel.publish(channel, "demo", "1.0", {"share/x": "x"}, old_format=old_format)
    found = said("conda", channel / file)
    assert (found.expression, found.file) == ("MIT", "info/index.json")


def test_rpm_packages(tmp_path: Path) -> None:
    path = rpm_archive.rpm(tmp_path, "demo")
    assert said("dnf", path).expression == "MIT"
    assert rpm_archive.rpm(tmp_path, "other").read_bytes().count(b"MIT\0")  # what comes next changes the tag itself
    data = path.read_bytes().replace(b"MIT\0", b"BSD\0")
    assert said("dnf", written(tmp_path, data)).expression == "BSD-3-Clause"


def test_julia_packages(tmp_path: Path) -> None:
    path = written(tmp_path, tarball({"LICENSE.md": MIT, "src/Demo.jl": GPL_2, "Project.toml": 'name = "Demo"'}))
    assert said("julia", path).expression == "MIT"
    artifact = written(tmp_path, tarball({"lib/x.so": "x", "share/licenses/Demo/LICENSE": BSD_3}))
    assert said("julia", artifact).expression == "BSD-3-Clause"


# --- what somebody made to break us ------------------------------------------------------------------------

HUGE = "x" * (reading.MOST + 1)


def zip_bomb() -> bytes:
    """A METADATA of a gigabyte that its header calls small."""
    data = io.BytesIO()
    with (
        zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("demo-1.0.dist-info/METADATA", "w") as out,
    ):
        for _ in range(64):
            out.write(b"\0" * (1 << 20))
    return data.getvalue()


def tar_bomb() -> bytes:
    """Zeros without end, before what is looked for."""
    data = io.BytesIO()
    with gzip.GzipFile(fileobj=data, mode="w", compresslevel=9, mtime=0) as out:
        member = tarfile.TarInfo("package/zeros")
        member.size = 600 << 20
        out.write(member.tobuf())
        for _ in range(600):
            out.write(b"\0" * (1 << 20))
    return data.getvalue()


def long_header() -> bytes:
    """A pax header that would be read into memory as a whole."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, 200 << 20
    return gzip.compress(member.tobuf() + b"\0" * (2 << 20))


@pytest.mark.parametrize("ecosystem", ["apt", "conda", "cran", "dnf", "julia", "npm", "pypi"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"PK\5\6" + b"\0" * 18,
        b"!<arch>\n",
        b"\x1f\x8b",
        b"<html>",
        b"\xed\xab\xee\xdb" + b"\xff" * 500,
    ],
)
def test_what_is_no_artefact_is_unknown(tmp_path: Path, ecosystem: str, data: bytes) -> None:
    for file in ("demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"):
        found = said(ecosystem, written(tmp_path, data), file=file)
        assert found.expression is None and found.why


@pytest.mark.parametrize(
    ("ecosystem", "data"),
    [
        ("pypi", wheel(metadata("License: MIT") + "\0\0")),
        ("pypi", wheel(HUGE)),
        ("pypi", zip_bomb()),
        ("pypi", wheel(metadata("License: <b>free</b>\x1b[31m"))),
        ("apt", deb({"usr/share/doc/demo/copyright": b"\xff\0\x01" * 100})),
        ("apt", deb({"usr/share/doc/demo/copyright": HUGE})),
        ("apt", deb({"../../usr/share/doc/demo/copyright": MIT})),
        ("apt", deb({"usr/share/doc/other/copyright": MIT})),
        ("apt", deb({"usr/share/doc/demo/copyright": "<!DOCTYPE html><html><body>404</body></html>"})),
        ("apt", deb({"usr/share/doc/demo/copyright": "Format: 1.0\n\nFiles: *\nLicense:\n"})),
        ("npm", tar_bomb()),
        ("npm", long_header()),
        ("npm", tarball({"package/package.json": "[" * 100_000})),
        ("npm", tarball({"package/package.json": "{"})),
        ("npm", npm({"license": {"type": {"type": "MIT"}}})),
        ("npm", npm({"license": "(" * 5000})),
        ("npm", npm({"license": "(MIT OR " * 200 + "MIT" + ")" * 200})),
        ("pypi", wheel(metadata("License-Expression: " + "(MIT OR " * 1500 + "MIT" + ")" * 1500))),
        ("cran", tarball({"demo/DESCRIPTION": "License: " + "GPL-2 | " * 5000})),
    ],
)  # fmt: skip
def test_hostile_artefacts_are_unknown_with_a_reason(tmp_path: Path, ecosystem: str, data: bytes) -> None:
    found = said(ecosystem, written(tmp_path, data), file="demo-1.0-py3-none-any.whl" if ecosystem == "pypi" else "")
    assert found.expression is None and found.why
    assert found.said.isprintable() and len(found.said) <= reading.SHOWN
    assert Stated.model_validate(json.loads(found.model_dump_json())) == found


@given(st.binary(max_size=300), st.integers(0, 400))
def test_a_damaged_wheel_is_unknown_or_says_what_it_says(noise: bytes, place: int) -> None:
    import tempfile

    whole = wheel(metadata("License-Expression: MIT"))
    data = whole[:place] + noise + whole[place + len(noise) :]
    with tempfile.TemporaryDirectory() as folder:
        found = said("pypi", licensed.written(Path(folder), data), file="demo-1.0-py3-none-any.whl")
    assert found.expression or found.why
