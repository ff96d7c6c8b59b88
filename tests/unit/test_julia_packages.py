"""Julia packages: a registry, what fits together, tree hashes; then lock, lay out and list small real packages."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import shutil
import socket
import string
import subprocess
import tarfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apt_archive
import julia_packages as small
import pytest
from beyond import beyond
from held import differences, image_of, promised
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from server import Resource, Server
from tiny import project

from dsvm.catalog import Catalog, applicable
from dsvm.ecosystems import Asked, Context, Request, Runtime
from dsvm.ecosystems.julia import ecosystem as julia
from dsvm.ecosystems.julia.depot import (
    Contents,
    contents,
    crc32c,
    manifest_text,
    platform_of,
    slug,
    standard_library,
    tree_hashes,
)
from dsvm.ecosystems.julia.registry import Julia, Need, Registry, Release, read_registry, solve
from dsvm.ecosystems.julia.versions import Version, allowed, compat
from dsvm.ecosystems.registered import parse_request
from dsvm.host import Host
from dsvm.lock.files import to_text
from dsvm.lock.requests import Wanted, input_of_base, wanted_sections
from dsvm.model import Base, Choice, Index, InputError, Lock, LockError, Pin, Section, StoreError, canonical_json
from dsvm.plan import make_plan
from dsvm.plan.stages import FILE_TIME
from dsvm.screen import show_variant
from dsvm.session import Session
from dsvm.store import Store

INSTALL = Path(__file__).parents[2] / "scripts/image/install-julia"
EPOCH = 1_700_000_000
BASE = Base(base="debian-12", summary="", os="debian", release="12", glibc="2.36", python="3.11")


# --- requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["CSV", "DataFrames 1.6", "Plots ~1.39.0, 2", "GR_jll >= 0.7", "IJulia>=1.28", "A 1 - 2"]
)
def test_a_request_names_a_package(text: str) -> None:
    assert TypeAdapter(julia.ECOSYSTEM.request_type).validate_python([text]) == (text,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-e",
        "../evil",
        "a b",
        "CSV.jl",
        "CSV >= ",
        "CSV; id",
        "CSV$(id)",
        "CSV\nRUN x",
        "1CSV",
        "C/SV",
        "Ünï",
        "CSV > 1",
    ],
)
def test_a_request_is_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(julia.ECOSYSTEM.request_type).validate_python([text])


# --- the registry ------------------------------------------------------------------------------------------

LIBRARY = "00000000-0000-4000-8000-00000000cafe"


def uuid_of(name: str) -> str:
    return f"{hashlib.sha256(name.encode()).hexdigest()[:8]}-0000-4000-8000-000000000000"


def registry(text: str) -> Registry:
    """A registry from lines `NAME VERSION: needs`: each a name, with a blank a range; ?NAME is a weak dependency."""
    files: dict[str, str] = {}
    names: dict[str, list[tuple[str, str]]] = {}
    for line in text.strip().splitlines():
        head, _, needs = line.strip().partition(":")
        name, version = head.split(maxsplit=1)
        names.setdefault(name, []).append((version, needs))
    for name, versions in names.items():
        tables: dict[str, str] = dict.fromkeys(("Versions", "Deps", "Compat", "WeakDeps", "WeakCompat"), "")
        for word, needs in versions:
            version, yanked = word.removesuffix(" yanked"), word.endswith(" yanked")
            more = "yanked = true\n" if yanked else ""
            tables["Versions"] += f'["{version}"]\ngit-tree-sha1 = "{"a" * 40}"\n{more}\n'
            own: dict[str, str] = dict.fromkeys(tables, "")
            for need in filter(None, (need.strip() for need in needs.split(","))):
                other, _, versions_of_it = need.removeprefix("?").partition(" ")
                weak = "Weak" if need.startswith("?") else ""
                if other != "julia":
                    own[f"{weak}Deps"] += f'{other} = "{LIBRARY if other == "Library" else uuid_of(other)}"\n'
                if versions_of_it:
                    ranges = "[" + ", ".join(f'"{one}"' for one in versions_of_it.split("|")) + "]"
                    own[f"{weak}Compat"] += f"{other} = {ranges}\n"
            for file, entries in own.items():
                tables[file] += f'["{version.partition("+")[0]}"]\n{entries}\n' if entries else ""
        files |= {f"{name}/{file}.toml": table for file, table in tables.items() if table}
    entries = "".join(f'{uuid_of(name)} = {{ name = "{name}", path = "{name}" }}\n' for name in names)
    files["Registry.toml"] = f'name = "Test"\nuuid = "{small.REGISTRY}"\n[packages]\n{entries}'
    return Registry({path: content.encode() for path, content in files.items()})


def library(version: str = "1.5.3") -> Julia:
    return Julia(Version(version), {LIBRARY: Release(LIBRARY, "Library", Version(version))})


def solved(text: str, *wanted: str, version: str = "1.5.3") -> str:
    found = solve([julia.parse_request(one) for one in wanted], registry(text), library(version))
    return " ".join(sorted(f"{one.name}-{one.version}" for one in found.values()))


def test_the_newest_versions_that_fit_are_taken() -> None:
    text = """
        Top 1.0.0: Leaf 1
        Top 1.1.0: Leaf 1-2, Library
        Leaf 1.9.0:
        Leaf 1.10.0:
        Leaf 2.0.0: julia 1.6-1
        Leaf 2.1.0 yanked:
    """
    assert solved(text, "Top") == "Leaf-1.10.0 Library-1.5.3 Top-1.1.0"
    assert solved(text, "Top", version="1.12.7") == "Leaf-2.0.0 Library-1.12.7 Top-1.1.0"
    assert solved(text, "Top ~1.0") == "Leaf-1.10.0 Top-1.0.0"
    assert solved(text, "Leaf =1.9.0", "Top") == "Leaf-1.9.0 Library-1.5.3 Top-1.1.0"


def test_a_newer_version_is_given_up_for_one_that_fits() -> None:
    text = """
        Left 2.0.0: Leaf 2
        Left 1.0.0: Leaf 1
        Right 1.0.0: Leaf 1.2-1
        Leaf 2.0.0:
        Leaf 1.1.0:
        Leaf 1.3.0+1:
        Leaf 1.3.0+0:
    """
    assert solved(text, "Left", "Right") == "Leaf-1.3.0+1 Left-1.0.0 Right-1.0.0"


def test_packages_that_need_each_other_are_no_endless_story() -> None:
    assert solved("One 1.0.0: Two\nTwo 1.0.0: One", "One") == "One-1.0.0 Two-1.0.0"


WEAK = """
    Top 1.0.0: ?Weak 1
    Weak 1.0.0:
    Weak 2.0.0:
    Old 1.0.0: Weak 1, ?Weak 1
