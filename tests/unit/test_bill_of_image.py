"""The bill of a built image: what stands in it by its own records, and where that is not what the lock says."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from fake_engine import FakeEngine
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL
from small_world import ROOT
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from test_pypi import wheel

from dsvm import ecosystems, pipeline
from dsvm.container import need_ours
from dsvm.ecosystems import BringsOthers, Inside, LeavesRecords, Recorded
from dsvm.ecosystems.pypi.inside import inside
from dsvm.host import find_engine
from dsvm.ledger import Inventory, Standing
from dsvm.model import InputError, LockError, Pin, Plan
from dsvm.plan import make_plan
from dsvm.sbom import OTHERS, UNLOCKED, Bill, bill_of, bill_of_image, to_cyclonedx, to_spdx
from dsvm.sbom.bill import FILES, POOL, RECORD, Component
from dsvm.screen.bills import show_bill
from dsvm.session import Session
from dsvm.store import Store

SITE = "/opt/envs/base/lib/python3.11/site-packages"
PLAN = make_plan(tiny.catalog(), tiny.lock())


def locked() -> Bill:
    return bill_of(tiny.catalog(), tiny.lock(), Store(Path("/nonexistent")))


def record_of(name: str, version: str, ecosystem: str, env: str | None) -> str:
    if ecosystem == "apt":
        return "/var/lib/dpkg/status"
    if ecosystem == "url":
        return "/opt/editor/.dsvm-url"
    return f"/opt/envs/{env}/lib/python3.11/site-packages/{name}-{version}.dist-info/METADATA"


def image(*more: Standing, without: str = "", differing: Mapping[str, tuple[str, ...]] | None = None) -> Inventory:
    """The tiny image as it should be, with `more` in it and `without` one package."""
    found = []
    for one in locked().components:
        path = record_of(one.name, one.version, one.ecosystem, one.env)
        owners = (f"{one.name} {one.version}",) if one.ecosystem == "pypi" else ()
        if one.name != without:
            found.append(Standing(one.ecosystem, one.name, one.version, path, owners=owners))
    telling = {f"{one.name} {one.version}" for one in locked().components if one.ecosystem in ("apt", "pypi")}
    return Inventory("sha256:" + "a" * 64, (*found, *more), frozenset(telling), dict(differing or {}), (), {}, {})


def extra(name: str = "evil", version: str = "6.6", **more: Any) -> Standing:
    return Standing("pypi", name, version, f"{SITE}/{name}-{version}.dist-info/METADATA", **more)


# --- a good image, and others ------------------------------------------------------------------------------


def test_the_bills_of_a_good_image_and_of_its_lock_agree() -> None:
    lock, found = locked(), bill_of_image(locked(), image(), PLAN)
    assert found.missing == () and found.with_evidence(UNLOCKED) == () and found.with_evidence(OTHERS) == ()
    told = {one.ecosystem: one.evidence for one in found.components}
    assert told["pypi"] == told["apt"] == FILES
    for one, other in zip(found.components, lock.components, strict=True):
        assert replace(one, evidence=None, sha256=other.sha256) == other
        assert one.sha256 == (other.sha256 if one.evidence == FILES else None)
    assert found.serial != lock.serial and found.image


def test_what_pip_has_added_is_named() -> None:
    found = bill_of_image(locked(), image(extra(license="MIT")), PLAN)
    (ref,) = found.with_evidence(UNLOCKED)
    (one,) = (one for one in found.components if one.ref == ref)
    assert (one.name, one.env, one.section, one.sha256, one.license) == ("evil", "base", "env-base", None, "MIT")
    assert one.purl.to_string() == "pkg:pypi/evil@6.6"
    assert one.needs is None and one.ref in dict(found.edges())[found.ref]


def test_what_was_removed_is_named_and_needed_by_nobody() -> None:
    found = bill_of_image(locked(), image(without="numpy"), PLAN)
    assert found.missing == ("env-base/numpy@2.4.0",)
    assert "env-base/numpy@2.4.0" not in {ref for _, needs in found.edges() for ref in needs}
    assert "env-base/numpy@2.4.0" in to_cyclonedx(found) and "env-base/numpy@2.4.0" in to_spdx(found)


def test_another_version_is_one_added_and_one_missing() -> None:
    found = bill_of_image(locked(), image(extra("numpy", "1.0"), without="numpy"), PLAN)
    assert found.missing == ("env-base/numpy@2.4.0",)
    assert [ref.rpartition("/")[2] for ref in found.with_evidence(UNLOCKED)] == ["numpy@1.0"]


def test_what_has_other_files_has_no_digest() -> None:
    differing = {"numpy 2.4.0": (f"{SITE}/numpy/__init__.py",)}
    found = {one.ref: one for one in bill_of_image(locked(), image(differing=differing), PLAN).components}
    assert (found["env-base/numpy@2.4.0"].evidence, found["env-base/numpy@2.4.0"].sha256) == (OTHERS, None)
    elsewhere = {"numpy 2.4.0": ("/opt/envs/other/lib/python3.11/site-packages/numpy/__init__.py",)}
    found = {one.ref: one for one in bill_of_image(locked(), image(differing=elsewhere), PLAN).components}
    assert found["env-base/numpy@2.4.0"].evidence == FILES


def npm_bill() -> tuple[Bill, Plan]:
    """The tiny image with a program of npm in place of its editor."""
    extra = {"bundled": [], "locks": {}, "nested": [], "node": "lib/node", "prefix": "/opt/editor", "program": "editor"}
    pins = [tiny.pin("npm", name, "1.0.0").model_copy(update={"registry": "npm"}) for name in ("editor", "ws")]
    update = {"id": "editor-npm", "ecosystem": "npm", "pins": tuple(pins), "extra": extra | {"remove": []}}
    sections = [one.model_copy(update=update) if one.id == "editor-url" else one for one in PLAN.sections]
    part = next(one for one in sections if one.id == "editor-npm")
    stages = [
        one.model_copy(update={"name": part.id, "section": part.id}) if one.section == "editor-url" else one
        for one in PLAN.stages
    ]
    plan = PLAN.model_copy(update={"sections": tuple(sections), "stages": tuple(stages)})
    components = [
        Component(f"editor-npm/{pin.name}@1.0.0", pin.name, "1.0.0", PackageURL("npm", None, pin.name, "1.0.0"),
                  "editor-npm", "npm", sha256=pin.sha256) for pin in pins
    ]  # fmt: skip
    return replace(locked(), components=tuple(components)), plan


def test_files_of_npm_packages_are_in_the_pool_of_all_or_others() -> None:
    bill, plan = npm_bill()
    places = {"editor": "/opt/editor/package.json", "ws": "/opt/editor/node_modules/ws/package.json"}
    again = "/opt/editor/lib/node_modules/ws/package.json"
    standing = [Standing("npm", name, "1.0.0", path, pooled=True) for name, path in [*places.items(), ("ws", again)]]
    good = Inventory("sha256:" + "a" * 64, tuple(standing), frozenset(), {}, (), {}, {})
    assert {one.evidence for one in bill_of_image(bill, good, plan).components} == {POOL}
    assert bill_of_image(bill, good, plan).components[0].sha256
    for strange, expected in (
        ("/opt/editor/node_modules/ws/evil.js", {"editor": POOL, "ws": OTHERS}),
        ("/opt/editor/lib/node_modules/ws/evil.js", {"editor": OTHERS, "ws": OTHERS}),
        ("/opt/editor/evil.js", {"editor": OTHERS, "ws": POOL}),
    ):
        found = bill_of_image(bill, replace(good, strange=(strange,)), plan).components
        assert {one.name: one.evidence for one in found} == expected
        assert all((one.sha256 is None) == (one.evidence == OTHERS) for one in found)


def test_what_tells_no_files_has_no_digest() -> None:
    """As a package that comes as source: its wheel is built with the image."""
    silent = replace(image(), telling=image().telling - {"numpy 2.4.0"})
    found = {one.ref: one for one in bill_of_image(locked(), silent, PLAN).components}
    assert (found["env-base/numpy@2.4.0"].evidence, found["env-base/numpy@2.4.0"].sha256) == (RECORD, None)
    assert found["env-base/arrays@1.4.0"].evidence == FILES


def test_what_comes_inside_another_package_is_none_of_its_own() -> None:
    vendored = replace(extra("numpy", "2.4.0"), path=f"{SITE}/arrays/_vendor/numpy-2.4.0.dist-info/METADATA")
    with_it = image(replace(vendored, owners=("arrays 1.4.0",)), without="numpy")
    found = bill_of_image(locked(), with_it, PLAN)
    assert found.missing == ("env-base/numpy@2.4.0",) and found.with_evidence(UNLOCKED) == ()


def test_a_package_in_another_environment_is_not_the_locked_one() -> None:
    astray = replace(
        extra("numpy", "2.4.0"), path="/usr/local/lib/python3.11/site-packages/numpy-2.4.0.dist-info/METADATA"
    )
    found = bill_of_image(locked(), image(astray, without="numpy"), PLAN)
    assert found.missing == ("env-base/numpy@2.4.0",)
    assert [one.section for one in found.components if one.evidence == UNLOCKED] == [""]


def test_the_validators_of_both_take_it_whatever_an_image_says() -> None:
    odd = extra("<b>x\ufffd y", "1 2/3?#", license="no licence at all")
    found = bill_of_image(locked(), image(odd, extra(), without="numpy"), PLAN)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_cyclonedx(found)) is None
    document = JsonLikeDictParser().parse(json.loads(to_spdx(found)))  # type: ignore[no-untyped-call]
    assert validate_full_spdx_document(document, "SPDX-2.3") == []
    assert to_spdx(found) == to_spdx(bill_of_image(locked(), image(odd, extra(), without="numpy"), PLAN))


def test_deviations_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    unread = {"/opt/x.dist-info/METADATA": "ValueError: it names no package"}
    found = bill_of_image(locked(), replace(image(extra(), without="numpy"), unread=unread), PLAN)
    show_bill(found, "spdx", None)
    told = " ".join(capsys.readouterr().err.split())
    for words in ("1 in the lock and not in the image: env-base/numpy@2.4.0", "1 in the image and not in the lock:",
                  "1 records of packages that tell nothing:"):  # fmt: skip
        assert words in told


# --- whose image -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [None, {}, {"org.dsvm.variant": "other", "org.dsvm.lock": "a" * 64}, {"org.dsvm.variant": "tiny"},
     {"org.dsvm.variant": "tiny", "org.dsvm.lock": "\x1b[2J"}],
)  # fmt: skip
def test_an_image_of_others_is_refused(
    engines: Any, monkeypatch: pytest.MonkeyPatch, labels: dict[str, str] | None
) -> None:
    engine: FakeEngine = engines()
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    with pytest.raises(InputError, match="has no image dsvm/tiny:latest") as caught:
        need_ours("dsvm/tiny:latest", "tiny", find_engine())
    assert caught.value.hint == "Run: invoke build --variant tiny"
    engine.images["dsvm/tiny:latest"] = {"Id": "sha256:" + "c" * 64, "Config": {"Labels": labels}}
    with pytest.raises(InputError, match="is no image of tiny: DSVM did not build it"):
        need_ours("dsvm/tiny:latest", "tiny", find_engine())
    engine.images["dsvm/tiny:latest"]["Config"]["Labels"] = {"org.dsvm.variant": "tiny", "org.dsvm.lock": "b" * 64}
    assert need_ours("dsvm/tiny:latest", "tiny", find_engine()) == "b" * 64


def test_a_lock_of_a_later_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    later = json.loads((ROOT / "manifests/locks/cpu-debian.json").read_text()) | {"version": 2, "news": []}
    (tmp_path / "locks/cpu-debian.json").write_text(json.dumps(later))
    with pytest.raises(LockError, match="not a lock of format 1, the one that this DSVM reads") as caught:
        pipeline.sbom(Session(print, print, overlays=[tmp_path]), "cpu-debian")
    assert caught.value.hint and "later one" in caught.value.hint


# --- records -----------------------------------------------------------------------------------------------

DPKG = b"""\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u14
Depends: libgcc-s1

