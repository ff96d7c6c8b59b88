"""winget: versions in its order, the installer that fits, how it is run, what it needs, and what is said of faults."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from beyond import beyond
from hypothesis import given
from hypothesis import strategies as st
from powershell import faults
from pydantic import TypeAdapter, ValidationError
from server import Resource, Server
from tiny import project
from winget_tree import Tree, served

from dsvm.ecosystems import Asked, Context, Request
from dsvm.ecosystems.winget import ecosystem as winget
from dsvm.ecosystems.winget import manifests as winget_manifests
from dsvm.ecosystems.winget.manifests import Version
from dsvm.host import Host
from dsvm.model import LockError, Pin, Section
from dsvm.store import Store

BASE = project().bases["windows-2022"]
REQUEST: TypeAdapter[Any] = TypeAdapter(winget.ECOSYSTEM.request_type)
INNO = '/SP- /VERYSILENT /SUPPRESSMSGBOXES /NORESTART /LOG="<LOGPATH>"'


# --- versions ----------------------------------------------------------------------------------------------


# what winget's own tests hold it to: src/AppInstallerCLITests/Versions.cpp
@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1", "2"),
        ("1.0.0", "2.0.0"),
        ("0.0.1", "0.0.2"),
        ("13.9.8", "14.1"),
        ("1.9", "1.10"),
        ("1.0-rc", "1.0"),
        ("1.2-rc", "1.2"),
        ("1-rc", "1"),
        ("1.0-alpha", "1.0-beta"),
        ("v0.0.1", "0.0.2"),
        ("1.a1", "1.b2"),
        ("alpha", "beta"),
        ("8.0.4a", "8.0.4"),
        ("17.9-3", "17.11-1"),
        ("17.11-3", "17.11-4"),
        ("Unknown", "0"),
        ("99999999999999999999", "1"),  # no number of 64 bits
        ("9999", "Latest"),
    ],
)
def test_versions_are_in_winget_s_order(older: str, newer: str) -> None:
    assert Version(older) < Version(newer)
    assert not Version(newer) < Version(older)
    assert Version(older) != Version(newer)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0", "1.0.0"), ("1", "1.0"), ("1.0", "Version 1.0"), ("foo1", "bar1"), ("1.A", "1.a"), ("1.0", "1. 0")],
)
def test_versions_that_are_the_same(one: str, other: str) -> None:
    assert Version(one) == Version(other)
    assert hash(Version(one)) == hash(Version(other))
    assert not Version(one) < Version(other)


VERSIONS = st.text("0129.aB-+v ", max_size=10).map(Version)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_one(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (a == b) + (b < a) == 1
    assert not (a < b and b < c) or a < c


# --- a tree, in a folder and on a web server ---------------------------------------------------------------


@pytest.fixture(params=["folder", "served"])
def tree(request: pytest.FixtureRequest, tmp_path: Path, server: Server) -> Iterator[Tree]:
    root = tmp_path / "winget"
    root.mkdir()
    if request.param == "folder":
        yield Tree(root)
    else:
        with served(root) as url:
            yield Tree(root, url)


@pytest.fixture
def local(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "winget")


def context(tmp_path: Path, url: str) -> Context:
    (tmp_path / "home").mkdir(exist_ok=True)
    environ = {"HOME": str(tmp_path / "home")}
    host = Host(environ=environ, sources={"winget": (url,)}, etc=tmp_path / "etc")
    return Context(base=BASE, host=host, store=Store(tmp_path / "store"), work=tmp_path / "work")


def resolve(tree: Tree, *items: object) -> tuple[dict[str, Pin], dict[str, Any]]:
    request = Request("system", "system", (REQUEST.validate_python(items),))
    here = context(tree.root.parent, tree.url)
    pins, extra = winget.ECOSYSTEM.resolve(request, here)
    assert beyond("winget", request, here, pins, extra) == []
    return {pin.name: pin for pin in pins}, dict(extra)


def git(tree: Tree, version: str = "2.49.0") -> None:
    """As the real one: two scopes of the same file, with other switches than those of its type."""
    file = f"Git-{version}-64-bit.exe"
    tree.add(
        "Git.Git",
        version,
        tree.installer(file, Scope="user"),
        tree.installer(file, Scope="machine", ProductCode="Git_is1"),
        tree.installer("Git-arm64.exe", Architecture="arm64", Scope="machine"),
        InstallerType="inno",
        InstallerSwitches={"Custom": "/COMPONENTS=gitlfs"},
    )


def test_a_package_is_locked_with_url_size_and_hash(tree: Tree) -> None:
    git(tree)
    pins, extra = resolve(tree, "Git.Git")
    pin = pins["Git.Git"]
    data = (tree.root / "Git-2.49.0-64-bit.exe").read_bytes()
    assert (pin.version, pin.file) == ("2.49.0", f"{tree.url}/Git-2.49.0-64-bit.exe")
    assert (pin.size, pin.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert pin.registry == "url", "its place is its URL, as with other downloads"
    assert extra["order"] == ["Git.Git"]
    assert extra["installers"]["Git.Git"] == {
        "type": "inno",
        "inside": "",
        "arguments": f"{INNO} /COMPONENTS=gitlfs",
        "success": [0],
        "reboot": [1641, 3010],
        "files": [],
        "alias": "git",
        "path": [],
        "file": "Git.Git.exe",
    }


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("Git.Git", "2.49.0.2"),
        ("Git.Git@2.49.0", "2.49.0"),
        ("Git.Git@2.9.*", "2.9.1"),
        ("Git.Git@2.*", "2.49.0.2"),
        ("Git.Git@2.9.1.0", "2.9.1"),
        ({"package": "Git.Git", "version": "2.49.0.*"}, "2.49.0.2"),
    ],
)
def test_the_newest_version_that_fits(tree: Tree, wanted: object, found: str) -> None:
    for version in ("2.9.1", "2.49.0", "2.49.0.2"):
        git(tree, version)
    assert resolve(tree, wanted)[0]["Git.Git"].version == found


def test_a_folder_of_packages_further_down_is_no_version(tree: Tree) -> None:
    """PostgreSQL.PostgreSQL has the folder 17 beside its versions, for PostgreSQL.PostgreSQL.17."""
    msi = {"InstallerType": "msi", "Scope": "machine"}
    tree.add("PostgreSQL.PostgreSQL", "10.22", tree.installer("old.msi", **msi))
    tree.add("PostgreSQL.PostgreSQL.17", "17.2-1", tree.installer("new.msi", **msi))
    assert resolve(tree, "PostgreSQL.PostgreSQL")[0]["PostgreSQL.PostgreSQL"].version == "10.22"
    assert resolve(tree, "PostgreSQL.PostgreSQL.17")[0]["PostgreSQL.PostgreSQL.17"].version == "17.2-1"


@pytest.mark.parametrize(
    ("wanted", "near"),
    [("Git.Gti", "Git.Git"), ("Gitt.Git", "Git.Git"), ("git.git", "Git.Git"), ("Nothing.Like.It", None)],
)
def test_an_unknown_package_comes_with_the_nearest_one(tree: Tree, wanted: str, near: str | None) -> None:
    git(tree)
    with pytest.raises(LockError, match=f"winget knows no package '{wanted}'") as caught:
        resolve(tree, wanted)
    assert (f"(did you mean '{near}'?)" in caught.value.message) == (near is not None)
    assert "sources: {winget: URL}" in caught.value.hint


@pytest.mark.parametrize("wanted", ["Git.Git@2.50.0", "Git.Git@3.*"])
def test_a_version_that_does_not_exist_comes_with_those_that_do(tree: Tree, wanted: str) -> None:
    for version in ("2.9.1", "2.49.0"):
        git(tree, version)
    version = wanted.partition("@")[2]
    with pytest.raises(LockError) as caught:
        resolve(tree, wanted)
    assert caught.value.message == f"winget package 'Git.Git' has no version {version}; in its folder are 2.49.0, 2.9.1"
    assert caught.value.exit_code == 3


def test_github_s_own_list_of_a_folder(
    server: Server, local: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The public repository: its files by one address, the list of a folder by another, which knows no end slash."""
    git(local)
    rows = [{"path": "2.49.0", "type": "tree"}, {"path": ".validation", "type": "blob"}]
    server.add(
        "/api/trees/master:manifests/g/Git/Git", Resource(json.dumps({"tree": rows, "truncated": False}).encode())
    )
    manifest = local.folder("Git.Git", "2.49.0") / "Git.Git.installer.yaml"
    server.add("/raw/manifests/g/Git/Git/2.49.0/Git.Git.installer.yaml", Resource(manifest.read_bytes()))
    monkeypatch.setattr(winget_manifests, "PUBLIC", f"{server.url}/raw")
    monkeypatch.setattr(winget_manifests, "PUBLIC_FOLDERS", f"{server.url}/api/trees/master:")
    here = context(tmp_path, local.url)
    here = replace(here, host=replace(here.host, sources={}))
    pins, _ = winget.ECOSYSTEM.resolve(Request("system", "system", (("Git.Git",),)), here)
    assert [pin.version for pin in pins] == ["2.49.0"]
    listed = len(server.requests)
    winget.ECOSYSTEM.resolve(Request("system", "system", (("Git.Git@2.49.0",),)), here)
    assert len(server.requests) == listed + 1, "a version in full needs no list"