"""


def test_a_weak_dependency_counts_when_something_else_brings_it() -> None:
    assert solved(WEAK, "Top", version="1.12.7") == "Top-1.0.0"
    assert solved(WEAK, "Top", "Weak", version="1.12.7") == "Top-1.0.0 Weak-1.0.0"
    assert solved(WEAK, "Weak", version="1.12.7") == "Weak-2.0.0"


def test_what_is_weak_for_a_new_julia_is_needed_by_an_old_one() -> None:
    assert solved(WEAK, "Old", version="1.12.7") == "Old-1.0.0"
    assert solved(WEAK, "Old", version="1.8.5") == "Old-1.0.0 Weak-1.0.0"


def test_unknown_packages_are_all_named_with_the_nearest_ones() -> None:
    with pytest.raises(LockError) as caught:
        solved("DataFrames 1.0.0:\nCSV 1.0.0:", "DataFrame", "CSV", "Nothing", "Library")
    assert caught.value.message.splitlines() == [
        "Julia packages cannot be had:",
        "    DataFrame: not in the registry Test (did you mean 'DataFrames'?)",
        "    Nothing: not in the registry Test",
        "    Library: a part of Julia 1.5.3 itself, and in every image that has that",
    ]


@pytest.mark.parametrize(
    ("text", "wanted", "lines"),
    [
        (
            "Left 1.0.0: Leaf 1\nRight 1.0.0: Leaf 2\nLeaf 1.5.0:\nLeaf 2.5.0:",
            ["Left", "Right"],
            ["Leaf 1, which Left 1.0.0 needs", "Leaf 2, which Right 1.0.0 needs",
             "Leaf has versions 1.5.0 to 2.5.0 for Julia 1.5.3"],
        ),
        (
            "Leaf 1.5.0:",
            ["Leaf 2"],
            ["Leaf 2.0.0-2, which is asked for", "Leaf has versions 1.5.0 to 1.5.0 for Julia 1.5.3"],
        ),
        (
            "Leaf 1.5.0: julia 1.9-1",
            ["Leaf"],
            ["Leaf, which is asked for", "Leaf has no version for Julia 1.5.3: 1.5.0 is for 1.9-1"],
        ),
        (
            "Top 1.0.0: Gone 1",
            ["Top"],
            ["Gone 1, which Top 1.0.0 needs",
             f"Gone ({uuid_of('Gone')}) is neither in the registry nor a part of Julia 1.5.3"],
        ),
        (
            "Top 1.0.0: Library 1.6-1",
            ["Top"],
            ["Library 1.6-1, which Top 1.0.0 needs", "Julia 1.5.3 brings Library 1.5.3"],
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named(text: str, wanted: Sequence[str], lines: Sequence[str]) -> None:
    with pytest.raises(LockError) as caught:
        solved(text, *wanted)
    first, *others = caught.value.message.splitlines()
    assert first == "no versions of these Julia packages fit together:"
    assert sorted(line.strip() for line in others) == sorted(lines)


NAMES = ("A", "B", "C", "D")
SMALL_VERSIONS = ("1.0.0", "1.1.0", "2.0.0")


@st.composite
def small_registries(draw: st.DrawFn) -> str:
    lines = []
    for name in NAMES:
        for version in SMALL_VERSIONS:
            others = draw(st.lists(st.sampled_from([one for one in NAMES if one != name]), max_size=2, unique=True))
            ranges = [draw(st.sampled_from(["1", "1.1", "2", "1.1-2", "*"])) for _ in others]
            lines.append(
                f"{name} {version}: " + ", ".join(f"{one} {said}" for one, said in zip(others, ranges, strict=True))
            )
    return "\n".join(lines)


@settings(max_examples=60)
@given(small_registries())
@example("A 1.0.0: \nA 1.1.0: B 2\nA 2.0.0: B 1\nB 1.0.0: \nB 1.1.0: A 1, C 1\nC 1.1.0: A 2\nC 2.0.0: \nD 1.0.0: ")
def test_a_solution_is_right_and_found_whenever_there_is_one(text: str) -> None:
    """Compared with all there is: every choice of one version or none for each of four packages."""
    known = registry(text)
    releases = {name: known.releases(uuid_of(name)) for name in NAMES}

    def right(chosen: Mapping[str, Release]) -> bool:
        return uuid_of("A") in chosen and all(
            need.uuid in chosen and allowed(need.versions, chosen[need.uuid].version)
            for one in chosen.values()
            for need in one.needs
        )

    try:
        found = solve([("A", compat(">= 0"))], known, library())
    except LockError:
        found = {}
    if found:
        assert right(found)
    else:
        choices = itertools.product(*([None, *releases[name]] for name in NAMES))
        assert not any(right({one.uuid: one for one in choice if one is not None}) for choice in choices)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("Leaf/Versions.toml", '["1"]\ngit-tree-sha1 = "' + "a" * 40 + '"'),
        ("Leaf/Versions.toml", '["1.0.0"]\ngit-tree-sha1 = "../../etc"'),
        ("Leaf/Versions.toml", "not toml"),
        ("Leaf/Deps.toml", '["1"]\nOther = "../evil"'),
        ("Leaf/Compat.toml", '["1"]\njulia = "^1"'),
        ("Leaf/Deps.toml", '["x"]\nOther = 1'),
    ],
)
def test_a_registry_that_says_nonsense_is_refused(path: str, content: str) -> None:
    broken = Registry({**registry("Leaf 1.0.0:").files, path: content.encode()})
    with pytest.raises(LockError):
        solve([("Leaf", compat("1"))], broken, library())


def test_a_registry_is_the_one_that_its_index_names(tmp_path: Path) -> None:
    archive = tmp_path / "registry"
    archive.write_bytes(small.tarball(small.registry_files(small.packages())))
    assert set(read_registry(archive, small.REGISTRY).names) == {"Halves", "Quarters", "Words"}
    with pytest.raises(LockError, match=f"is the Julia registry {small.REGISTRY}, not {LIBRARY}"):
        read_registry(archive, LIBRARY)
    for content in (b"", b"<html>", small.tarball({"README": ""}), small.tarball({"Registry.toml": "uuid = 1"})):
        archive.write_bytes(content)
        with pytest.raises(LockError, match="not a Julia registry"):
            read_registry(archive, small.REGISTRY)


# --- digests and places ------------------------------------------------------------------------------------

PATHS = st.lists(st.text(string.ascii_letters + "._-+ ä", min_size=1, max_size=4), min_size=1, max_size=3).map(
    lambda parts: "/".join(part if part.strip(".") else f"x{part}" for part in parts)
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(PATHS, st.sampled_from(["", "text\n", "#!/bin/sh\n", "ä"]), min_size=1, max_size=6))
def test_a_tree_hash_is_git_s_own(tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]) -> None:
    files = {
        path: text
        for path, text in files.items()
        if not any(other.startswith(f"{path}/") for other in files) and ".git" not in path.lower().split("/")
    }
    archive = tmp_path_factory.mktemp("tree") / "tarball"
    archive.write_bytes(small.tarball(files))
    assert tree_hashes(archive) == {small.tree_hash(files)}


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_links_and_empty_folders_count(tmp_path: Path) -> None:
    archive = tmp_path / "tarball"
    archive.write_bytes(
        tar_of(
            (member("./"[:-1], tarfile.DIRTYPE), b""),
            (member("./file"), b"x"),
            (member("link", tarfile.SYMTYPE, "file"), b""),
        )
    )
    work = tmp_path / "work"
    work.mkdir()
    (work / "file").write_text("x")
    (work / "link").symlink_to("file")
    git = ("git", "-C", str(work))
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    wanted = subprocess.run([*git, "write-tree"], check=True, capture_output=True, text=True).stdout.strip()
    assert tree_hashes(archive) == {wanted}
    # git's hash of nothing at all, and of a folder with it
    archive.write_bytes(tar_of((member("empty", tarfile.DIRTYPE), b"")))
    body = b"40000 empty\0" + bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")
    with_it = hashlib.sha1(b"tree %d\0" % len(body) + body).hexdigest()
    assert tree_hashes(archive) == {with_it, "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}


@pytest.mark.parametrize(
    "content",
    [
        tar_of((member("/etc/passwd"), b"x")), tar_of((member("../x"), b"x")), tar_of((member("a/../../x"), b"x")),
        tar_of((member("dev", tarfile.CHRTYPE), b"")),
        tar_of((member("file"), b"x"), (member("hard", tarfile.LNKTYPE, "file"), b"")),
        tar_of((member("file"), b"x"), (member("file/x"), b"x")), tar_of((member("."), b"x")),
    ],
    ids=["absolute", "above", "above by a detour", "device", "hard link", "file as folder", "no name"],
)  # fmt: skip
def test_a_tarball_of_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tarball").write_bytes(content)
    with pytest.raises(ValueError):
        tree_hashes(tmp_path / "tarball")


def test_places_are_those_that_julia_looks_at() -> None:
    # RFC 3720, B.4
    assert crc32c(b"") == 0
    assert crc32c(b"\0" * 32) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    # as Julia 1.5.3 says it of DataFrames 1.6.1
    assert slug("a93c6f00-e57d-5684-b7b6-d8193f3e46c0", "04c738083f29f86e62c8afc341f0967d8717bdb8") == "58MUJ"


# --- what packages say -------------------------------------------------------------------------------------


def artifacts_of(
    tmp_path: Path, text: str, *, version: str = "1.12.7", file: str = "Artifacts.toml"
) -> Mapping[str, str]:
    (tmp_path / "package").write_bytes(small.tarball({"Project.toml": "", file: text}))
    return {
        name: tree[0]
        for name, tree in contents(tmp_path / "package", platform_of("amd64", Version(version))).artifacts.items()
    }


def entry(name: str, letter: str, **tags: object) -> str:
    lines = [f"{key} = {value!r}".replace("True", "true") for key, value in tags.items()]
    return "\n".join([f"[[{name}]]", f'git-tree-sha1 = "{letter * 40}"', *lines, ""])


def test_the_artifacts_for_the_image_s_platform_are_taken(tmp_path: Path) -> None:
    linux: dict[str, object] = {"os": "linux", "arch": "x86_64", "libc": "glibc"}
    text = (
        entry("lib", "a", **{**linux, "arch": "aarch64"})
        + entry("lib", "b", **{**linux, "libc": "musl"})
        + entry("lib", "c", **linux, libgfortran_version="3.0.0")
        + entry("lib", "d", **linux, libgfortran_version="5.0.0", cxxstring_abi="cxx11")
        + entry("lib", "e", **linux, libgfortran_version="5.0.0", cxxstring_abi="cxx03")
        + entry("other", "f", os="windows", arch="x86_64")
        + entry("late", "f", **linux, lazy=True)
        + entry("binding", "1", **linux, julia_version="1.11.0")
        + entry("binding", "2", **linux, julia_version="1.12.0")
        + entry("special", "3", **linux)
        + entry("special", "4", **linux, unheard_of="yes")
        + f'[any]\ngit-tree-sha1 = "{"5" * 40}"\n'
    )
    assert artifacts_of(tmp_path, text) == {"lib": "d", "binding": "2", "special": "4", "any": "5"}
    assert artifacts_of(tmp_path, text, version="1.11.3")["binding"] == "1"


def test_a_package_may_have_its_files_under_another_name(tmp_path: Path) -> None:
    assert artifacts_of(tmp_path, f'[any]\ngit-tree-sha1 = "{"5" * 40}"\n', file="JuliaArtifacts.toml") == {"any": "5"}


@pytest.mark.parametrize(
    "text", ["x", '[a]\ngit-tree-sha1 = "../../etc"', f'["../a"]\ngit-tree-sha1 = "{"5" * 40}"', "[a]"]
)
def test_artifacts_that_lead_elsewhere_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        artifacts_of(tmp_path, text)


@pytest.mark.parametrize("version", ["1.5.3", "1.12.7"])
def test_a_manifest_says_all_of_it(version: str) -> None:
    one = Release(
        uuid_of("One"),
        "One",
        Version("1.2.0+3"),
        "a" * 40,
        needs=(Need(uuid_of("Two"), "Two"), Need(LIBRARY, "Library")),
    )
    two = Release(uuid_of("Two"), "Two", Version("0.1.0"), "b" * 40)
    about = library(version)
    said = {
        one.uuid: Contents(weak={"Weak": uuid_of("Weak")}, extensions={"OneWeakExt": "Weak", "Both": ["Weak", "Two"]})
    }
    read: dict[str, Any] = tomllib.loads(manifest_text([two, one, *about.library.values()], said, about))
    if version == "1.12.7":
        assert (read.pop("julia_version"), read.pop("manifest_format")) == (version, "2.0")
        read = read["deps"]
    assert read == {
        "Library": [{"uuid": LIBRARY}],
        "One": [
            {
                "deps": ["Two", "Library"],
                "git-tree-sha1": "a" * 40,
                "uuid": one.uuid,
                "version": "1.2.0+3",
                "extensions": {"OneWeakExt": "Weak", "Both": ["Weak", "Two"]},
                "weakdeps": {"Weak": uuid_of("Weak")},
            }
        ],
        "Two": [{"git-tree-sha1": "b" * 40, "uuid": two.uuid, "version": "0.1.0"}],
    }


STATISTICS = f"""
name = "Statistics"
uuid = "{small.STATISTICS}"
[deps]
Other = "{uuid_of("Other")}"
"""
OTHER = f"""
name = "Other"
uuid = "{uuid_of("Other")}"
version = "1.11.1+2"
[weakdeps]
W = "{uuid_of("W")}"
[extensions]
E = "W"
"""


def test_what_julia_brings_is_read_from_a_tarball_and_from_a_deb(tmp_path: Path) -> None:
    library_files = {
        "share/julia/stdlib/v1.12/Statistics/Project.toml": STATISTICS,
        "share/julia/stdlib/v1.12/Other/Project.toml": OTHER,
        "share/julia/stdlib/v1.12/Other/test/Project.toml": "not = [its own",
    }
    tarball = tmp_path / "julia.tar.gz"
    tarball.write_bytes(small.tarball({f"julia-1.12.7/{path}": text for path, text in library_files.items()}))
    deb = apt_archive.deb(
        tmp_path, "julia-common", files={f"/usr/{path}": text for path, text in library_files.items()}
    )
    (tmp_path / "nothing.tar.gz").write_bytes(small.tarball({"README": ""}))
    for archives in ([tarball], [deb], [tmp_path / "nothing.tar.gz", deb]):
        found = standard_library(archives, Version("1.12.7"))
        statistics, said = found[small.STATISTICS]
        assert (str(statistics), statistics.needs) == ("Statistics 1.12.7", (Need(uuid_of("Other"), "Other"),))
        assert said == Contents()
        other, said = found[uuid_of("Other")]
        assert (str(other), said.extensions, said.weak) == ("Other 1.11.1+2", {"E": "W"}, {"W": uuid_of("W")})
    with pytest.raises(LockError, match="standard library"):
        standard_library([tmp_path / "nothing.tar.gz"], Version("1.12.7"))


# --- a package server of our own ---------------------------------------------------------------------------


@pytest.fixture
def tree(server: Server) -> str:
    """Tree hash of the registry that the server has, with all its packages."""
    found, tree = small.served(small.packages())
    for path, content in found.items():
        server.add(path, Resource(content))
    return tree


@pytest.fixture
def context(server: Server, tree: str, host: Host, tmp_path: Path) -> Context:
    (tmp_path / "work").mkdir()
    index = Index(index="small", url=f"{server.url}/registry/{small.REGISTRY}/{{tree}}", tree=tree)
    return Context(
        base=BASE, host=host, store=Store(tmp_path / "store"), work=tmp_path / "work", indexes={"small": index}
    )


@pytest.fixture
def runtime(server: Server) -> Runtime:
    """Julia 1.5.3's own archive, as far as locking packages looks at it."""
    names = {"Statistics": small.STATISTICS, "Pkg": small.PKG}
    files = {
        f"julia-1.5.3/share/julia/stdlib/v1.5/{name}/Project.toml": f'name = "{name}"\nuuid = "{uuid}"\n'
        for name, uuid in names.items()
    }
    content = small.tarball(files)
    url = server.add("/julia-1.5.3-linux-x86_64.tar.gz", Resource(content))
    download = {"url": url, "version": "1.5.3", "sha256": hashlib.sha256(content).hexdigest(), "to": "/opt/julia"}
    return Runtime("julia", "url", parse_request("url", [download]))