Package: gone
Status: deinstall ok config-files
Version: 1.0
"""
R_PACKAGE = b"Package: glmnet\nVersion: 4.1-8\nLicense: GPL-2\nBuilt: R 4.2.2; x86_64-pc-linux-gnu; 2026-11-27; unix\n"
CONDA = {"name": "xz", "version": "5.8", "subdir": "linux-64", "fn": "xz-5.8-h0_1.conda", "license": "0BSD"}
UUID = "336ed68f-0bac-5ca0-87d4-7b16caf5d00b"


def rpm_header(**tags: str | int) -> bytes:
    """A header as a database has it: https://rpm-software-management.github.io/rpm/manual/format_header.html"""
    numbers = {"name": 1000, "version": 1001, "release": 1002, "epoch": 1003, "license": 1014, "arch": 1022}
    entries, data = b"", b""
    for tag, value in tags.items():
        data += b"\0" * (-len(data) % 4) if isinstance(value, int) else b""
        entries += struct.pack(">4I", numbers[tag], 4 if isinstance(value, int) else 6, len(data), 1)
        data += struct.pack(">I", value) if isinstance(value, int) else value.encode() + b"\0"
    return struct.pack(">2I", len(tags), len(data)) + entries + data


def rpm_database(*headers: bytes) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(one,) for one in headers])
    connection.commit()
    data = bytearray(connection.serialize())
    data[18:20] = b"\2\2"  # with a write-ahead log, as rpm leaves it
    return bytes(data)


