"""R packages: what is needed from a snapshot; then lock, compile and list small packages with the real R."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from beyond import beyond
from held import differences, image_of, promised
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from r_packages import files, tarball
from server import Resource, Server
from tiny import project

from dsvm.catalog import Catalog
from dsvm.ecosystems import Asked, Context, Request
from dsvm.ecosystems.cran.ecosystem import ECOSYSTEM, LIBRARY
from dsvm.ecosystems.cran.packages import SIGNS, Need, Package, needed, order, parse_need
from dsvm.ecosystems.cran.repository import parse_index
from dsvm.host import Host
from dsvm.lock.requests import Wanted, input_of_base, wanted_sections
from dsvm.model import Base, Choice, DsvmError, Entry, Index, Lock, LockError, Pin, Section, canonical_json
from dsvm.model.bases import Bootstrap
from dsvm.plan import make_plan
from dsvm.store import Store

INSTALL = Path(__file__).parents[2] / "scripts/image/install-cran"
EPOCH = 1_700_000_000
DAY = date(2023, 3, 14)
BASE = Base(
    base="debian-12", summary="", os="debian", release="12", glibc="2.36", python="3.11",
    runtimes={"r": ["r-base-core", "r-recommended"]},
)  # fmt: skip
needs_r = pytest.mark.skipif(shutil.which("R") is None, reason="needs R (apt-get install r-base-core)")


# --- requests and versions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["glmnet", "data.table >= 1.14", "Matrix (>= 1.5-3)", "R6<3"])
def test_a_request_names_a_package(text: str) -> None:
    assert TypeAdapter(ECOSYSTEM.request_type).validate_python([text]) == (text,)


@pytest.mark.parametrize(
    "text",
    [
        "", "-e", "--root", "../evil", "a b", "glmnet >= ", "glmnet (>= 1", "glmnet >= 1)", "glmnet; id", "glm$(id)",
        "glmnet\nRUN x", "1glm", "glm_net", "R", "R (>= 4.0)", "stats",
    ],
)  # fmt: skip
def test_a_request_is_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ECOSYSTEM.request_type).validate_python([text])


NUMBERS = st.lists(st.integers(0, 10**6), min_size=1, max_size=5)


@given(NUMBERS, st.lists(st.sampled_from(".-"), min_size=4, max_size=4), st.sampled_from(sorted(SIGNS)))
def test_a_need_is_read_as_it_is_written(numbers: list[int], dots: list[str], sign: str) -> None:
    version = "".join(f"{number}{dot}" for number, dot in zip(numbers, [*dots, ""], strict=False))[: -1 or None]
    version = version.rstrip(".-") or "0"
    need = Need("glm.net2", sign, version)
    assert parse_need(str(need)) == need
    assert need.allows(version) == (sign in (">=", "<=", "=="))


@given(NUMBERS, NUMBERS)
def test_versions_are_compared_number_by_number(one: list[int], two: list[int]) -> None:
    texts = "-".join(map(str, one)), ".".join(map(str, two))
    assert (order(texts[0]) < order(texts[1])) == (one < two)


def test_an_index_entry_that_leads_elsewhere_is_passed_over() -> None:
    text = """\
Package: good
Version: 1.0-2
Depends: R (>= 3.5), R (>= r70000)
Imports: utils, other (>= 1.0),
        third
LinkingTo: Rcpp
MD5sum: 0123

Package: old
Version: 1.0
Path: 4.1.0/Other

Package: ../evil
Version: 1.0

Package: evil
Version: 1.0/../..

Package: evil
Version: 1.0
Path: ../..

