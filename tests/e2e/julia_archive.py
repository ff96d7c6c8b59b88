"""An archive laid out as Julia's official ones, filled with the Julia of Debian 11, which its archive still has."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from dsvm.host import Host

VERSION = "1.5.3"
LIB = "lib/x86_64-linux-gnu"
# A Julia brings all its libraries but the C library, which is the system's.
SYSTEM = ("debconf_", "dpkg_", "gcc-10-base_", "libc6_", "perl-base_", "tar_")
# The official program finds its libraries by itself; Debian's is told.
LAUNCHER = f"""#!/bin/sh
prefix=$(dirname "$(dirname "$(readlink -f "$0")")")
export LD_LIBRARY_PATH="$prefix/{LIB}:$prefix/{LIB}/julia"
exec "$prefix/libexec/julia" "$@"
"""


def make(folder: Path) -> Path:
    """The archive, made in `folder`, which is emptied of everything else. Needs apt and Debian's archive."""
    mirror = Host.detect().apt_mirrors("debian")[0]
    apt, tree = folder / "apt", folder / f"julia-{VERSION}"
    for sub in ("lists/partial", "cache/archives/partial", "parts"):
        (apt / sub).mkdir(parents=True)
    (apt / "status").touch()
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "sources.list").write_text(f"deb [arch=amd64 signed-by={keyring}] {mirror} bullseye main\n")
    (apt / "apt.conf").write_text(
        'Dir::Etc "/";\n'
        f'Dir::Etc::SourceList "{apt}/sources.list";\nDir::Etc::SourceParts "{apt}/parts";\n'
        f'Dir::Etc::Preferences "{apt}/none";\nDir::Etc::PreferencesParts "{apt}/parts";\n'
        f'Dir::State::Lists "{apt}/lists";\nDir::State::Status "{apt}/status";\nDir::Cache "{apt}/cache";\n'
        'APT::Sandbox::User "root";\nAcquire::Languages "none";\n'
    )
    env = {"APT_CONFIG": str(apt / "apt.conf"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    install = ("apt-get", "--yes", "--quiet", "--no-install-recommends", "--download-only", "install", "julia")
    for words in (("apt-get", "--quiet", "update"), install):
        subprocess.run(words, env=env, check=True, capture_output=True)
    root = folder / "root"
    for package in (apt / "cache/archives").glob("*.deb"):
        if not package.name.startswith(SYSTEM):
            subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    shutil.copytree(root / "usr" / LIB, tree / LIB, symlinks=True)
    if (root / LIB).is_dir():
        shutil.copytree(root / LIB, tree / LIB, symlinks=True, dirs_exist_ok=True)
    shutil.copytree(root / "usr/share/julia", tree / "share/julia", symlinks=True)
    (tree / "libexec").mkdir()
    shutil.copy(root / "usr/bin/julia", tree / "libexec/julia")
    (tree / "bin").mkdir()
    archive = folder / f"julia-{VERSION}-linux-x86_64.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(tree, tree.name)
        launcher = tarfile.TarInfo(f"{tree.name}/bin/julia")
        launcher.size, launcher.mode = len(LAUNCHER), 0o755
        tar.addfile(launcher, io.BytesIO(LAUNCHER.encode()))
    for made in (apt, root, tree):
        shutil.rmtree(made)
    return archive