BASH = rpm_header(name="bash", version="5.1.8", release="9.el9", epoch=1, arch="x86_64", license="GPLv3+")
KEY = rpm_header(name="gpg-pubkey", version="1", release="1")
RECORDS: list[tuple[str, str, bytes, list[Recorded]]] = [
    (
        "pypi",
        f"{SITE}/Scikit_Learn-1.9.1.dist-info/METADATA",
        b"Metadata-Version: 2.4\nName: Scikit_Learn\nVersion: 1.9.1\nLicense-Expression: BSD-3-Clause\n\nText",
        [Recorded("scikit-learn", "1.9.1", license="BSD-3-Clause")],
    ),
    (
        "pypi",
        "/usr/lib/python3/dist-packages/six-1.16.0.egg-info",
        b"Metadata-Version: 1.2\nName: six\nVersion: 1.16.0\nLicense: MIT\n",
        [Recorded("six", "1.16.0", license="MIT")],
    ),
    (
        "apt",
        "/var/lib/dpkg/status",
        DPKG,
        [Recorded("libc6", "2.36-9+deb12u14", "libc6_2.36-9+deb12u14_amd64.deb")],
    ),
    (
        "npm",
        "/opt/code-server/lib/vscode/node_modules/@vscode/spdlog/package.json",
        b'{"name": "@vscode/spdlog", "version": "0.15.0", "license": "MIT"}',
        [Recorded("@vscode/spdlog", "0.15.0", license="MIT")],
    ),
    ("npm", "/opt/x/node_modules/y/package.json", b'{"type": "module"}', []),
    ("cran", "/opt/r/site-library/glmnet/DESCRIPTION", R_PACKAGE, [Recorded("glmnet", "4.1-8", license="GPL-2")]),
    ("cran", "/opt/x/library/fixture/DESCRIPTION", b"Package: fixture\nVersion: 1\n", []),
    (
        "conda",
        "/opt/conda/conda-meta/xz-5.8-h0_1.json",
        json.dumps(CONDA).encode(),
        [Recorded("xz", "5.8", "linux-64/xz-5.8-h0_1.conda", "0BSD")],
    ),
    (
        "julia",
        "/opt/julia-depot/packages/CSV/ABCDE/Project.toml",
        f'name = "CSV"\nuuid = "{UUID}"\nversion = "0.10.4"\n'.encode(),
        [Recorded("CSV", "0.10.4", f"package/{UUID}/{'0' * 40}")],
    ),
    ("url", "/opt/editor/.dsvm-url", b"1.2\n", [Recorded("editor-1.2.tar.gz", "1.2")]),
    (
        "dnf",
        "/var/lib/rpm/rpmdb.sqlite",
        rpm_database(BASH, KEY),
        [Recorded("bash", "1:5.1.8-9.el9", "bash-5.1.8-9.el9.x86_64.rpm", "GPLv3+")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "data", "expected"), RECORDS, ids=[f"{one[0]} {one[1]}" for one in RECORDS])
def test_records_say_which_package_they_are_of(name: str, path: str, data: bytes, expected: list[Recorded]) -> None:
    ecosystem = ecosystems.get(name)
    assert isinstance(ecosystem, LeavesRecords)
    assert ecosystem.records.fullmatch(path)
    section = next((one for one in tiny.lock().sections if one.ecosystem == name == "url"), None)
    assert [*ecosystem.recorded(path, data, section)] == expected


NO_RECORDS = [b"{}", b"[]", b"3", b"null", b'{"name": "x"}', b"Package: x\nStatus: install ok installed\n", b"\xff"]


@given(
    st.sampled_from(sorted({one[0] for one in RECORDS})),
    st.sampled_from(NO_RECORDS) | st.binary(max_size=300) | st.text(max_size=100).map(lambda one: one.encode()),
)
def test_what_is_no_record_is_a_value_error(name: str, data: bytes) -> None:
    ecosystem = ecosystems.get(name)
    assert isinstance(ecosystem, LeavesRecords)
    with suppress(ValueError):
        assert all(isinstance(one, Recorded) for one in ecosystem.recorded("/x", data, None))


@pytest.mark.parametrize("data", [b"", rpm_database(b"\xff" * 40), rpm_database(rpm_header(name="x"))])
def test_a_broken_database_of_rpm_is_said_to_be_one(data: bytes) -> None:
    ecosystem = ecosystems.get("dnf")
    assert isinstance(ecosystem, LeavesRecords)
    with pytest.raises(ValueError, match=r"database of RPM's|is broken"):
        [*ecosystem.recorded("/var/lib/rpm/rpmdb.sqlite", data, None)]


# --- what artefacts bring of others ------------------------------------------------------------------------

SBOM = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "components": [
        {"name": "Arrays", "version": "1.4.0"},
        {
            "name": "zlib",
            "version": "1.3.1",
            "purl": "pkg:generic/zlib@1.3.1",
            "licenses": [{"license": {"id": "Zlib"}}],
            "components": [{"name": "inner", "purl": "no purl", "licenses": [{"expression": "MIT OR Apache-2.0"}]}],
        },
    ],
}
SPDX = {
    "spdxVersion": "SPDX-2.3",
    "packages": [
        {
            "name": "openblas",
            "versionInfo": "0.3.30",
            "licenseDeclared": "BSD-3-Clause",
            "externalRefs": [{"referenceLocator": "pkg:generic/openblas@0.3.30"}],
        }
    ],
}