def test_a_tree_out_of_reach_is_said_with_the_way_to_name_one(server: Server, tmp_path: Path) -> None:
    server.add("/manifests/g/Git/Git/", Resource(statuses=[403]))
    request = Request("system", "system", (("Git.Git",),))
    with pytest.raises(LockError, match=r"cannot be read: .*/manifests/g/Git/Git/: HTTP 403") as caught:
        winget.ECOSYSTEM.resolve(request, context(tmp_path, server.url))
    assert "sources: {winget: URL}" in caught.value.hint
    with pytest.raises(LockError, match=r"no network connection to 127\.0\.0\.1"):
        winget.ECOSYSTEM.resolve(request, context(tmp_path, "http://127.0.0.1:9"))
    assert winget.ECOSYSTEM.probe(("Git.Git",), None, context(tmp_path, "http://127.0.0.1:9"))


def test_a_source_can_be_asked_whether_it_is_within_reach(tree: Tree) -> None:
    git(tree)
    here = context(tree.root.parent, tree.url)
    assert winget.ECOSYSTEM.probe(("Git.Git",), None, here) is None
    (tree.root / "Git-2.49.0-64-bit.exe").unlink()
    assert "Git-2.49.0-64-bit.exe" in str(winget.ECOSYSTEM.probe(("Git.Git",), None, here))
    assert "did you mean" in str(winget.ECOSYSTEM.probe(("Git.Gi",), None, here))