Package: evil
Version: 1.0
Path: /etc
"""
    good, old = parse_index(text)
    assert good == Package(
        "good", "1.0-2", "good_1.0-2.tar.gz", "0123",
        (Need("R", ">=", "3.5"), Need("utils"), Need("other", ">=", "1.0"), Need("third"),
         Need("Rcpp")),
    )  # fmt: skip
    assert old.file == "4.1.0/Other/old_1.0.tar.gz"


# --- what is needed ----------------------------------------------------------------------------------------


def snapshot(text: str) -> dict[str, list[Package]]:
    """A snapshot from lines `NAME VERSION: needs`."""
    found: dict[str, list[Package]] = {}
    for line in text.strip().splitlines():
        head, _, needs = line.partition(":")
        name, version = head.split()
        entry = f"Package: {name}\nVersion: {version}\nImports: {needs}\n"
        found.setdefault(name, []).extend(parse_index(entry))
    return found


def names(packages: Mapping[str, Sequence[Package]], *wanted: str, given: Mapping[str, str] | None = None) -> str:
    found = needed(map(parse_need, wanted), packages, "4.2.2", given or {})
    return " ".join(f"{package.name}-{package.version}" for package in found)


def test_each_package_comes_after_what_it_needs() -> None:
    packages = snapshot("top 1.0: mid, leaf, stats\nmid 1.0: leaf\nleaf 1.0:\nelse 1.0:")
    assert names(packages, "top") == names(packages, "mid", "top", "leaf") == "leaf-1.0 mid-1.0 top-1.0"


def test_what_the_base_brings_is_left_to_it_where_it_is_new_enough() -> None:
    packages = snapshot("top 1.0: MASS, Matrix (>= 1.5-3)\nMASS 7.3-60:\nMatrix 1.5-4:")
    given = {"mass": "7.3-58.2", "matrix": "1.5-3"}
    assert names(packages, "top", given=given) == "top-1.0"
    assert names(packages, "top", given={**given, "matrix": "1.5-1"}) == "Matrix-1.5-4 top-1.0"
    # what a person asks for is theirs
    assert names(packages, "MASS", given=given) == "MASS-7.3-60"


def test_of_two_versions_the_newest_that_suits_the_base_s_r_is_taken() -> None:
    packages = snapshot("top 1.9: R (>= 4.0)\ntop 1.10: R (>= 4.2.2)\ntop 2.0: R (>= 4.3)")
    assert names(packages, "top") == "top-1.10"


def test_two_packages_that_need_each_other_are_no_endless_story() -> None:
    assert names(snapshot("one 1.0: two\ntwo 1.0: one"), "one") == "two-1.0 one-1.0"


def test_every_fault_is_told_at_once() -> None:
    packages = snapshot("top 1.0: leaf (>= 2.0), gone\nleaf 1.0:\nnew 3.0: R (>= 4.4.0)")
    with pytest.raises(LockError) as caught:
        names(packages, "top", "new", "glmet")
    assert caught.value.message.splitlines() == [
        "R packages cannot be had:",
        "    glmet: not in the snapshot",
        "    new 3.0: wants R (>= 4.4.0), the base has R 4.2.2",
        "    gone, which top needs: not in the snapshot",
        "    leaf (>= 2.0), which top needs: the snapshot has 1.0",
    ]


# --- a repository of our own -------------------------------------------------------------------------------


@pytest.fixture
def repository(server: Server) -> str:
    """Path of a dated snapshot that the server serves."""
    folder = f"/cran/{DAY}/src/contrib"
    for name, content in files().items():
        server.add(f"{folder}/{name}", Resource(content))
    return folder


@pytest.fixture
def context(server: Server, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A base whose archive has R 4.2.2 and nothing more of R's packages than MASS."""
    fakes = tmp_path / "bin"
    fakes.mkdir()
    pool, digest = "http://mirror.example/debian/pool", "a" * 64
    uris = "".join(
        f"'{pool}/{file}' {file} 1 SHA256:{digest}\n"
        for file in ("r-base-core_4.2.2.20221110-2_amd64.deb", "r-cran-mass_7.3-58.2-1_amd64.deb")
    )
    (fakes / "apt-get").write_text(f"#!/bin/sh\ncat <<'END'\n{uris}END\n")
    (fakes / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(fakes), prepend=os.pathsep)
    (tmp_path / "keyring.gpg").write_bytes(b"")
    bootstrap = Bootstrap.model_construct(
        suites=("debian/bookworm",), components=("main",), keyring=str(tmp_path / "keyring.gpg"), include=()
    )
    base = BASE.model_copy(update={"bootstrap": bootstrap})
    (tmp_path / "work").mkdir()
    return Context(
        base=base,
        host=Host(
            environ={"HOME": str(tmp_path)}, sources={"debian": ("http://mirror.example/debian",)}, etc=tmp_path / "etc"
        ),
        store=Store(tmp_path / "store"),
        work=tmp_path / "work",
        indexes={"dated": Index(index="dated", url=f"{server.url}/cran/{{date}}", date=DAY)},
    )


