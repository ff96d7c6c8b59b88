"""`invoke sbom`: valid, complete and the same bytes; purls, what needs what, and what is not known."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import tiny
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from small_world import ROOT
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from test_pypi import wheel

from dsvm import catalog as catalogs
from dsvm import ecosystems
from dsvm import lock as locks
from dsvm.ecosystems import Described, HasPurls
from dsvm.model import Lock, Pin, Section
from dsvm.plan import image_sections, make_plan
from dsvm.sbom import Bill, bill_of, to_cyclonedx, to_spdx
from dsvm.sbom.graph import Graph
from dsvm.store import Store

LOCKS = ROOT / "manifests/locks"
# what the tiny environment holds as wheels: name -> requirements
WHEELS = {"arrays": ("numpy", "extras[more]"), "numpy": (), "extras": ("later ; extra == 'more'",), "later": ()}


def tiny_bill(tmp_path: Path, lock: Lock | None = None) -> Bill:
    return bill_of(tiny.catalog(), lock or tiny.lock(), Store(tmp_path / "store"))


def with_wheels(store: Store) -> Lock:
    """The tiny lock with real wheels, which are in the store, in one of its environments."""
    pins = []
    for name, requires in sorted(WHEELS.items()):
        extra = "Provides-Extra: more\n" if name == "extras" else ""
        file, data = wheel(name, "1.4.0" if name == "arrays" else "2.0", requires=requires)
        if extra:
            file, data = _with_metadata(file, data, extra)
        part = store.temporary()
        part.write_bytes(data)
        sha256, size = store.add(part)
        version = file.split("-")[1]
        pins.append(Pin(name=name, version=version, file=file, size=size, sha256=sha256, registry="pypi"))

    def anew(one: Section) -> Section:
        return one.model_copy(update={"pins": tuple(pins)}) if one.id == "env-base" else one

    lock = tiny.lock()
    return lock.model_copy(update={"sections": tuple(map(anew, lock.sections))})


def _with_metadata(file: str, data: bytes, extra: str) -> tuple[str, bytes]:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            new.writestr(name, text + extra if name.endswith("/METADATA") else text)
    return file, made.getvalue()


def edges(bill: Bill) -> dict[str, tuple[str, ...]]:
    return dict(bill.edges())


def cyclonedx(bill: Bill) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_cyclonedx(bill))
    return found


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in component.get("properties", [])}


# --- valid and complete ------------------------------------------------------------------------------------


def bill_of_lock(name: str, store: Path) -> Bill:
    """Of a real lock, with nothing in the store."""
    return bill_of(catalogs.load(), locks.read(LOCKS / f"{name}.json"), Store(store))


@pytest.fixture(scope="module", params=["cpu-debian", "gpu-ubuntu"])
def bill(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bill:
    return bill_of_lock(request.param, tmp_path_factory.mktemp("store"))


def test_the_validators_of_both_take_it(tmp_path: Path) -> None:
    """A real lock with licences for which SPDX has no names; a part of each section, for validators take their time."""
    lock = locks.read(LOCKS / "gpu-ubuntu.json")
    sections = [one.model_copy(update={"pins": one.pins[:10]}) for one in lock.sections]
    bill = bill_of(catalogs.load(), lock.model_copy(update={"sections": tuple(sections)}), Store(tmp_path))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_cyclonedx(bill)) is None
    document = JsonLikeDictParser().parse(json.loads(to_spdx(bill)))  # type: ignore[no-untyped-call]
    assert validate_full_spdx_document(document, "SPDX-2.3") == []
    assert document.extracted_licensing_info and len(document.packages) > 60


def test_everything_in_the_image_is_in_it_once(bill: Bill) -> None:
    plan = make_plan(catalogs.load(), locks.read(LOCKS / f"{bill.variant}.json"))
    pins = {
        (section.id, pin.plain_name, pin.version, pin.sha256)
        for section in image_sections(plan)
        for pin in section.pins
    }
    assert {(one.section, one.name, one.version, one.sha256) for one in bill.components} == pins
    assert len(bill.components) == len(pins)
    assert {(one.name, one.version) for one in bill.tools} == {(tool.name, tool.version) for tool in plan.tools}
    assert bill.lock == plan.lock_digest


def test_everything_is_reached_from_the_image(bill: Bill) -> None:
    found, waiting = set[str](), [bill.ref]
    while waiting:
        ref = waiting.pop()
        if ref not in found:
            found.add(ref)
            waiting += edges(bill)[ref]
    assert found == {bill.ref, *(one.ref for one in bill.entries)}


def test_both_say_the_same(tmp_path: Path) -> None:
    bill = tiny_bill(tmp_path)
    one, other = cyclonedx(bill), json.loads(to_spdx(bill))
    purls = {component["purl"] for component in one["components"] if "purl" in component}
    assert purls == {
        reference["referenceLocator"] for package in other["packages"] for reference in package.get("externalRefs", ())
    }
    ids = {package["SPDXID"]: f"{package['name']} {package.get('versionInfo')}" for package in other["packages"]}
    names = {component["bom-ref"]: f"{component['name']} {component['version']}" for component in one["components"]}
    names[bill.ref] = f"{bill.variant} {bill.version}"
    needs = sorted(
        (names[entry["ref"]], names[to]) for entry in one["dependencies"] for to in entry.get("dependsOn", ())
    )
    assert needs == sorted(
        (ids[relation["spdxElementId"]], ids[relation["relatedSpdxElement"]])
        for relation in other["relationships"]
        if relation["relationshipType"] == "DEPENDS_ON"
    )


def test_the_same_lock_is_the_same_bytes_whatever_the_hashes_and_the_time_zone(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, tiny; from dsvm.sbom import bill_of, to_cyclonedx, to_spdx; from dsvm.store import Store;"
        "bill = bill_of(tiny.catalog(), tiny.lock(), Store(pathlib.Path(sys.argv[1])));"
        "print(to_cyclonedx(bill), to_spdx(bill))"
    )
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests/golden")])
    texts = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": f"X{seed}", "PYTHONPATH": paths}
        argv = [sys.executable, "-c", code, str(tmp_path)]
        texts.add(subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout)
    (text,) = texts
    assert str(ROOT) not in text and text.isascii()


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "bill.json"
    argv = ["invoke", "sbom", "--variant", "cpu-debian", "--format", "spdx", "--output", str(file)]
    environment = {**os.environ, "DSVM_STORE": str(tmp_path / "store")}
    done = subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"SPDX 2.3, 990 components: {file}\n")
    assert "what 990 of 990 components need is unknown" in done.stderr
    assert file.read_text() == to_spdx(bill_of_lock("cpu-debian", tmp_path))


def test_another_lock_has_another_number_and_time(tmp_path: Path) -> None:
    one = tiny_bill(tmp_path)
    lock = tiny.lock()
    later = [
        section.model_copy(update={"epoch": section.epoch + 5, "pins": section.pins[1:]})
        if section.id == "env-base"
        else section
        for section in lock.sections
    ]
    other = tiny_bill(tmp_path, lock.model_copy(update={"sections": tuple(later)}))
    assert one.serial != other.serial
    assert cyclonedx(one)["serialNumber"] == f"urn:uuid:{one.serial}"
    assert json.loads(to_spdx(one))["documentNamespace"] == f"urn:uuid:{one.serial}"
    assert cyclonedx(one)["metadata"]["timestamp"] == "2025-10-09T08:53:26+00:00"
    assert json.loads(to_spdx(one))["creationInfo"]["created"] == "2025-10-09T08:53:26Z"


# --- what it says ------------------------------------------------------------------------------------------


def test_a_component_says_where_it_is_from_and_who_brings_it(tmp_path: Path) -> None:
    found = {one["bom-ref"]: one for one in cyclonedx(tiny_bill(tmp_path))["components"]}
    numpy = found["env-base/numpy@2.4.0"]
    pin = tiny.pin("pypi", "numpy", "2.4.0")
    assert numpy["hashes"] == [{"alg": "SHA-256", "content": pin.sha256}]
    assert properties(numpy) == {
        "dsvm:dependencies": "unknown",
        "dsvm:ecosystem": "pypi",
        "dsvm:environment": "base",
        "dsvm:registry": "pypi",
        "dsvm:section": "env-base",
        "dsvm:size": str(pin.size),
        "dsvm:tools": "arrays",
    }
    editor = found["editor-url/editor-1.2.tar.gz@1.2"]
    url = next(section for section in tiny.lock().sections if section.id == "editor-url").pins[0].file
    assert editor["externalReferences"] == [{"type": "distribution", "url": url}]
    assert PackageURL.from_string(editor["purl"]).qualifiers["download_url"] == url
    assert found["tool/arrays"]["licenses"] == [{"expression": "MIT"}]
    assert not {"make", "uv"} & {one["name"] for one in found.values()}


@pytest.mark.parametrize(
    ("ecosystem", "base", "pin", "purl"),
    [
        (
            "apt",
            "debian-12",
            {"name": "libc6", "version": "1:2.36-9+deb12u4", "file": "pool/main/g/glibc/libc6_2.36-9_amd64.deb"},
            "pkg:deb/debian/libc6@1:2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12",
        ),
        (
            "apt",
            "ubuntu-24.04",
            {"name": "tzdata", "version": "2026a", "file": "https://x.example/tzdata_2026a_all.deb"},
            "pkg:deb/ubuntu/tzdata@2026a?arch=all&distro=ubuntu-24.04",
        ),
        ("apt", "debian-12", {"name": "x", "version": "1", "file": "x"}, "pkg:deb/debian/x@1?distro=debian-12"),
        (
            "dnf",
            "rocky-9",
            {"name": "bash", "version": "1:5.1.8-9.el9", "file": "os/Packages/bash-5.1.8-9.el9.x86_64.rpm"},
            "pkg:rpm/rocky/bash@5.1.8-9.el9?arch=x86_64&distro=rocky-9.8&epoch=1",
        ),
        (
            "pypi",
            "debian-12",
            {"name": "torch", "version": "2.13.0+cpu", "file": "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl"},
            "pkg:pypi/torch@2.13.0%2Bcpu",
        ),
        (
            "npm",
            "debian-12",
            {"name": "@coder/logger@3.0.1", "version": "3.0.1", "file": "@coder/logger/-/logger-3.0.1.tgz"},
            "pkg:npm/%40coder/logger@3.0.1",
        ),
        (
            "conda",
            "debian-12",
            {"name": "r-base", "version": "4.5.1", "file": "linux-64/r-base-4.5.1-h0_2.conda"},
            "pkg:conda/r-base@4.5.1?build=h0_2&channel=conda&subdir=linux-64&type=conda",
        ),
        (
            "cran",
            "debian-12",
            {"name": "glmnet", "version": "4.1-8", "file": "glmnet_4.1-8.tar.gz"},
            "pkg:cran/glmnet@4.1-8",
        ),
        (
            "julia",
            "debian-12",
            {
                "name": "CSV",
                "version": "0.10.4",
                "file": "package/336ed68f-0bac-5ca0-87d4-7b16caf5d00b/" + "a" * 40,
            },
            "pkg:julia/CSV@0.10.4?uuid=336ed68f-0bac-5ca0-87d4-7b16caf5d00b",
        ),
    ],
)  # fmt: skip
def test_package_urls_are_those_of_their_types(ecosystem: str, base: str, pin: dict[str, str], purl: str) -> None:
    known = ecosystems.get(ecosystem)
    assert isinstance(known, HasPurls)
    whole = Pin.model_validate({"size": 1, "sha256": "a" * 64, "registry": ecosystem, **pin})
    found = known.purl(whole, catalogs.load().bases[base])
    assert found.to_string() == purl
    assert PackageURL.from_string(purl) == found


def test_a_base_from_a_registry_is_an_image_with_packages(tmp_path: Path) -> None:
    lock = tiny.lock()
    image = "debian@sha256:" + "d" * 64
    pins = tuple(
        Pin(name=name, version="sha256:" + "d" * 64, file=image, size=10, sha256=letter * 64, registry="docker")
        for name, letter in (("config", "b"), ("layer-000", "c"), ("manifest", "d"))
    )
    update = {"pins": pins, "extra": {"packages": {"dpkg": "1.21.22"}}}
    sections = [one.model_copy(update=update) if one.id == "base" else one for one in lock.sections]
    bill = tiny_bill(tmp_path, lock.model_copy(update={"sections": tuple(sections), "base_kind": "registry"}))
    base = {one.name: one for one in bill.components if one.section == "base"}
    assert base["debian"].purl.to_string() == f"pkg:oci/debian@sha256:{'d' * 64}?repository_url=debian"
    assert (base["debian"].size, base["debian"].sha256) == (30, "d" * 64)
    assert base["debian"].needs == ("base/dpkg@1.21.22",)
    assert (base["dpkg"].sha256, base["dpkg"].purl.name) == (None, "dpkg")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_cyclonedx(bill)) is None


def test_windows_has_one_too() -> None:
    bill = bill_of(tiny.windows_catalog(), tiny.windows_lock(), Store(Path("/nonexistent")))
    assert {one.section for one in bill.components} == {"env-base", "system"}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_cyclonedx(bill)) is None


# --- what needs what ---------------------------------------------------------------------------------------


def test_artefacts_say_what_they_need(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    bill = bill_of(tiny.catalog(), with_wheels(store), store)
    found = edges(bill)
    assert found["tool/arrays"] == ("env-base/arrays@1.4.0", "system/libgomp1@12.2.0-14")
    assert found["env-base/arrays@1.4.0"] == ("env-base/extras@2.0", "env-base/numpy@2.0")
    assert found["env-base/extras@2.0"] == ("env-base/later@2.0",), "its extra was asked for"
    assert found["env-base/numpy@2.0"] == ()
    assert {one.tools for one in bill.components if one.section == "env-base"} == {("arrays",)}


def test_what_nobody_could_ask_is_unknown(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    bill = bill_of(tiny.catalog(), with_wheels(store), store)
    assert {one.section for one in bill.components if one.needs is not None} == {"env-base"}
    rest = len(bill.components) - len(WHEELS)
    assert bill.unknown == rest
    said = f"{rest} of {len(bill.components)} components"
    assert properties(cyclonedx(bill)["metadata"])["dsvm:dependencies:unknown"] == said
    assert said in json.loads(to_spdx(bill))["creationInfo"].get("comment", "") + json.loads(to_spdx(bill))["comment"]


def test_what_was_read_is_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    lock = with_wheels(store)
    first = bill_of(tiny.catalog(), lock, store)
    for blob in (store.root / "blobs").glob("??/*"):
        blob.unlink()
    assert bill_of(tiny.catalog(), lock, Store(store.root)) == first


@pytest.mark.parametrize("text", ["", "[]", '{"reader": 1, "artefacts": 3}', '{"reader": 1}', "{"])
def test_what_was_remembered_wrongly_is_as_if_it_was_not(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path / "store")
    lock = with_wheels(store)
    first = bill_of(tiny.catalog(), lock, store)
    (store.root / "readings" / "described.json").write_text(text)
    assert bill_of(tiny.catalog(), lock, Store(store.root)) == first


def test_an_artefact_of_another_size_is_not_asked(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    lock = with_wheels(store)
    blob = next(blob for blob in (store.root / "blobs").glob("??/*"))
    blob.chmod(0o644)
    blob.write_bytes(b"half")
    assert bill_of(tiny.catalog(), lock, store).unknown == bill_of(tiny.catalog(), tiny.lock(), store).unknown - 1


def test_a_package_goes_before_what_stands_in_for_it() -> None:
    graph = Graph(
        {
            "a": Described("a", "1", {"a": ("mail", "b")}),
            "b": Described("b", "1", {"b": ("a",)}),
            "other": Described("other", "1", {"other": (), "b": ("other",)}),
            "one": Described("one", "1", {"one": (), "mail": ("one",)}),
            "two": Described("two", "1", {"two": (), "mail": ("two",)}),
        }
    )
    assert graph.edges([]) == {"a": {"b", "one", "two"}, "b": {"a"}, "other": set(), "one": set(), "two": set()}