# --- which installer ---------------------------------------------------------------------------------------


def test_an_installer_for_all_users_is_taken_before_one_that_does_not_say(local: Tree) -> None:
    """As Node.js has them: the zip says no scope."""
    program = {"RelativeFilePath": "node/node.exe", "PortableCommandAlias": "node"}
    local.add(
        "OpenJS.NodeJS.LTS",
        "24.1.0",
        local.installer(
            "node.zip", InstallerType="zip", NestedInstallerType="portable", NestedInstallerFiles=[program]
        ),
        local.installer("node.msi", InstallerType="wix", Scope="machine"),
    )
    pins, extra = resolve(local, "OpenJS.NodeJS.LTS@24.*")
    assert pins["OpenJS.NodeJS.LTS"].file.endswith("/node.msi")
    assert extra["installers"]["OpenJS.NodeJS.LTS"]["arguments"] == '/quiet /norestart /log "<LOGPATH>"'


def test_the_installer_without_a_language_or_else_the_english_one(local: Tree) -> None:
    kinds = {"InstallerType": "burn", "Scope": "machine", "InstallerSuccessCodes": [3010]}
    languages = [local.installer(f"{name}.exe", InstallerLocale=name) for name in ("zh-CN", "en-US")]
    local.add("Vendor.Runtime", "1", *languages, **kinds)
    local.add("Vendor.Runtime", "2", *languages, local.installer("all.exe"), **kinds)
    assert resolve(local, "Vendor.Runtime@1")[0]["Vendor.Runtime"].file.endswith("/en-US.exe")
    pins, extra = resolve(local, "Vendor.Runtime")
    assert pins["Vendor.Runtime"].file.endswith("/all.exe")
    how = extra["installers"]["Vendor.Runtime"]
    assert (how["success"], how["reboot"]) == ([0], [1641, 3010]), "a reboot that is asked for is one, success or not"