def resolve(context: Context, *wanted: str) -> Section:
    request = Request("env-cran", "cran", (wanted,), ("dated",))
    pins, extra = ECOSYSTEM.resolve(request, context)
    assert beyond("cran", request, context, pins, extra) == []
    return Section(
        id="env-cran", ecosystem="cran", request=list(wanted), input="0" * 64, epoch=EPOCH, pins=tuple(pins),
        extra=dict(extra),
    )  # fmt: skip


def test_resolve_pins_each_package_and_names_no_host(context: Context, server: Server, repository: str) -> None:
    section = resolve(context, "four")
    assert [(pin.name, pin.version, pin.file, pin.registry) for pin in section.pins] == [
        ("four", "0.4", "four_0.4.tar.gz", "dated"),
        ("twice", "1.2-3", "twice_1.2-3.tar.gz", "dated"),
    ]
    assert section.extra == {"order": ["twice", "four"]}
    for pin in section.pins:
        content = tarball(pin.name)
        assert (pin.sha256, pin.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert server.host not in canonical_json(section)
    asked = len(server.requests)
    assert resolve(context, "four") == section
    assert len(server.requests) == asked, "what is known was fetched again"


def test_the_place_is_the_machine_s_own_before_the_manifest_s(context: Context) -> None:
    pin = resolve(context, "twice").pins[0]
    host = context.host
    for own in ({"dated": ("https://a.example/{date}/r",)}, {"cran": ("https://a.example/2023-03-14/r", "file:///b")}):
        here = replace(context, host=Host(environ=host.environ, sources=own, etc=host.etc))
        urls = list(ECOSYSTEM.locate(pin, here))
        assert urls[:2] == [
            "https://a.example/2023-03-14/r/src/contrib/twice_1.2-3.tar.gz",
            "https://a.example/2023-03-14/r/src/contrib/Archive/twice/twice_1.2-3.tar.gz",
        ]


def test_a_folder_can_be_the_mirror(context: Context, tmp_path: Path) -> None:
    folder = tmp_path / f"mirror/{DAY}/src/contrib"
    folder.mkdir(parents=True)
    (folder / "PACKAGES").write_text(files()["PACKAGES"].decode())
    (folder / "twice_1.2-3.tar.gz").write_bytes(tarball("twice"))
    host = Host(
        environ=context.host.environ,
        sources={**context.host.sources, "cran": ((tmp_path / "mirror").as_uri() + "/{date}",)},
        etc=context.host.etc,
    )
    assert resolve(replace(context, host=host), "twice").pins == resolve(context, "twice").pins


def test_a_package_that_is_not_what_the_index_says_stops_the_lock(
    context: Context, server: Server, repository: str
) -> None:
    server.resources[f"{repository}/twice_1.2-3.tar.gz"].content = tarball("broken")
    with pytest.raises(DsvmError, match=r"(?s)twice_1\.2-3\.tar\.gz.*its MD5 is [0-9a-f]{32}, the index says"):
        resolve(context, "four")


@pytest.mark.parametrize(
    ("path", "resource", "message"),
    [
        ("PACKAGES", None, r"(?s)snapshot of 2023-03-14 cannot be read:.*it has no src/contrib/PACKAGES"),
        ("PACKAGES.gz", Resource(b"\x1f\x8bnonsense"), "not an index of R packages"),
        ("PACKAGES.gz", Resource(statuses=[500] * 8), "HTTP 500"),
        ("PACKAGES.gz", Resource(b"<html>Log in first</html>"), "not an index of R packages"),
    ],
)
def test_a_snapshot_that_cannot_be_read_is_said(
    context: Context, server: Server, repository: str, path: str, resource: Resource | None, message: str
) -> None:
    if resource is None:
        del server.resources[f"{repository}/{path}"]
    else:
        server.add(f"{repository}/{path}", resource)
    with pytest.raises(LockError, match=message):
        resolve(context, "twice")
    assert "cannot be read" in (ECOSYSTEM.probe(("twice",), "dated", context) or "")


def test_probe_tells_what_is_missing(context: Context) -> None:
    assert ECOSYSTEM.probe(("four",), "dated", context) is None
    assert "fuor: not in the snapshot" in (ECOSYSTEM.probe(("fuor",), "dated", context) or "")
    assert "one snapshot; its tools name none" in (ECOSYSTEM.probe(("four",), None, context) or "")
    bare = replace(context, base=context.base.model_copy(update={"runtimes": {}}))
    assert ECOSYSTEM.probe(("four",), "dated", bare) == "base debian-12 has no runtime 'r'"


# --- its place in an image ---------------------------------------------------------------------------------


def with_variant(catalog: Catalog, *tools: str) -> Catalog:
    variant = catalog.variants["cpu-debian"].model_copy(update={"tools": tools})
    return replace(catalog, variants={"cpu-debian": variant})


def wanted_of(catalog: Catalog) -> dict[str, Wanted]:
    variant = catalog.variants["cpu-debian"]
    choices = [Choice(tool=tool, source=0) for tool in variant.tools]
    return {one.id: one for one in wanted_sections(catalog, variant, choices)}


def test_the_packages_of_all_tools_are_one_section_and_compilers_stay_out_of_the_image() -> None:
    catalog = with_variant(project(), "numpy", "r", "glmnet", "caret")
    wanted = wanted_of(catalog)
    runtime, compilers = ("r-base-core", "r-recommended"), ("r-base-dev",)
    assert (wanted["env-cran"].tools, wanted["env-cran"].request.items) == (
        ("glmnet", "caret"),
        (("glmnet",), ("caret",)),
    )
    assert wanted["runtime-r"].request.items == (runtime, compilers)
    assert runtime in wanted["system"].request.items
    assert compilers not in wanted["system"].request.items

    index = catalog.indexes["cran-r4.2"]
    moved = {**catalog.indexes, "cran-r4.2": index.model_copy(update={"date": date(2023, 4, 1)})}
    base = catalog.bases["debian-12"]
    stale = [name for name, one in wanted.items() if one.input(base, catalog.indexes) != one.input(base, moved)]
    assert stale == ["env-cran"]


def test_a_stage_compiles_them_over_r_and_over_what_tools_need_for_building(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsvm.plan.planning.check", lambda catalog, lock: lock)  # its pins are invented
    catalog = with_variant(project(), "r", "glmnet", "caret")
    caret = catalog.tools["caret"]
    source = caret.sources[0].model_copy(update={"build": {"apt": ["libxml2-dev"]}})
    catalog = replace(catalog, tools={**catalog.tools, "caret": caret.model_copy(update={"sources": (source,)})})
    base = catalog.bases["debian-12"]
    packages = {"env-cran": ("caret", "foreach", "glmnet"), "system": ("r-base-core",)}
    sections = [
        Section(
            id=one.id, ecosystem=one.ecosystem, tools=one.tools, request=one.as_json(), epoch=EPOCH,
            input=one.input(base, catalog.indexes),
            pins=tuple(
                Pin(name=name, version="1.0", file=f"{name}_1.0.tar.gz", size=1, sha256="0" * 64, registry="x")
                for name in packages.get(one.id, ())
            ),
            extra={"env": "cran", "order": ["foreach", "glmnet", "caret"]} if one.id == "env-cran" else {},
        )
        for one in wanted_of(catalog).values()
    ]  # fmt: skip
    ground = Section(id="base", ecosystem="apt", request={}, input=input_of_base(base), epoch=EPOCH, pins=())
    lock = Lock(
        variant="cpu-debian", base="debian-12", base_kind="bootstrap", sections=(ground, *sections),
        choices=tuple(Choice(tool=tool, source=0) for tool in ("r", "glmnet", "caret")),
    )  # fmt: skip
    plan = make_plan(catalog, lock)
    stages = {stage.name: stage for stage in plan.stages}
    assert stages["env-cran"].parent == "caret-build-apt"
    assert stages["caret-build-apt"].parent == "runtime-r"
    assert [name for name, stage in stages.items() if stage.output] == ["env-cran"]
    (step,) = stages["env-cran"].steps
    assert step.args[-4:] == ("env-cran", "foreach_1.0.tar.gz", "glmnet_1.0.tar.gz", "caret_1.0.tar.gz")
    assert [(tool.name, tool.package, tool.env) for tool in plan.tools[1:]] == [
        ("glmnet", "glmnet", None),
        ("caret", "caret", None),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"date": None}, "either 'packages' or"),
        ({"packages": ("glmnet",)}, "either 'packages' or"),
        ({"url": "https://example.org/cran"}, "a place for its state: {date}"),
    ],
)
def test_an_index_is_of_packages_or_of_a_day(change: Mapping[str, object], message: str) -> None:
    good = {"index": "dated", "url": "https://example.org/{date}", "date": "2023-03-14"}
    assert Index.model_validate(good).at("x{date}") == "x2023-03-14"
    with pytest.raises(ValidationError, match=message):
        Index.model_validate({**good, **change})