def parts_of(tmp_path: Path, files: dict[str, str | bytes]) -> list[Inside]:
    _, data = wheel("arrays", "1.4.0", files=files)
    (tmp_path / "arrays.whl").write_bytes(data)
    return [*inside(tmp_path / "arrays.whl", "arrays")]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("arrays.libs/libgfortran-040039e1-0352e75f.so.5.0.0", "libgfortran.so.5.0.0"),
        ("arrays.libs/libscipy_openblas64_-32a4b2a6.so", "libscipy_openblas64_.so"),
        ("arrays/lib/libgomp-a34b3233.so.1", "libgomp.so.1"),
        ("arrays/core.cpython-311-x86_64-linux-gnu.so", None),
        ("arrays/lib/libown.so", None),
    ],
)
def test_libraries_that_were_copied_into_a_wheel_are_named(tmp_path: Path, path: str, name: str | None) -> None:
    found = parts_of(tmp_path, {path: b"ELF"})
    assert [(one.name, one.file) for one in found] == ([(name, path)] if name else [])
    assert all(one.sha256 and len(one.sha256) == 64 for one in found)


def test_packages_that_are_vendored_are_named(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "arrays/_vendor/jaraco.text-4.0.0.dist-info/METADATA": "Name: jaraco.text",
        "arrays/_vendor/vendor.txt": "urllib3==2.8.0\n    idna==3.20 # inner\nunclear>=1\n# no line\n",
    }
    found = {(one.name, one.version, one.purl) for one in parts_of(tmp_path, files)}
    assert found == {
        ("jaraco-text", "4.0.0", "pkg:pypi/jaraco-text@4.0.0"),
        ("urllib3", "2.8.0", "pkg:pypi/urllib3@2.8.0"),
        ("idna", "3.20", "pkg:pypi/idna@3.20"),
    }