def resolve(context: Context, runtime: Runtime, *items: Sequence[str]) -> Section:
    request = Request("env-julia", "julia", items, ("small",), runtimes=(runtime,))
    pins, extra = julia.ECOSYSTEM.resolve(request, context)
    assert beyond("julia", request, context, pins, extra) == []
    return Section(
        id="env-julia", ecosystem="julia", request=[list(item) for item in items], input="0" * 64, epoch=EPOCH,
        pins=tuple(pins), extra=dict(extra),
    )  # fmt: skip


def test_resolve_pins_packages_and_artifacts_and_names_no_host(
    context: Context, runtime: Runtime, server: Server, tree: str
) -> None:
    section = resolve(context, runtime, ["Quarters 0.3"], ["Words"])
    listed = {one.name: one for one in small.packages() if one.version in ("1.1.0", "0.3.1", "0.2.0+1")}
    artifact = small.tree_hash(small.ARTIFACT)
    files = {
        "Halves": ("1.1.0", f"package/{small.HALVES}/{small.tree_hash(listed['Halves'].files)}"),
        "Quarters": ("0.3.1", f"package/{small.QUARTERS}/{small.tree_hash(listed['Quarters'].files)}"),
        "Words": ("0.2.0+1", f"package/{small.WORDS}/{small.tree_hash(listed['Words'].files)}"),
        "Words/words": (artifact, f"artifact/{artifact}"),
    }
    assert {pin.name: (pin.version, pin.file) for pin in section.pins} == files
    for pin in section.pins:
        content = server.resources[f"/{pin.file}"].content
        assert (pin.sha256, pin.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert section.extra["registry"] == {
        "file": f"registry/{small.REGISTRY}/{tree}",
        "name": "Small",
        "sha256": hashlib.sha256(server.resources[f"/registry/{small.REGISTRY}/{tree}"].content).hexdigest(),
        "size": len(server.resources[f"/registry/{small.REGISTRY}/{tree}"].content),
    }
    assert section.extra["environment"] == julia.PATHS
    texts = section.extra["texts"]
    quarters = next(pin for pin in section.pins if pin.name == "Quarters")
    place = julia.ECOSYSTEM.file_name(quarters).removesuffix(".tar.gz").replace("+", "/")
    assert (texts["builds"], texts["loads"]) == (f"{place}\n", "Quarters\nWords\n")
    assert tomllib.loads(texts["Project.toml"]) == {"deps": {"Quarters": small.QUARTERS, "Words": small.WORDS}}
    assert set(tomllib.loads(texts["Build.toml"])["deps"]) == {"Halves", "Pkg", "Quarters", "Statistics", "Words"}
    assert server.host not in canonical_json(section)
    # in the image each has a file of its own
    assert len({julia.ECOSYSTEM.file_name(pin) for pin in section.pins}) == len(section.pins)

    asked = len(server.requests)
    assert resolve(context, runtime, ["Quarters 0.3"], ["Words"]) == section
    assert len(server.requests) == asked, "what is known was fetched again"


def test_the_server_is_the_machine_s_own_before_the_manifest_s(context: Context, server: Server) -> None:
    pin = Pin(name="A", version="1.0.0", file="artifact/x", size=1, sha256="0" * 64, registry="small")

    def places(environ: Mapping[str, str], **sources: tuple[str, ...]) -> list[str]:
        host = Host(environ=environ, sources=sources, etc=context.host.etc)
        return list(julia.ECOSYSTEM.locate(pin, replace(context, host=host)))

    assert places({}) == places({"JULIA_PKG_SERVER": ""}) == [f"{server.url}/artifact/x"]
    assert places({"JULIA_PKG_SERVER": "julia.example/"}) == ["https://julia.example/artifact/x"]
    assert places({"JULIA_PKG_SERVER": "http://julia.example"}) == ["http://julia.example/artifact/x"]
    own = places({"JULIA_PKG_SERVER": "julia.example"}, julia=("https://a.example", "file:///b"))
    assert own == ["https://a.example/artifact/x", "file:///b/artifact/x"]
    assert places({}, small=("https://c.example",), julia=("https://a.example",)) == ["https://c.example/artifact/x"]


def test_a_folder_can_be_the_server(context: Context, runtime: Runtime, server: Server, tmp_path: Path) -> None:
    section = resolve(context, runtime, ["Words"])
    for path, resource in server.resources.items():
        (tmp_path / f"mirror{path}").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"mirror{path}").write_bytes(resource.content)
    sources = {"julia": (f"file://{tmp_path}/mirror",)}
    host = Host(environ=context.host.environ, sources=sources, etc=context.host.etc)
    here = replace(context, host=host, store=Store(tmp_path / "another"))
    assert resolve(here, runtime, ["Words"]) == section


