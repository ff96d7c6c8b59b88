"""A small conda channel: real packages by conda's own packer, indexed by rattler."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from conda_package_handling import api
from rattler import index

# What stands for the prefix while a package is built; long, so that any shorter one fits into its place.
PLACEHOLDER = "/opt/build" + "_placehold" * 20
BUILT = 1_600_000_000  # when all of it was built, in seconds since 1970


class Link(str):
    """The target of a symbolic link."""


def publish(
    channel: Path,
    name: str,
    version: str,
    files: Mapping[str, str | bytes | Link],
    *,
    depends: Sequence[str] = (),
    constrains: Sequence[str] = (),
    noarch: str | None = None,
    entry_points: Sequence[str] = (),
    old_format: bool = False,
    build: str = "h0_0",
) -> str:
    """Make a package in the folder of a channel; returns its file, with the subdir. `reindex` makes it known."""
    subdir = "noarch" if noarch else "linux-64"
    ending = ".tar.bz2" if old_format else ".conda"
    file = f"{subdir}/{name}-{version}-{build}{ending}"
    with TemporaryDirectory(dir=channel.parent) as work:
        root = Path(work)
        paths = [_place(root, path, content) for path, content in files.items()]
        about: dict[str, Any] = {"name": name, "version": version, "build": build, "build_number": 0}
        about |= {"depends": list(depends), "constrains": list(constrains), "subdir": subdir, "license": "MIT"}
        about |= {"timestamp": BUILT * 1000, **({"noarch": noarch} if noarch else {})}
        info = {
            "index.json": about,
            "paths.json": {"paths": paths, "paths_version": 1},
            "about.json": {},
            **(
                {"link.json": {"noarch": {"type": noarch, "entry_points": list(entry_points)}}}
                if noarch == "python"
                else {}
            ),
        }
        (root / "info").mkdir()
        for key, value in info.items():
            text = json.dumps({**value, "package_metadata_version": 1} if key == "link.json" else value)
            (root / "info" / key).write_text(text)
        (root / "info/files").write_text("".join(f"{path}\n" for path in files))
        target = channel / file
        target.parent.mkdir(parents=True, exist_ok=True)
        api.create(str(root), None, str(target))
    return file


def _place(root: Path, path: str, content: str | bytes | Link) -> dict[str, Any]:
    """Write one file; returns its entry in paths.json."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Link):
        target.symlink_to(content)
        return {"_path": path, "path_type": "softlink"}
    data = content if isinstance(content, bytes) else content.encode()
    target.write_bytes(data)
    target.chmod(0o775 if path.startswith(("bin/", "python-scripts/")) else 0o664)
    os.utime(target, (BUILT, BUILT))
    entry = {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
    }
    if PLACEHOLDER.encode() in data:
        mode = "binary" if b"\0" in data else "text"
        entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": mode}
    return entry


def reindex(channel: Path) -> None:
    for subdir in ("linux-64", "noarch"):
        (channel / subdir).mkdir(parents=True, exist_ok=True)
    shutil.rmtree(channel / ".cache", ignore_errors=True)
    asyncio.run(index.index_fs(channel, write_shards=False, force=True))


def fill(channel: Path, python: str = "3.11.2") -> Path:
    """The packages that the tests need; `python` is a virtual environment of the distribution's own."""
    minor = python.rpartition(".")[0]
    site = f"lib/python{minor}/site-packages"
    publish(
        channel,
        "python",
        python,
        {
            f"bin/python{minor}": Link(f"/usr/bin/python{minor}"),
            "bin/python": Link(f"python{minor}"),
            "pyvenv.cfg": f"home = /usr/bin\nversion = {python}\n",
            f"{site}/README.txt": "",
        },
        build="0_cpython",
    )
    publish(
        channel,
        "tool",
        "1.0",
        {
            "bin/tool": f"#!/bin/sh\ncat {PLACEHOLDER}/share/tool/words\n",
            "share/tool/words": "tool 1.0\n",
            "share/tool/place": f"{PLACEHOLDER}/share/tool:{PLACEHOLDER}/lib\n",
            "lib/libtool.so.1": b"\x7fELF\0\1" + PLACEHOLDER.encode() + b"/lib:x\0tail\0",
            "lib/libtool.so": Link("libtool.so.1"),
            "bin/.tool-post-link.sh": 'date > "$PREFIX/surprise"\n',
        },
        depends=["base-files >=1.1,<2", "__glibc >=2.17,<3", "__unix", "__linux >=4.18"],
        old_format=True,
    )
    for version in ("1.0", "1.2", "2.0"):
        publish(channel, "base-files", version, {"share/base/version": version})
    publish(channel, "new-glibc", "1.0", {"share/new": ""}, depends=["__glibc >=2.99"])
    publish(channel, "with-cuda", "1.0", {"share/cuda": ""}, depends=["__cuda >=12.4", "base-files"])
    publish(
        channel,
        "pure",
        "2.1",
        {
            "site-packages/pure/__init__.py": "def main():\n    print('pure', __spec__.cached)\n",
            "site-packages/pure/wrong.py": "def (:\n",
            "site-packages/pure-2.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: pure\nVersion: 2.1\n",
        },
        depends=["python >=3.10"],
        noarch="python",
        entry_points=["pure = pure:main"],
        build="pyh0_0",
    )
    reindex(channel)
    return channel