def test_what_the_sboms_of_a_wheel_name_is_named(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "*.dist-info/sboms/a.cdx.json": json.dumps(SBOM),
        "*.dist-info/sboms/b.spdx.json": json.dumps(SPDX),
        "*.dist-info/sboms/c.xml": "<bom/>",
        "*.dist-info/sboms/d.json": '{"bomFormat": "CycloneDX", "components": [3]}',
    }
    found = [(one.name, one.version, one.purl, one.license) for one in parts_of(tmp_path, files)]
    assert found == [
        ("zlib", "1.3.1", "pkg:generic/zlib@1.3.1", "Zlib"),
        ("inner", None, None, "Apache-2.0 OR MIT"),
        ("openblas", "0.3.30", "pkg:generic/openblas@0.3.30", "BSD-3-Clause"),
        ("c.xml", None, None, None),  # nobody read it, and it is said
        ("d.json", None, None, None),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "version", "purl", "licenses", "license", "id", "components", "packages", "expression"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["bomFormat", "spdxVersion"]))
def test_whatever_an_sbom_says_is_read_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, said: Any, form: str
) -> None:
    whole = {**said, form: "x"} if isinstance(said, dict) else {form: "x", "components": said, "packages": said}
    found = parts_of(tmp_path_factory.mktemp("wheel"), {"*.dist-info/sboms/x.json": json.dumps(whole)})
    assert all(isinstance(one.name, str) and (one.version is None or isinstance(one.version, str)) for one in found)