@pytest.mark.parametrize("kind", ["registry", "package", "artifact"])
def test_another_content_than_the_tree_hash_names_is_refused(
    context: Context, runtime: Runtime, server: Server, kind: str
) -> None:
    (path,) = (path for path in server.resources if path.startswith(f"/{kind}/") and small.HALVES not in path
               and small.QUARTERS not in path)  # fmt: skip
    tree = path.rpartition("/")[2]
    server.resources[path].content = small.tarball({"Registry.toml": "", "README": "something else"})
    with pytest.raises(LockError, match=rf"(?s)the tree hash of its files is [0-9a-f]{{40}}, not {tree}"):
        resolve(context, runtime, ["Words"])
    server.resources[path].content = b"<html>log in</html>"
    with pytest.raises(LockError, match=r"not a package server.s tarball|a web page came"):
        resolve(context, runtime, ["Words"])


def test_a_server_out_of_reach_and_unknown_packages_are_told_before_locking(context: Context, server: Server) -> None:
    assert julia.ECOSYSTEM.probe(["Words"], "small", context) is None
    assert julia.ECOSYSTEM.probe(["Words", "Wurds"], "small", context) == (
        "Wurds: not in the registry Small (did you mean 'Words'?)"
    )
    assert "its tools name none" in str(julia.ECOSYSTEM.probe(["Words"], None, context))
    server.close()
    host = Host(environ=context.host.environ, etc=context.host.etc)
    gone = replace(context, store=Store(context.work / "another"), host=host)
    assert "127.0.0.1" in str(julia.ECOSYSTEM.probe(["Words"], "small", gone))