def test_codes_that_ask_for_a_reboot_are_those_of_the_manifest_too(local: Tree) -> None:
    codes = [
        {"InstallerReturnCode": 7, "ReturnResponse": "rebootRequiredToFinish"},
        {"InstallerReturnCode": 8, "ReturnResponse": "diskFull"},
    ]
    one = local.installer("a.exe", InstallerType="nullsoft", ExpectedReturnCodes=codes, InstallerSuccessCodes=[5])
    local.add("Vendor.Odd", "1", one)
    how = resolve(local, "Vendor.Odd")[1]["installers"]["Vendor.Odd"]
    assert (how["success"], how["reboot"], how["arguments"]) == ([0, 5], [7, 1641, 3010], "/S")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Architecture": "x86", "InstallerType": "inno", "Scope": "machine"}, "it has x86 inno machine"),
        ({"InstallerType": "msix"}, "it has x64 msix"),
        ({"InstallerType": "inno", "Scope": "user"}, "it has x64 inno user"),
        ({"InstallerType": "zip", "NestedInstallerType": "msix"}, "it has x64 zip of msix"),
        ({"InstallerType": "inno", "MinimumOSVersion": "10.0.26100.0"}, "it has x64 inno"),
        ({"InstallerType": "inno", "UnsupportedOSArchitectures": ["x64"]}, "it has x64 inno"),
    ],
)
def test_no_installer_fits(local: Tree, fields: dict[str, Any], said: str) -> None:
    local.add("Vendor.App", "1.0", local.installer("a.exe", **fields))
    with pytest.raises(LockError) as caught:
        resolve(local, "Vendor.App")
    what = "Vendor.App 1.0 has no installer for x64 and all users that works on Windows Server 2022; "
    assert caught.value.message == what + said


def test_another_architecture_or_scope_can_be_asked_for(local: Tree) -> None:
    local.add("Vendor.Old", "1.0", local.installer("a.exe", Architecture="x86"), InstallerType="inno", Scope="machine")
    local.add("Vendor.Own", "1.0", local.installer("b.exe"), InstallerType="inno", Scope="user")
    local.add("Vendor.Any", "1.0", local.installer("c.exe", Architecture="neutral"), InstallerType="inno")
    own = {
        "package": "Vendor.Own",
        "scope": "user",
        "switches": r"/DIR=C:\x",
        "path": [r"%ProgramFiles%\x-{version}\bin"],
    }
    pins, extra = resolve(local, {"package": "Vendor.Old", "architecture": "x86"}, own, "Vendor.Any")
    assert [*pins] == ["Vendor.Any", "Vendor.Old", "Vendor.Own"]
    assert extra["order"] == ["Vendor.Old", "Vendor.Own", "Vendor.Any"], "as the tools ask for them"
    how = extra["installers"]["Vendor.Own"]
    assert how["arguments"] == rf"{INNO} /DIR=C:\x"
    assert how["path"] == [r"%ProgramFiles%\x-1.0\bin"]


def test_an_installer_that_nobody_can_silence_is_refused_until_the_source_says_how(local: Tree) -> None:
    local.add("Vendor.App", "1.0", local.installer("a.exe", InstallerType="exe"))
    with pytest.raises(
        LockError, match=r"does not say how its installer \(type exe\) is run without questions"
    ) as caught:
        resolve(local, "Vendor.App")
    assert caught.value.hint == "Say it in the source: silent: SWITCHES"
    _, extra = resolve(local, {"package": "Vendor.App", "silent": "--quiet"})
    assert extra["installers"]["Vendor.App"]["arguments"] == "--quiet"


def test_switches_of_all_installers_and_of_one_are_put_together(local: Tree) -> None:
    one = local.installer("a.exe", InstallerSwitches={"Custom": "/ONE"})
    switches = {"Silent": "--mode unattended", "Custom": "/ALL", "Log": "--log <LOGPATH>"}
    local.add("Vendor.App", "1.0", one, InstallerType="exe", InstallerSwitches=switches)
    _, extra = resolve(local, "Vendor.App")
    assert extra["installers"]["Vendor.App"]["arguments"] == "--mode unattended --log <LOGPATH> /ONE"


