"""Whoever builds, and with whatever umask, gets the same: root, somebody else, one who hides every file."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_bad_luck import linked_store
from workbench import ROOT, ROOT_ONLY, SMALL, Catalog, Invoke, image, private_engine, run, short_folder

from dsvm.catalog import load
from dsvm.ecosystems import layout_folder
from dsvm.lock.files import read
from dsvm.store import Store
from dsvm.store.store import default_root

UID = 12345
pytestmark = ROOT_ONLY


def as_somebody_else(argv: Sequence[str | Path], gid: int) -> list[str | Path]:
    """The command by a user who is not root and has no name."""
    return ["setpriv", "--reuid", str(UID), "--regid", str(gid), "--clear-groups", *argv]


def python() -> tuple[str, str]:
    """A Python that everybody may run, with the folder of our dependencies: that of the tests may be root's own."""
    site = sysconfig.get_path("purelib")
    version = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    for one in (sys.executable, "/usr/bin/python3"):
        if run(as_somebody_else(["env", one, "-c", version], UID)).code == 0:
            return one, site
    pytest.fail("no Python of this version that another user may run")


def owned(folder: Path) -> None:
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir() or path.stat().st_nlink == 1)):
        os.chown(path, UID, UID, follow_symlinks=False)


def test_a_build_by_somebody_who_is_not_root(small: Catalog, tmp_path: Path) -> None:
    with short_folder() as folder, private_engine(folder / "engine") as engine:
        folder.chmod(0o755)
        checkout, store, mine = folder / "checkout", linked_store(folder, small), folder / "mine"
        left_out = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, checkout, ignore=left_out)
        shutil.copytree(small.folder, mine)
        bases, locks = store.root / "bases", shutil.ignore_patterns("*.lock", "*.part")
        shutil.copytree(default_root() / "bases", bases, copy_function=os.link, ignore=locks)
        for place in (checkout, store.root, mine):
            owned(place)
        (folder / "home").mkdir()
        os.chown(folder / "home", UID, UID)
        program, site = python()
        engine_group = (folder / "engine/docker.sock").stat().st_gid
        env = {
            **engine.env,
            "HOME": str(folder / "home"),
            "DSVM_STORE": str(store.root),
            "PYTHONPATH": f"{checkout}:{site}",
        }
        words: list[str | Path] = ["build", "--offline", "--variant", SMALL, "--catalog", mine]
        argv = ["env", "--chdir", checkout, program, "-m", "invoke", *words]
        done = run(as_somebody_else(argv, engine_group), env=env).passed()
        assert f"image: dsvm/{SMALL}:latest" in done.out
        assert (checkout / f"build/{SMALL}/report.json").stat().st_uid == UID
        first, second = image(f"dsvm/{SMALL}"), image(f"dsvm/{SMALL}", engine.env)
        assert first is not None and second is not None
        assert first["RootFS"] == second["RootFS"], "the same layers as root's"


@pytest.mark.parametrize("umask", ["027", "077"])
def test_a_base_is_the_same_whatever_the_umask(invoke: Invoke, small: Catalog, tmp_path: Path, umask: str) -> None:
    store = linked_store(tmp_path, small)
    hiding = ("bash", "-c", f'umask {umask}; exec "$@"', "bash")
    env = {"DSVM_STORE": str(store.root)}
    done = invoke("fetch", *small.words, env=env, under=hiding).passed()
    assert "base: making" in done.out
    lock, base = read(small.lock), load([small.folder]).bases["debian-12"]
    section = lock.section("base")
    assert section is not None
    made, usual = (layout_folder(base, section, one.root) / "digest" for one in (store, Store()))
    assert made.read_text() == usual.read_text()