def test_a_server_that_cannot_be_reached_is_waited_for_once_by_all_who_ask_again(context: Context) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nobody = f"127.0.0.1:{listening.getsockname()[1]}"
    index = context.indexes["small"].model_copy(update={"url": f"http://{nobody}/registry/{small.REGISTRY}/{{tree}}"})
    asking = replace(context, indexes={"small": index}, once=True)
    first = julia.ECOSYSTEM.probe(["Words"], "small", asking)
    assert first is not None and nobody in asking.dead
    asking.dead[nobody] = "known to be gone"
    assert "known to be gone" in str(julia.ECOSYSTEM.probe(["Numbers"], "small", asking))
    assert julia.ECOSYSTEM.probe(["Words"], "small", replace(asking, dead={})) == first, "the next run asks again"


def test_an_image_has_packages_of_one_state_of_a_registry(context: Context, runtime: Runtime) -> None:
    dated = Index(index="dated", url="https://example.org/{date}", date="2023-03-14")
    here = replace(context, indexes={**context.indexes, "dated": dated})
    for indexes in ((), ("small", "dated"), ("dated",)):
        with pytest.raises(LockError, match="one state of a registry") as caught:
            julia.ECOSYSTEM.resolve(Request("env-julia", "julia", (["Words"],), indexes, runtimes=(runtime,)), here)
        assert "SERVER/registry/UUID/{tree}" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tree": None}, "a 'date' or a 'tree'"),
        ({"date": "2023-03-14"}, "a 'date' or a 'tree'"),
        ({"tree": "main"}, "should match pattern"),
        ({"url": "https://example.org/registry"}, "a place for its state: {tree}"),
    ],
)
def test_an_index_may_be_a_tree(change: Mapping[str, object], message: str) -> None:
    good = {"index": "state", "url": "https://example.org/{tree}", "tree": "a" * 40}
    assert Index.model_validate(good).at("x{tree}") == "x" + "a" * 40
    assert "tree" not in Index(index="one", url="https://example.org", packages=("one",)).model_dump()
    with pytest.raises(ValidationError, match=message):
        Index.model_validate({**good, **change})