def test_programs_of_a_zip(local: Tree) -> None:
    files = [{"RelativeFilePath": "docker/docker.exe", "PortableCommandAlias": "docker"}, {"RelativeFilePath": "d.exe"}]
    one = local.installer("docker.zip", InstallerType="zip", NestedInstallerType="portable", NestedInstallerFiles=files)
    local.add("Docker.DockerCLI", "28.3.1", one)
    how = resolve(local, "Docker.DockerCLI")[1]["installers"]["Docker.DockerCLI"]
    assert how["files"] == [{"path": r"docker\docker.exe", "alias": "docker"}, {"path": "d.exe", "alias": ""}]
    assert (how["type"], how["inside"], how["file"], how["arguments"]) == (
        "zip",
        "portable",
        "Docker.DockerCLI.zip",
        "",
    )


def test_a_zip_of_nobody_knows_what(local: Tree) -> None:
    local.add("V.App", "1", local.installer("a.zip", InstallerType="zip", NestedInstallerType="portable"))
    with pytest.raises(LockError, match=r"manifest of V\.App 1 does not say what is in its zip"):
        resolve(local, "V.App")


@pytest.mark.parametrize(("commands", "alias"), [(["jq"], "jq"), ([r"..\evil", "good"], "good"), ([], "jq.tool")])
def test_a_single_program_is_called_by_its_command(local: Tree, commands: list[str], alias: str) -> None:
    local.add("V.jq.Tool", "1", local.installer("jq-win64.exe", InstallerType="portable", Commands=commands))
    how = resolve(local, "V.jq.Tool")[1]["installers"]["V.jq.Tool"]
    assert (how["type"], how["arguments"], how["alias"]) == ("portable", "", alias.rpartition(".")[2])


# --- what is wrong with a manifest -------------------------------------------------------------------------


def test_an_installer_that_is_another_than_its_manifest_says(tree: Tree) -> None:
    git(tree)
    (tree.root / "Git-2.49.0-64-bit.exe").write_bytes(b"something else")
    with pytest.raises(LockError, match=r"Git\.Git 2\.49\.0: .*SHA-256"):
        resolve(tree, "Git.Git")
    assert not list((tree.root.parent / "store" / "blobs").glob("??/*")), "and it is not kept"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("Installers:", "Installers: ["), "Git.Git 2.49.0: not valid YAML"),
        (("Installers:", "Instalers:"), "Git.Git 2.49.0: no manifest of an installer"),
        (("PackageVersion: 2.49.0", "PackageVersion: 2.49.1"), "says that it is Git.Git 2.49.1"),
        (("PackageIdentifier: Git.Git", "PackageIdentifier: Evil.Git"), "says that it is Evil.Git 2.49.0"),
        (("InstallerSha256: ", "InstallerSha256: x"), "Installers.0.InstallerSha256: "),
        (("InstallerUrl: ", "InstallerUrl: javascript:"), "gives no URL, or no SHA-256"),
    ],
)
def test_a_manifest_that_is_wrong_is_said_with_its_place(local: Tree, edit: tuple[str, str], said: str) -> None:
    git(local)
    path = local.folder("Git.Git", "2.49.0") / "Git.Git.installer.yaml"
    path.write_text(path.read_text().replace(*edit))
    with pytest.raises(LockError) as caught:
        resolve(local, "Git.Git")
    assert said in caught.value.message


def test_a_version_like_a_number_stays_the_text_that_it_is(local: Tree) -> None:
    path = local.add("Vendor.App", "1.10", local.installer("a.msi", InstallerType="msi"))
    path.write_text(path.read_text().replace("'1.10'", "1.10"))
    assert "PackageVersion: 1.10\n" in path.read_text()
    assert resolve(local, "Vendor.App")[0]["Vendor.App"].version == "1.10"


@pytest.mark.parametrize(
    "path", ["../evil.exe", r"..\evil.exe", r"C:\evil.exe", "/evil.exe", "a//b.exe", "a/. ./b.exe", ""]
)
def test_a_program_of_a_zip_stays_inside(local: Tree, path: str) -> None:
    nested = {"NestedInstallerType": "portable", "NestedInstallerFiles": [{"RelativeFilePath": path}]}
    local.add("Vendor.App", "1.0", local.installer("a.zip", InstallerType="zip", **nested))
    with pytest.raises(LockError, match="is no file inside the archive"):
        resolve(local, "Vendor.App")


# --- dependencies ------------------------------------------------------------------------------------------