def test_npm_packages_that_come_inside_others_are_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as tar:
        for name, said in {
            "package/package.json": {"name": "x", "version": "1.0.0"},
            "package/node_modules/@a/b/package.json": {"name": "@a/b", "version": "2.0.0", "license": "ISC"},
            "package/node_modules/bad/package.json": {"name": 3},
        }.items():
            info = tarfile.TarInfo(name)
            data = json.dumps(said).encode()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    ecosystem = ecosystems.get("npm")
    assert isinstance(ecosystem, BringsOthers)
    pin = Pin(name="x", version="1.0.0", file="x/-/x.tgz", size=1, sha256="a" * 64, registry="npm")
    file = "package/node_modules/@a/b/package.json"
    expected = [Inside("@a/b", "2.0.0", file, "pkg:npm/%40a/b@2.0.0", license="ISC")]
    assert [*ecosystem.inside(pin, tmp_path / "x.tgz")] == expected


def test_parts_are_in_the_bill_of_their_wheel_and_read_once(tmp_path: Path) -> None:
    store, lock = Store(tmp_path / "store"), tiny.lock()
    file, data = wheel("arrays", "1.4.0", files={"*.dist-info/sboms/a.cdx.json": json.dumps(SBOM)})
    part = store.temporary()
    part.write_bytes(data)
    sha256, size = store.add(part)
    pin = Pin(name="arrays", version="1.4.0", file=file, size=size, sha256=sha256, registry="pypi")
    sections = [
        one.model_copy(update={"pins": (pin, *one.pins[1:])}) if one.id == "env-base" else one for one in lock.sections
    ]
    lock = lock.model_copy(update={"sections": tuple(sections)})
    bill = bill_of(tiny.catalog(), lock, store)
    (whole,) = (
        one for one in json.loads(to_cyclonedx(bill))["components"] if one["name"] == "arrays" and "purl" in one
    )
    assert [(one["name"], one.get("purl")) for one in whole["components"]] == [
        ("inner", None), ("zlib", "pkg:generic/zlib@1.3.1"),
    ]  # fmt: skip
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_cyclonedx(bill)) is None
    spdx = json.loads(to_spdx(bill))
    document = JsonLikeDictParser().parse(spdx)  # type: ignore[no-untyped-call]
    assert validate_full_spdx_document(document, "SPDX-2.3") == []
    ids = {one["SPDXID"]: one["name"] for one in spdx["packages"]}
    held = {(ids.get(one["spdxElementId"]), ids[one["relatedSpdxElement"]]) for one in spdx["relationships"]
            if one["relationshipType"] == "CONTAINS"}  # fmt: skip
    assert {("arrays", "zlib"), ("arrays", "inner")} <= held
    store.path(sha256).unlink()
    assert bill_of(tiny.catalog(), lock, Store(store.root)) == bill


def test_what_needs_no_digest_has_the_word_of_its_record() -> None:
    found = bill_of_image(locked(), image(), PLAN)
    assert {one.evidence for one in found.components} <= {FILES, RECORD}