# --- lock and plan -----------------------------------------------------------------------------------------


def with_variant(*tools: str) -> Catalog:
    catalog = project()
    variant = catalog.variants["cpu-debian"].model_copy(update={"tools": tools})
    return replace(catalog, variants={"cpu-debian": variant})


def wanted_of(catalog: Catalog, **sources: int) -> dict[str, Wanted]:
    variant = catalog.variants["cpu-debian"]
    choices = [Choice(tool=tool, source=sources.get(tool, 0)) for tool in variant.tools]
    return {one.id: one for one in wanted_sections(catalog, variant, choices)}


TOOLS = ("julia", "julia-csv", "julia-dataframes")


def test_the_packages_of_all_tools_are_one_section_for_the_julia_that_was_chosen() -> None:
    catalog = with_variant(*TOOLS)
    base = catalog.bases["debian-12"]
    official, debian = wanted_of(catalog), wanted_of(catalog, julia=1)
    assert official["env-julia"].request.items == (("CSV",), ("DataFrames",))
    assert official["env-julia"].request.indexes == ("julia-general",)
    assert {one.ecosystem for one in official["env-julia"].request.runtimes} == {"url"}
    assert "runtime-julia" not in official
    # the distribution's Julia is a runtime like its R: of this request alone, from its repository
    assert debian["runtime-julia"].request.items == (("julia",),)
    assert debian["runtime-julia"].request.repositories == ("debian-bullseye",)
    assert debian["env-julia"].request.runtimes[0].repositories == ("debian-bullseye",)
    assert debian["system"].request.repositories == ("debian-bullseye",)
    inputs = [one["env-julia"].input(base, catalog.registries) for one in (official, debian)]
    assert inputs[0] != inputs[1], "packages for another Julia are not stale"
    newer = catalog.indexes["julia-general"].model_copy(update={"tree": "b" * 40})
    assert official["env-julia"].input(base, {**catalog.registries, "julia-general": newer}) != inputs[0]


def test_packages_without_julia_are_refused() -> None:
    catalog = with_variant(*TOOLS)
    variant = catalog.variants["cpu-debian"]
    choices = [Choice(tool="julia-csv", source=0)]
    with pytest.raises(InputError, match="no runtime 'julia', and cpu-debian is locked without a tool of that name"):
        wanted_sections(catalog, variant, choices)
    # and where nobody could bring one, there is no such source
    alone = with_variant("julia-csv").variants["cpu-debian"]
    base = catalog.bases["debian-12"]
    assert applicable(catalog.tools["julia-csv"], alone, base) == []
    assert len(applicable(catalog.tools["julia-csv"], variant, base)) == 1