def needing(*packages: str, minimum: str = "") -> dict[str, Any]:
    rows = [{"PackageIdentifier": name, **({"MinimumVersion": minimum} if minimum else {})} for name in packages]
    return {"InstallerType": "inno", "Dependencies": {"PackageDependencies": rows}}


def test_what_a_package_needs_comes_with_it_and_before_it(local: Tree) -> None:
    local.add("V.App", "1", local.installer("a.exe"), **needing("V.Lib", "V.Runtime"))
    local.add("V.Lib", "1", local.installer("b.exe"), **needing("V.Runtime", minimum="2"))
    local.add("V.Runtime", "2.1", local.installer("c.exe"), InstallerType="inno")
    pins, extra = resolve(local, "V.App")
    assert [*pins] == ["V.App", "V.Lib", "V.Runtime"]
    assert extra["order"] == ["V.Runtime", "V.Lib", "V.App"]


def test_faults_of_dependencies_are_all_named(local: Tree) -> None:
    local.add("V.App", "1", local.installer("a.exe"), **needing("V.Lib", minimum="3"))
    local.add("V.Lib", "2", local.installer("b.exe"), **needing("V.Gone"))
    with pytest.raises(LockError) as caught:
        resolve(local, "V.App")
    unknown, old = caught.value.message.splitlines()
    assert unknown.startswith("winget knows no package 'V.Gone'") and unknown.endswith("(needed by V.Lib)")
    assert old == "V.App needs V.Lib 3 or newer, and 2 is wanted"


def test_packages_that_need_each_other(local: Tree) -> None:
    local.add("V.One", "1", local.installer("a.exe"), **needing("V.Two"))
    local.add("V.Two", "1", local.installer("b.exe"), **needing("V.One"))
    with pytest.raises(LockError, match=r"need each other: v\.(one|two) -> v\.(one|two) -> v\.(one|two)$"):
        resolve(local, "V.One")


def test_features_of_windows_are_not_switched_on(local: Tree) -> None:
    needs = {"Dependencies": {"WindowsFeatures": ["Containers"]}}
    local.add("V.App", "1", local.installer("a.exe"), InstallerType="inno", **needs)
    with pytest.raises(LockError, match=r"needs features of Windows.*: Containers"):
        resolve(local, "V.App")


def test_one_package_asked_for_in_two_ways(local: Tree) -> None:
    git(local)
    assert [*resolve(local, "Git.Git", {"package": "Git.Git"})[0]] == ["Git.Git"], "the same in other words"
    with pytest.raises(LockError) as caught:
        resolve(local, "Git.Git@2.49.0", "Git.Git@2.*")
    assert caught.value.message == (
        "Git.Git is asked for twice: as package Git.Git, version 2.49.0 and as package Git.Git, version 2.*"
    )


def test_a_repository_beside_the_base_s_own_is_not_for_winget(local: Tree, tmp_path: Path) -> None:
    request = Request("system", "system", (("Git.Git",),), repositories=("nvidia-cuda",))
    with pytest.raises(LockError, match=r"'repository' \(nvidia-cuda\) is not for winget"):
        winget.ECOSYSTEM.resolve(request, context(tmp_path, local.url))


# --- installers with a URL of their own --------------------------------------------------------------------


def test_an_installer_with_a_url(tree: Tree) -> None:
    url, sha256 = tree.file("driver-580.exe")
    direct = {"installer": url, "version": "580.1", "type": "exe", "silent": "-s -n", "sha256": sha256.lower()}
    pins, extra = resolve(tree, direct)
    pin = pins["driver-580.exe"]
    assert (pin.version, pin.file, pin.sha256) == ("580.1", url, sha256.lower())
    assert extra["installers"]["driver-580.exe"]["arguments"] == "-s -n"
    assert winget.ECOSYSTEM.file_name(pin) == "driver-580.exe"
    with pytest.raises(LockError, match=r"driver-580\.exe 580\.1: .*SHA-256"):
        resolve(tree, {**direct, "sha256": "0" * 64})


def test_a_zip_with_a_url(local: Tree) -> None:
    url, _ = local.file("tool.zip")
    zipped = {"installer": url, "version": "1", "type": "zip", "files": ["tool/bin/tool.exe"]}
    how = resolve(local, zipped)[1]["installers"]["tool.zip"]
    assert (how["inside"], how["files"]) == ("portable", [{"path": r"tool\bin\tool.exe", "alias": ""}])