# --- the real R --------------------------------------------------------------------------------------------


def install(root: Path, section: Section, store: Store) -> subprocess.CompletedProcess[str]:
    """Run install-cran with `root` as /."""
    step = ECOSYSTEM.install(section, BASE)
    assert step.script == INSTALL.name
    shutil.rmtree(root, ignore_errors=True)
    files = root / "dsvm/store" / section.id
    files.mkdir(parents=True)
    for pin in section.pins:
        shutil.copy(store.path(pin.sha256), files / ECOSYSTEM.file_name(pin))
    argv = [str(INSTALL), "--root", str(root), *step.args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


def tree(root: Path) -> dict[str, tuple[int, int, str]]:
    """Path -> mode, mtime and content."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            int(path.lstat().st_mtime),
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(root.rglob("*"))
    }


def in_image(out: Path) -> Callable[[Sequence[str]], str]:
    """Runs commands as if `out` were the image's /opt."""

    def run(argv: Sequence[str]) -> str:
        words = [f"{out}{word}" if word.startswith("/opt") else word for word in argv]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.replace(str(out), "")

    return run


@needs_r
def test_packages_are_compiled_offline_the_same_each_time_and_agree_with_the_lock(
    context: Context, server: Server, tmp_path: Path
) -> None:
    section = resolve(context, "four")
    server.close()
    root = tmp_path / "image"
    done = install(root, section, context.store)
    assert done.returncode == 0, done.stdout + done.stderr
    out = root / "out"
    run = in_image(out)
    locked = {pin.name: pin.version for pin in section.pins}
    assert ECOSYSTEM.installed(section, run) == locked

    library = out / LIBRARY.lstrip("/")
    program = "library(four); cat(four(1.5), eight(1.5), find.package('twice'))"
    said = subprocess.run(
        ["Rscript", "-e", program], env={**os.environ, "R_LIBS_SITE": str(library)}, capture_output=True, text=True
    )
    assert said.stdout == f"6 12 {library}/twice", said.stderr

    found = tree(out)
    assert {time for _, time, _ in found.values()} == {EPOCH}
    assert {mode & 0o7777 for mode, _, _ in found.values()} == {0o755, 0o644}
    assert {path.lstat().st_uid for path in out.rglob("*")} == {os.geteuid()}
    assert not [path for path in found if "LOCK" in path or path.endswith(".o")]
    assert b".debug_info" not in (library / "twice/libs/twice.so").read_bytes()
    again = install(root, section, context.store)
    assert again.returncode == 0
    assert tree(out) == found

    image = image_of(out)
    promises = promised(section, {pin.name: context.store.path(pin.sha256) for pin in section.pins})
    # what loads a package is a file of R's own
    share = subprocess.run(["Rscript", "-e", "cat(R.home('share'))"], capture_output=True, text=True, check=True).stdout
    loader = Entry("file", 0o644, sha256=hashlib.sha256(Path(share, "R/nspackloader.R").read_bytes()).hexdigest())
    image["/usr/share/R/loader"] = loader, 0
    promises.add("/usr/share/R/loader", loader, "r-base-core 4")
    assert differences(image, promises) == []
    for path, verdict in (
        ("four/NAMESPACE", "changed"),
        ("four/R/four", "unexplained"),
        ("twice/include/twice.h", "changed"),
        ("four/exec/run", "unexplained"),
        ("twice/evil.R", "unexplained"),
    ):
        assert differences({**image, f"{LIBRARY}/{path}": image[f"{LIBRARY}/four/DESCRIPTION"]}, promises) == [
            (verdict, f"{LIBRARY}/{path}")
        ]
    left = {path: one for path, one in image.items() if not path.startswith(f"{LIBRARY}/twice")}
    gone = {path.removeprefix(f"{LIBRARY}/twice/") for verdict, path in differences(left, promises)}
    assert gone == {"DESCRIPTION", "NAMESPACE", "include/twice.h"}

    # what is too much, too old or gone shows
    shutil.copytree(library / "twice", library / "more")
    assert ECOSYSTEM.installed(section, run) == locked  # a copy says that it is 'twice'
    (library / "more/DESCRIPTION").write_text("Version: 9.9\nPackage: more\n")
    assert ECOSYSTEM.installed(section, run) == {**locked, "more": "9.9"}
    shutil.rmtree(library / "twice")
    assert ECOSYSTEM.installed(section, run) == {"four": "0.4", "more": "9.9"}


@needs_r
def test_a_package_that_cannot_be_installed_ends_the_build_with_its_name(context: Context, tmp_path: Path) -> None:
    done = install(tmp_path / "image", resolve(context, "broken"), context.store)
    assert done.returncode == 1
    assert "it does not load" in done.stdout
    assert done.stderr.endswith("install-cran: broken cannot be installed\n")
    assert not (tmp_path / "image/out").exists()


@needs_r
def test_r_finds_the_library_where_the_tool_r_says(tmp_path: Path) -> None:
    """The file that manifests/tools/r.yaml puts into the image, read by the real R."""
    (file,) = (file for path, file in project().tools["r"].files.items() if path.endswith("Renviron.site"))
    library = tmp_path / "library"
    library.mkdir()
    site = tmp_path / "Renviron.site"
    site.write_text((file.text or "").replace(LIBRARY, str(library)))
    program = "cat(.libPaths(), sep = '\\n')"
    env = {key: value for key, value in os.environ.items() if not key.startswith("R_")}
    done = subprocess.run(
        ["Rscript", "-e", program], env={**env, "R_ENVIRON": str(site)}, capture_output=True, text=True, check=True
    )
    found = done.stdout.splitlines()
    assert str(library) in found
    assert found.index(str(library)) < found.index("/usr/lib/R/library")


# --- what is newer -----------------------------------------------------------------------------------------


def test_a_state_of_a_day_has_nothing_newer_and_that_of_today_has(context: Context, server: Server) -> None:
    section = resolve(context, "four")
    request = Request("env-cran", "cran", (("four",),), ("dated",))
    entries = ("four 0.5", "twice 1.10", "twice 2.0: R (>= 4.3)")
    text = "\n".join(
        f"Package: {one.split(' ')[0]}\nVersion: {one.split(' ')[1].rstrip(':')}\nDepends: {one.partition(': ')[2]}\n"
        for one in entries
    )
    # a server of snapshots is a day late
    yesterday = datetime.now(UTC).date() - timedelta(1)
    server.add(f"/cran/{yesterday}/src/contrib/PACKAGES", Resource(text.encode()))
    found = ECOSYSTEM.offered(section, Asked(request, context.base, context.indexes), context)
    assert (found["four"].newest, found["four"].again, found["four"].snapshot) == ("0.5", "0.4", "dated")
    # twice 2.0 is for a later R than the base's
    assert (found["twice"].newest, found["twice"].again, found["twice"].snapshot) == ("1.10", "1.2-3", "dated")


def test_a_repository_that_is_silent_about_today_says_nothing(context: Context) -> None:
    section = resolve(context, "four")
    request = Request("env-cran", "cran", (("four",),), ("dated",))
    with pytest.raises(LockError, match="cannot be read"):
        ECOSYSTEM.offered(section, Asked(request, context.base, context.indexes), context)