def test_a_request_is_read_as_it_was_written() -> None:
    """A lock is compared with what its manifests ask for, and JSON knows lists alone."""
    for wanted in wanted_of(with_variant(*TOOLS)).values():
        assert json.loads(json.dumps(wanted.as_json())) == wanted.as_json(), wanted.id


def lock_of(catalog: Catalog, **sources: int) -> Lock:
    """A lock as locking would write it, with a package or two in each section."""
    base = catalog.bases["debian-12"]
    packages = {"env-julia": ("CSV", "DataFrames"), "system": ("julia",), "runtime-julia": ("julia",)}
    packages |= {"julia-url": ("julia-1.12.7-linux-x86_64.tar.gz",)}
    epochs = {"julia-url": EPOCH + 1000}
    sections = [
        Section(
            id=one.id, ecosystem=one.ecosystem, tools=one.tools, request=one.as_json(), epoch=epochs.get(one.id, EPOCH),
            input=one.input(base, catalog.registries),
            pins=tuple(
                Pin(name=name, version="1.0.0", file=f"package/{uuid_of(name)}/{'a' * 40}", size=1, sha256="0" * 64,
                    registry="x")
                for name in packages.get(one.id, ())
            ),
            extra={"env": "julia", "environment": julia.PATHS} if one.id == "env-julia" else {},
        )
        for one in wanted_of(catalog, **sources).values()
    ]  # fmt: skip
    ground = Section(id="base", ecosystem="apt", request={}, input=input_of_base(base), epoch=EPOCH, pins=())
    return Lock(
        variant="cpu-debian", base="debian-12", base_kind="bootstrap", sections=(ground, *sections),
        choices=tuple(
            Choice(tool=tool, source=sources.get(tool, 0)) for tool in catalog.variants["cpu-debian"].tools
        ),
    )  # fmt: skip


def test_stages_compile_packages_with_the_julia_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsvm.plan.planning.check", lambda catalog, lock: lock)  # its pins are invented
    catalog = with_variant(*TOOLS)
    plan = make_plan(catalog, lock_of(catalog))
    stages = {stage.name: stage for stage in plan.stages}
    names = list(stages)
    assert names.index("julia-url") < names.index("env-julia_packages") < names.index("env-julia_compiled")
    for layer in ("packages", "compiled"):
        stage = stages[f"env-julia_{layer}"]
        assert (stage.parent, stage.brings, stage.output) == ("base", ("julia-url",), True)
        (step,) = stage.steps
        # whenever they and Julia were locked: a layer out of BuildKit's cache has the times that Julia wrote down
        assert step.args == ("--epoch", str(FILE_TIME), "--depot", julia.DEPOT, "--layer", layer, "env-julia")
        assert step.sections == ("env-julia",)
    assert plan.environment["JULIA_DEPOT_PATH"] == "~/.julia:/opt/julia-depot:"
    assert plan.environment["JULIA_LOAD_PATH"] == ":/opt/julia-depot/environments/dsvm"
    assert stages["env-julia_packages"].unreproducible is None
    assert "time" in str(stages["env-julia_compiled"].unreproducible)
    assert [name for name, stage in stages.items() if stage.unreproducible] == ["env-julia_compiled"]
    assert {tool.name: (tool.package, tool.version) for tool in plan.tools}["julia-csv"] == ("CSV", "1.0.0")


def test_stages_start_from_the_distribution_s_julia_where_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsvm.plan.planning.check", lambda catalog, lock: lock)  # its pins are invented
    catalog = with_variant(*TOOLS)
    plan = make_plan(catalog, lock_of(catalog, julia=1))
    stages = {stage.name: stage for stage in plan.stages}
    assert (stages["env-julia_compiled"].parent, stages["env-julia_compiled"].brings) == ("runtime-julia", ())
    assert (stages["runtime-julia"].parent, stages["runtime-julia"].output) == ("base", False)