GOOD = {"installer": "https://vendor.example/a.msi", "version": "1", "type": "msi"}


@pytest.mark.parametrize(
    "item",
    [
        "Git",
        "Git.Git@",
        "Git.Git@a b",
        "Git.Git@../x",
        "../Git.Git",
        "Git..Git",
        {"package": "Git.Git", "versions": "1"},
        {"package": "Git.Git", "path": ["/usr/bin"]},
        {"package": "Git.Git", "path": [r"C:\a;C:\b"]},
        {"package": "Git.Git", "switches": "/A\n/B"},
        {**GOOD, "installer": "ftp://vendor.example/a.msi"},
        {**GOOD, "installer": "https://vendor.example/a b.msi"},
        {**GOOD, "installer": "https://vendor.example/"},
        {**GOOD, "type": "exe"},
        {**GOOD, "type": "msix"},
        {**GOOD, "sha256": "abc"},
        {**GOOD, "type": "zip"},
        {**GOOD, "files": ["a.exe"]},
        {**GOOD, "type": "zip", "files": ["../a.exe"]},
        {key: value for key, value in GOOD.items() if key != "version"},
    ],
)
def test_a_request_is_data_of_its_form(item: object) -> None:
    REQUEST.validate_python([GOOD])
    with pytest.raises(ValidationError):
        REQUEST.validate_python([item])


@pytest.mark.parametrize(
    ("name", "url", "file"),
    [
        ("Git.Git", "https://x.example/Git-64.exe", "Git.Git.exe"),
        ("Microsoft.VisualStudioCode", "https://x.example/1.2/win32-x64/stable", "Microsoft.VisualStudioCode.exe"),
        ("A.B", "https://x.example/a.MSI?token=1", "A.B.msi"),
        ("setup.exe", "https://x.example/setup.exe", "setup.exe"),
    ],
)
def test_a_file_has_the_ending_that_windows_needs(name: str, url: str, file: str) -> None:
    pin = Pin(name=name, version="1", file=url, size=1, sha256="0" * 64, registry="url")
    assert winget.ECOSYSTEM.file_name(pin) == file


def test_what_an_image_has_is_what_was_written_down() -> None:
    asked: list[list[str]] = []

    def run(argv: Any) -> str:
        asked.append([*argv])
        return json.dumps([{"name": "Git.Git", "version": "2.49.0", "sha256": "0" * 64}])

    section = Section(id="system", ecosystem="winget", request=None, input="0" * 64, epoch=1, pins=())
    assert winget.ECOSYSTEM.installed(section, run) == {"Git.Git": "2.49.0"}
    assert asked[0][0] == "powershell.exe"
    assert faults(asked[0][-1]) == []


# --- what is newer -----------------------------------------------------------------------------------------


def test_what_the_manifests_have_now_is_offered(tree: Tree) -> None:
    git(tree)
    tree.add("A.B", "24.1", tree.installer("a.msi", InstallerType="msi"))
    url, _ = tree.file("own.exe")
    own = {"installer": url, "version": "1", "type": "exe", "silent": "/S"}
    items = ("Git.Git", {"package": "A.B", "version": "24.*"}, own)
    pins, extra = resolve(tree, *items)
    git(tree, "2.50.0")
    tree.add("A.B", "24.10", tree.installer("a2.msi", InstallerType="msi"))
    tree.add("A.B", "25.1", tree.installer("a3.msi", InstallerType="msi"))
    here = context(tree.root.parent, tree.url)
    request = Request("system", "system", (REQUEST.validate_python(items),))
    section = Section(
        id="system", ecosystem="winget", request=None, input="0" * 64, epoch=1, pins=tuple(pins.values()), extra=extra
    )
    found = winget.ECOSYSTEM.offered(section, Asked(request, here.base), here)
    assert {name: (one.newest, one.again) for name, one in found.items()} == {
        "A.B": ("25.1", "24.10"), "Git.Git": ("2.50.0", "2.50.0"), "own.exe": (None, None)
    }  # fmt: skip
    (asked,) = request.items
    assert winget.ECOSYSTEM.forbids(asked, "A.B", "25.1") == "A.B@24.*"
    assert winget.ECOSYSTEM.forbids(asked, "A.B", "24.10") is None
    assert winget.ECOSYSTEM.forbids(asked, "Git.Git", "9") is None
