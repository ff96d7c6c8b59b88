"""Bad input by the real commands: what is wrong and where, the exit code, no traceback, and nothing is written."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import apt_archive as archives
import pytest
from pysequoia import Tsk
from small_world import ROOT, SmallWorld, tool

VARIANT = "bad-input"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """A world in which the variant `bad-input` has a lock."""
    world = SmallWorld(tmp_path_factory.mktemp("world"))
    debs = world.folder / "debs"
    world.set_up([archives.deb(debs, "hello"), archives.deb(debs, "enemy", Conflicts="hello")])
    for name, version in (("numpy", "1.26.4"), ("numpy", "2.1.0"), ("py-rattler", "0.28.0")):
        world.add_wheel(name.replace("-", "_"), version)
    world.add_wheel("frames", "1.0", ("numpy >= 2",))
    world.write("tools/hello.yaml", tool("hello", {"apt": ["hello"]}))
    variant(world, "hello")
    done = world.invoke("lock", "--variant", VARIANT)
    assert done.returncode == 0, done.stderr
    return world


@pytest.fixture
def world(locked: SmallWorld, tmp_path: Path) -> SmallWorld:
    """That world, with a copy of the catalog to spoil."""
    return replace(locked, own=Path(shutil.copytree(locked.mine, tmp_path / "mine")))


def variant(world: SmallWorld, *tools: str, **more: object) -> None:
    whole = {"variant": VARIANT, "base": "debian-12", "accelerator": "cpu", "tools": list(tools), **more}
    world.write(f"variants/{VARIANT}.yaml", whole)


def files(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(world: SmallWorld, code: int, *words: str, commands: tuple[str, ...] = ("lock",)) -> None:
    """Every command ends with this code and an error that says all `words`; the catalog is as it was."""
    before = files(world.mine)
    for command in commands:
        done = world.invoke(command, "--variant", VARIANT, env={"DOCKER_HOST": "unix:///nowhere"})
        assert done.returncode == code, done.stdout + done.stderr
        assert [word for word in words if word not in done.stderr] == [], done.stderr
        said = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
        assert said[0].startswith("error: ")
        assert "Traceback" not in done.stderr
    assert files(world.mine) == before, "nothing is written"
    assert not (ROOT / "build" / VARIANT).exists()


# --- a vendor's repository -----------------------------------------------------------------------------------


def vendor(world: SmallWorld, *, fingerprint: str, served: Tsk, signed: Tsk) -> None:
    """A repository with `vtool`: what its manifest says, which key is served there, and which one signed it."""
    place = world.mine.parent / "vendor"
    archives.publish(place, [archives.deb(world.mine.parent / "debs", "vtool")], signed, origin="Vendor")
    archives.write_key(place / "key.asc", [served], armored=True)
    manifest = {
        "repository": "vendor",
        "summary": "A vendor's",
        "uri": place.as_uri(),
        "key": {"urls": ["key.asc"], "fingerprint": fingerprint},
        "places": [{"base": "debian-12", "suite": "stable", "components": ["main"]}],
        "packages": ["vtool"],
    }
    world.write("repositories/vendor.yaml", manifest)
    # a second source must not hide what somebody has to look at
    sources = ({"apt": ["vtool"], "repository": "vendor"}, {"apt": ["hello"]})
    world.write("tools/vtool.yaml", tool("vtool", *sources))
    variant(world, "vtool")


def test_a_wrong_fingerprint(world: SmallWorld) -> None:
    key, real = archives.new_key(), archives.new_key()
    vendor(world, fingerprint=archives.fingerprint(key), served=real, signed=real)
    refused(world, 3, "repository 'vendor'", archives.fingerprint(key), archives.fingerprint(real), "manifest",
            commands=("lock", "build"))  # fmt: skip


def test_an_expired_key(world: SmallWorld) -> None:
    short = archives.short_lived_key(1)
    time.sleep(1.2)
    vendor(world, fingerprint=archives.fingerprint(short), served=short, signed=archives.new_key())
    refused(world, 3, f"repository 'vendor': its key {archives.fingerprint(short)} expired on 20", "new key")


def test_a_repository_signed_by_another_key(world: SmallWorld) -> None:
    key = archives.new_key()
    vendor(world, fingerprint=archives.fingerprint(key), served=key, signed=archives.new_key("Thief"))
    refused(world, 3, "repository 'vendor': it is not signed by the key that its manifest names", "NO_PUBKEY")


# --- packages ------------------------------------------------------------------------------------------------


def test_a_package_that_no_allowed_suite_has(world: SmallWorld) -> None:
    world.write("tools/gone.yaml", tool("gone", {"apt": ["gone-7"]}))
    variant(world, "hello", "gone")
    refused(
        world,
        3,
        "tool 'gone' cannot be had",
        "apt: gone-7: not in debian/bookworm",
        "--leave-out gone",
    )
    key = archives.new_key()
    vendor(world, fingerprint=archives.fingerprint(key), served=key, signed=key)
    world.write("tools/gone.yaml", tool("gone", {"apt": ["vlib"], "repository": "vendor"}))
    variant(world, "gone")
    refused(world, 3, "vlib: not in debian/bookworm, and repository 'vendor' has no such package")


def test_tools_that_pin_one_package_apart_are_both_named(world: SmallWorld) -> None:
    for name, wanted in (("old", "numpy == 1.26.4"), ("new", "numpy == 2.1.0"), ("frames", "frames"), ("other", "uv")):
        world.write(f"tools/{name}.yaml", tool(name, {"pypi": [wanted]}, env="one"))
    variant(world, "other", "old", "new")
    refused(world, 3, "tools 'old' and 'new' cannot be had together", "old: numpy == 1.26.4", "new: numpy == 2.1.0",
            "this-environment depends on numpy==1.26.4 and numpy==2.1.0", "env: of the tool")  # fmt: skip
    # also where only what one of them needs is at odds with the other
    variant(world, "frames", "other", "old")
    refused(world, 3, "tools 'frames' and 'old' cannot be had together", "numpy>=2")
    # in environments of their own, they can
    world.write("tools/old.yaml", tool("old", {"pypi": ["numpy == 1.26.4"]}, env="two"))
    assert world.invoke("lock", "--variant", VARIANT).returncode == 0


def test_system_packages_that_exclude_each_other(world: SmallWorld) -> None:
    world.write("tools/enemy.yaml", tool("enemy", {"apt": ["enemy"]}))
    world.write("tools/tini.yaml", tool("tini", {"apt": ["tini"]}))
    variant(world, "tini", "hello", "enemy")
    refused(world, 3, "tools 'hello' and 'enemy' cannot be had together", "enemy : Conflicts: hello")


def test_conda_without_a_solution(world: SmallWorld) -> None:
    channel = world.mine.parent / "conda-forge"
    packages = {
        f"app-{number}-0.conda": {
            "name": "app", "version": str(number), "build": "0", "build_number": 0, "subdir": "linux-64",
            "depends": [f"missing-{number} >=2"], "sha256": "0" * 64, "size": 1,
        }
        for number in range(40)
    }  # fmt: skip
    for subdir, found in (("linux-64", packages), ("noarch", {})):
        (channel / subdir).mkdir(parents=True)
        index = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": found, "repodata_version": 1}
        (channel / subdir / "repodata.json").write_text(json.dumps(index))
    world = replace(world, sources={**world.sources, "conda-forge": channel.as_uri()})
    world.write("tools/app.yaml", tool("app", {"conda": {"packages": ["app"], "prefix": "/opt/app"}}))
    variant(world, "app")
    words = ("tool 'app' cannot be had", "no set of conda packages satisfies app from conda-forge", "more lines")
    refused(world, 3, *words, "The image has __archspec 1, __glibc 2.36")


# --- variants ------------------------------------------------------------------------------------------------


def test_a_variant_that_extends_itself(world: SmallWorld) -> None:
    path = world.write(f"variants/{VARIANT}.yaml", f"variant: {VARIANT}\nextends: {VARIANT}\n")
    words = f"{path}:2: variant '{VARIANT}' extends itself: {VARIANT} -> {VARIANT}"
    refused(world, 2, words, commands=("lock", "build", "render"))


def test_two_variants_that_extend_each_other(world: SmallWorld) -> None:
    one = world.write(f"variants/{VARIANT}.yaml", f"variant: {VARIANT}\nextends: other\n")
    two = world.write("variants/other.yaml", f"variant: other\nextends: {VARIANT}\n")
    refused(world, 2, f"{one}:2: variant '{VARIANT}' extends itself: {VARIANT} -> other -> {VARIANT}", f"{two}:2: ")


@pytest.mark.parametrize(
    "manifest",
    [
        tool("machine", {"apt": ["hello"]}, formats=["qcow2", "azure"]),
        tool("machine", {"apt": ["hello"], "formats": ["qcow2", "azure"]}),
    ],
    ids=["tool", "source"],
)
def test_a_tool_that_needs_a_format_the_variant_lacks(world: SmallWorld, manifest: Mapping[str, object]) -> None:
    world.write("tools/machine.yaml", manifest)
    variant(world, "hello", "machine")
    words = "tool 'machine' is only for qcow2, azure, and the formats of 'bad-input' are docker"
    refused(world, 2, f"{world.mine}/variants/{VARIANT}.yaml:5: {words}")


def test_a_variant_that_has_no_tool_left(world: SmallWorld) -> None:
    before = files(world.mine)
    done = world.invoke("lock", "--variant", VARIANT, "--leave-out", "hello")
    assert (done.returncode, "nothing is left of bad-input" in done.stderr) == (2, True), done.stderr
    assert files(world.mine) == before
