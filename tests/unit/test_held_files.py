"""What artefacts hold, and where installing puts it, compared with what the installing scripts really leave."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from held import differences, holder, image_of, pin_of, promised, section_of
from test_image_scripts import install_url
from tiny import project

from dsvm.ecosystems.pypi.contents import generated
from dsvm.host import bundled
from dsvm.ledger.promises import Promises, _contents
from dsvm.model import Entry, LockError, StoreError
from dsvm.store import Store

DATA = b"#!/bin/sh\necho hello\n"
SHA = hashlib.sha256(DATA).hexdigest()
EXTRA = Entry("file", 0o644, size=3, sha256="0" * 64)


# --- downloads -----------------------------------------------------------------------------------------------


def tar_of(path: Path) -> Path:
    """What archives have: a program, a link, a hard link, an empty folder, modes and owners of all kinds."""
    entries: list[tuple[str, bytes, int, str]] = [
        ("./top/", tarfile.DIRTYPE, 0o700, ""),
        ("./top/bin/run", tarfile.REGTYPE, 0o775, ""),
        ("./top/bin/again", tarfile.LNKTYPE, 0o775, "./top/bin/run"),
        ("./top/lib", tarfile.SYMTYPE, 0o777, "bin"),
        ("./top/read.me", tarfile.REGTYPE, 0o600, ""),
        ("./top/.hidden", tarfile.REGTYPE, 0o4755, ""),
        ("./top/empty", tarfile.DIRTYPE, 0o777, ""),
    ]
    kind = path.suffix.removeprefix(".")
    with tarfile.open(path, "w" if kind == "tar" else f"w:{kind}") as tar:  # type: ignore[call-overload]
        for name, what, mode, target in entries:
            one = tarfile.TarInfo(name)
            one.type, one.mode, one.linkname, one.uid = what, mode, target, 1234
            one.size = len(DATA) if one.isreg() else 0
            tar.addfile(one, io.BytesIO(DATA) if one.isreg() else None)
    return path


def zip_of(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in (("top/bin/run", 0o775), ("top/read.me", 0o600), ("top/empty/", 0o40755)):
            one = zipfile.ZipInfo(name)
            one.external_attr = mode << 16
            archive.writestr(one, b"" if name.endswith("/") else DATA)
    return path


def plain(path: Path) -> Path:
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize(
    ("make", "name", "unpack"),
    [
        *((tar_of, name, unpack) for name in ("a.tar", "a.tar.gz", "a.tar.xz") for unpack in (True, False)),
        *((zip_of, "a.zip", unpack) for unpack in (True, False)),
        (plain, "a.bin", False),
    ],
)
def test_downloads_are_where_the_script_puts_them(
    make: object, name: str, unpack: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store/tool-url"
    store.mkdir(parents=True)
    path = make(store / name)  # type: ignore[operator]
    place = {"to": "/opt/tool", "strip": 1, "unpack": unpack, "links": {"/usr/local/bin/run": "/opt/tool/bin/run"}}
    section = section_of("url", [pin_of(path, name, "url")], {"places": {name: place}})
    (store / "section.json").write_text(section.model_dump_json())
    monkeypatch.setattr(install_url, "STORE", tmp_path / "store")
    monkeypatch.setattr(install_url, "OUT", tmp_path / "out")
    monkeypatch.setattr(sys, "argv", ["install-url", "--epoch", "0", "tool-url"])
    if os.geteuid() != 0:
        monkeypatch.setattr(os, "chown", lambda *_, **__: None)
    install_url.main()
    image, promises = image_of(tmp_path / "out"), promised(section, {name: path})
    assert differences(image, promises) == []
    assert promises.entries.keys() <= image.keys()
    image["/opt/tool/more"] = EXTRA, 0
    assert differences(image, promises) == [("unexplained", "/opt/tool/more")]


def test_an_archive_that_breaks_off_is_said(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(LockError, match="a: an archive that cannot be read"):
        list(holder("url").contents(pin_of(path, "a", "url"), path, ""))


# --- Python ----------------------------------------------------------------------------------------------------


def test_a_wheel_that_is_built_of_a_source_is_explained_by_it(tmp_path: Path) -> None:
    """With the real installer and builder; what the build adds by itself stands below the package's own metadata."""
    source, prefix = tmp_path / "hello_x-1.2", tmp_path / "envs/base"
    files = {
        "PKG-INFO": "Metadata-Version: 2.4\nName: hello-x\nVersion: 1.2\n",
        "setup.py": "from setuptools import setup\nsetup(name='hello-x', version='1.2', packages=['hello'],\n"
        "      scripts=['bin/hello-py', 'bin/hello-sh'], package_data={'hello': ['*.txt']},\n"
        "      entry_points={'console_scripts': ['hello = hello:main']})\n",
        "hello/__init__.py": "def main():\n    print('hello')\n",
        "hello/data.txt": "data\n",
        "bin/hello-py": "#!/usr/bin/env python3 -E\nimport hello\n",
        "bin/hello-sh": "#!/bin/sh\necho hello\n",
        "hello_x.egg-info/entry_points.txt": "[console_scripts]\nhello = hello:main\n",
    }
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    path = tmp_path / "hello_x-1.2.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(source, source.name)
    wheels, env = tmp_path / "wheels", {"UV_NO_CONFIG": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    subprocess.run([*build, "--wheel-dir", wheels, path], check=True)
    subprocess.run([bundled("uv"), "venv", "--quiet", prefix], check=True, env=env)
    install = (bundled("uv"), "pip", "install", "--quiet", "--no-index", "--no-deps", "--python", prefix)
    subprocess.run([*install, *wheels.iterdir()], check=True, env=env)
    pin = pin_of(path, "hello-x", "pypi", version="1.2")
    (lib,) = prefix.glob("lib/python3*")
    python = lib.name.removeprefix("python")
    promises = Promises(generated=[*generated(str(prefix), python, ["hello_x-1.2"])])
    held = holder("pypi").contents(pin, path, str(prefix))
    promises.pools[str(prefix)] = {(name.rpartition("/")[2], entry.sha256) for name, entry in held if entry.sha256}
    image = {f"{prefix}{name}": found for name, found in image_of(prefix).items() if name != "/"}
    ours = ("/.lock", "/.gitignore", "/direct_url.json", "/uv_cache.json")  # which our own script removes
    assert [one for one in differences(image, promises) if not one[1].endswith(ours)] == []
    assert f"{prefix}/bin/hello-py" in image and f"{prefix}/bin/hello" in image
    image[f"{prefix}/bin/hello"] = EXTRA, 0
    assert ("unexplained", f"{prefix}/bin/hello") in differences(image, promises)
    section = section_of("pypi", [pin], {"env": "base"})
    assert [*holder("pypi").placed(section, pin, [], project().bases["debian-12"])] == []
    (pool,) = holder("pypi").pools(section)
    assert (pool.prefix, pool.pins) == ("/opt/envs/base", ("hello-x",))


# --- lists that are kept -----------------------------------------------------------------------------------------


def test_an_artefact_that_is_gone_or_another_tells_nothing(tmp_path: Path) -> None:
    path, store = tar_of(tmp_path / "a.tar"), Store(tmp_path / "store")
    pin = pin_of(path, "a.tar", "url")
    section = section_of("url", [pin], {"places": {}})

    def read() -> int:
        ((_, found),) = _contents(holder("url"), section, store, tmp_path / "lists")
        return len(found)

    with pytest.raises(StoreError, match=r"a\.tar is not in the store"):
        read()
    store.add(path, sha256=pin.sha256)
    count = read()
    assert count == 8
    place = store.path(pin.sha256)
    place.chmod(0o644)
    place.write_bytes(b"other")
    assert read() == count, "it was read when it was right"
    for one in (tmp_path / "lists").rglob("*.zst"):
        one.unlink()
    with pytest.raises(StoreError, match=r"a\.tar is not in the store"):
        read()


def test_lists_go_with_their_artefacts_and_when_they_are_old(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    names = (f"artefacts-url/{SHA}.zst", "layers/new.zst", "layers/old.zst")
    lists = {name: store.root / "ledger" / name for name in names}
    for place in lists.values():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    os.utime(lists["layers/old.zst"], (0, 0))
    store.prune({SHA})
    assert [name for name, place in lists.items() if place.exists()] == [f"artefacts-url/{SHA}.zst", "layers/new.zst"]
    store.prune(set())
    assert [name for name, place in lists.items() if place.exists()] == ["layers/new.zst"]