def test_who_gets_the_old_julia_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsvm.plan.planning.check", lambda catalog, lock: lock)  # its pins are invented
    official, debian, *_ = project().tools["julia"].sources
    assert (official.remark, debian.repository) == ("", "debian-bullseye")
    lock = lock_of(with_variant(*TOOLS), julia=1).model_copy(update={"variant": "old"})
    for name, text in {
        "variants/old.yaml": "variant: old\nbase: debian-12\naccelerator: cpu\nformats: [docker, qcow2]\n"
        f"tools: [{', '.join(TOOLS)}]\n",
        "locks/old.json": to_text(lock),
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    show_variant(Session(print, print, overlays=[tmp_path]), "old")
    assert "julia: old; Julia 1.5 is of 2020" in capsys.readouterr().out


# --- the depot ---------------------------------------------------------------------------------------------


def install(root: Path, section: Section, store: Store, layer: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run install-julia with `root` as /; what it makes stands below `out`."""
    part = next(part for part in julia.ECOSYSTEM.parts(section) if part.id.endswith(layer))
    step = julia.ECOSYSTEM.install(part, BASE)
    assert step.script == INSTALL.name
    shutil.rmtree(root / "out", ignore_errors=True)
    files = root / "dsvm/store" / section.id
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    for pin in section.pins:
        shutil.copy(store.path(pin.sha256), files / julia.ECOSYSTEM.file_name(pin))
    for name, text in section.extra["texts"].items():
        (files / name).write_text(text)
    argv = [str(INSTALL), "--root", str(root), *step.args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **env})


def listing(root: Path) -> dict[str, tuple[int, int, str]]:
    """Path -> mode, mtime and content."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode & 0o7777,
            int(path.lstat().st_mtime),
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(root.rglob("*"))
    }


def in_image(out: Path) -> Callable[[Sequence[str]], str]:
    """Runs commands as if `out` were the image's root."""

    def run(argv: Sequence[str]) -> str:
        words = [f"{out}{word}" if word.startswith("/opt") else word for word in argv]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    return run


def test_a_depot_is_laid_out_the_same_each_time_and_agrees_with_the_lock(
    context: Context, runtime: Runtime, server: Server, tmp_path: Path
) -> None:
    section = resolve(context, runtime, ["Words"], ["Halves"])
    server.close()
    done = install(tmp_path / "image", section, context.store, "packages")
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "image/out"
    run = in_image(out)
    locked = {pin.name: pin.version for pin in section.pins}
    assert julia.ECOSYSTEM.installed(section, run) == locked

    found = listing(out)
    assert {time for _, time, _ in found.values()} == {EPOCH}
    assert {path for path, (mode, _, _) in found.items() if mode == 0o755 and (out / path).is_file()} == {
        f"opt/julia-depot/artifacts/{small.tree_hash(small.ARTIFACT)}/bin/show"
    }
    assert {mode for mode, _, _ in found.values()} == {0o755, 0o644}
    assert {path.lstat().st_uid for path in out.rglob("*")} == {os.geteuid()}
    assert not (tmp_path / "image" / julia.DEPOT.lstrip("/")).exists()
    assert install(tmp_path / "image", section, context.store, "packages").returncode == 0
    assert listing(out) == found

    image = image_of(out)
    promises = promised(section, {pin.name: context.store.path(pin.sha256) for pin in section.pins})
    assert differences(image, promises) == []
    assert promises.entries.keys() <= image.keys()
    source = next(path for path in image if path.endswith("/src/Halves.jl"))
    manifest = f"{julia.ENVIRONMENT}/Manifest.toml"
    for path in (source, manifest):
        assert differences({**image, path: image[f"{julia.ENVIRONMENT}/Project.toml"]}, promises) == [("changed", path)]
    assert differences({**image, f"{source}.old": image[source]}, promises) == [("unexplained", f"{source}.old")]

    # what is gone or too much shows
    depot = out / julia.DEPOT.lstrip("/")
    (halves,) = (depot / "packages/Halves").iterdir()
    shutil.copytree(halves, depot / "packages/More/abcde")
    halves.rename(halves.with_name("00000"))
    shutil.rmtree(depot / "artifacts" / small.tree_hash(small.ARTIFACT))
    assert julia.ECOSYSTEM.installed(section, run) == {
        "Words": "0.2.0+1",
        "packages/Halves/00000": "not in the manifest",
        "packages/More/abcde": "not in the manifest",
    }


JULIA = """#!/bin/sh
case "$*" in
*build.jl*) echo "built in $PWD for $JULIA_PROJECT" ;;
*) for last; do :; done
   echo "$last" >> "$DSVM_TEST_LOG"
   folder=${JULIA_DEPOT_PATH%%:*}/compiled/v1.5/Words
   if [ ! -e "${JULIA_DEPOT_PATH##*:/}" ]; then mkdir -p "$folder"; echo "$$" > "$folder/x.ji"; fi
   case "$JULIA_DEPOT_PATH" in */user:*) [ -z "$DSVM_TEST_AGAIN" ] && rm -rf "$folder" ;; esac ;;
esac
exit "${DSVM_TEST_EXIT:-0}"
"""


def test_what_julia_would_compile_again_ends_the_build(context: Context, runtime: Runtime, tmp_path: Path) -> None:
    """A program in Julia's place, which writes what it is told to write."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/julia").write_text(JULIA)
    (tmp_path / "bin/julia").chmod(0o755)
    section = resolve(context, runtime, ["Words"])
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "DSVM_TEST_LOG": str(tmp_path / "log")}
    done = install(tmp_path / "image", section, context.store, "compiled", **env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in (tmp_path / "image/out/opt/julia-depot").iterdir()] == ["compiled"]
    # once to compile, once to see that nothing is compiled again
    assert (tmp_path / "log").read_text().splitlines() == ["Words", "Words"]
    done = install(tmp_path / "image", section, context.store, "compiled", **env, DSVM_TEST_AGAIN="yes")
    assert done.returncode == 1
    assert "Julia does not take what was compiled, and compiles again: x.ji" in done.stderr
    done = install(tmp_path / "image", section, context.store, "compiled", **env, DSVM_TEST_EXIT="3")
    assert done.returncode == 3
    assert not (tmp_path / "image/out").exists()
    section = resolve(context, runtime, ["Quarters"])
    done = install(tmp_path / "image", section, context.store, "packages", **env, DSVM_TEST_EXIT="3")
    assert done.returncode == 1
    assert "install-julia: the build script of packages/Quarters/" in done.stderr


# --- what is newer -----------------------------------------------------------------------------------------


def test_the_server_s_present_registry_says_what_is_newer(context: Context, server: Server, runtime: Runtime) -> None:
    section = resolve(context, runtime, ("Quarters", "Words"))
    request = Request("env-julia", "julia", (("Quarters", "Words"),), ("small",), runtimes=(runtime,))
    asked = Asked(request, context.base, context.indexes)
    found = julia.ECOSYSTEM.offered(section, asked, context)
    assert all(one.newest == pin.version for pin, one in zip(section.pins, found.values(), strict=True))
    listed = small.packages()
    one = next(one for one in listed if one.name == "Words")
    newer = [one._replace(version=version) for version in ("0.2.0+2", "0.10.0")]
    newer += [one._replace(version="0.12.0", compat={"julia": "1.99-1"})]
    files, _ = small.served((*listed, *newer))
    for path, content in files.items():
        server.add(path, Resource(content))
    offer = julia.ECOSYSTEM.offered(section, asked, context)["Words"]
    assert (offer.newest, offer.again, offer.snapshot) == ("0.10.0", "0.2.0+1", "small")
    del server.resources["/registries"]
    with pytest.raises(StoreError, match="HTTP 404"):
        julia.ECOSYSTEM.offered(section, asked, context)
