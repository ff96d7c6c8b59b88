"""What rpm itself does for dnf: databases of installed packages, signatures of packages, and bases made of them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dsvm.host import run
from dsvm.model import PLATFORMS, ProgramError, Section
from dsvm.store import Store

# Where a distribution keeps its database, the newer place last: RHEL 8 and 9, Fedora 36 and RHEL 10.
DATABASES = ("var/lib/rpm", "usr/lib/sysimage/rpm")
DATABASE_FILES = tuple(f"{folder}/rpmdb.sqlite{end}" for folder in DATABASES for end in ("", "-wal"))
LIST = ("--query", "--all", "--queryformat", r"%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n")
PIN_DATABASE = PLATFORMS["linux"].scripts / "pin-rpmdb"
# Scriptlets write to /dev/null, and must find more than a file that the first of them made.
DEVICES = {"null": (1, 3), "zero": (1, 5), "random": (1, 8), "urandom": (1, 9)}


def listed(text: str) -> dict[str, str]:
    """Name -> version, as dnf writes it, of what rpm lists; several versions of one package stand side by side.

    Imported keys, which rpm lists as packages, are none.
    """
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, version = line.partition("\t")
        if version and name != "gpg-pubkey":
            found.setdefault(name, []).append(version.removeprefix("0:"))
    return {name: " ".join(sorted(versions)) for name, versions in found.items()}


def packages(database: Path) -> Mapping[str, str]:
    """Name -> version of what a database says is installed."""
    return listed(run(["rpm", *_at(database), *LIST], timeout=120).stdout)


def record(database: Path, files: Iterable[Path]) -> None:
    """Make a database in which the packages of `files` are installed; nothing else is."""
    database.mkdir(parents=True)
    unchecked = ("--nodeps", "--noorder", "--ignoresize", "--ignorearch", "--ignoreos", "--replacefiles")
    silent = ("--noscripts", "--notriggers", "--nosignature")
    run(["rpm", *_at(database), "--install", "--justdb", *unchecked, *silent, *files], timeout=600)


def unsigned(files: Mapping[str, Path], key: Path, folder: Path) -> list[str]:
    """Those of `files`, by name, that are not signed by `key` or not as they were signed, with what rpm says.

    `folder` is one to work in. Raises ProgramError when rpm does not take the key.
    """
    database = folder / "keys"
    shutil.rmtree(database, ignore_errors=True)
    database.mkdir(parents=True)
    run(["rpmkeys", *_at(database), "--import", key], timeout=60)
    # 'all': a package without a signature is as bad as one with a wrong signature
    checked = ("--define", "_pkgverify_level all", "--checksig")
    said = run(["rpmkeys", *_at(database), *checked, *files.values()], timeout=600, check=False).stdout
    good = set(re.findall(r"^(.+): digests signatures OK$", said, re.MULTILINE))
    words = dict(re.findall(r"^(.+?): (.*)$", said, re.MULTILINE))
    return [f"{name}: {words.get(str(path), 'nothing')}" for name, path in files.items() if str(path) not in good]


def make_base(section: Section, store: Store, work: Path, log: Path) -> Path:
    """The files of a base, as a tar in the folder `work`, made of locked packages without a network.

    It takes root's rights, for rpm's scripts run with the new system as their root.
    """
    files = work / "packages"
    store.tree(files, {pin.filename: pin.sha256 for pin in section.pins})
    root = work / "root"
    database = root / DATABASES[0]
    database.mkdir(parents=True)
    (root / "dev").mkdir(mode=0o755)
    for name, numbers in DEVICES.items():
        try:
            os.mknod(root / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(*numbers))
        except PermissionError as error:
            raise ProgramError(
                "rpm: a base can only be made of packages by root", hint="Run it as root, or name a registry"
            ) from error
    where = ("--root", root, "--define", f"_dbpath /{DATABASES[0]}")
    epoch = str(section.epoch)
    run(
        ["rpm", *where, "--upgrade", "--nosignature", *sorted(files.iterdir())],
        apart=True,
        env={"SOURCE_DATE_EPOCH": epoch, "LC_ALL": "C.UTF-8"},
        timeout=1800,
        log=log,
    )
    run([sys.executable, PIN_DATABASE, database, epoch], timeout=300)
    _clean(root)
    tar = work / "root.tar"
    # capabilities of programs are extended attributes, whose form of archive knows more times than one
    kept = ("--xattrs", "--xattrs-include=*", "--pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime")
    same = ("--sort=name", "--numeric-owner", "--clamp-mtime", f"--mtime=@{epoch}", "--exclude=./dev/*")
    run(["tar", "--create", f"--file={tar}", *kept, *same, f"--directory={root}", "."], timeout=600)
    return tar


def _clean(root: Path) -> None:
    """Remove what differs from run to run and serves nobody."""
    for pattern in ("var/log/*", "var/cache/ldconfig/aux-cache", "var/cache/dnf/*", "etc/*-", "tmp/*", "var/tmp/*"):
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in ("etc/hostname", "etc/resolv.conf", "etc/machine-id"):
        (root / name).unlink(missing_ok=True)


def _at(database: Path) -> Sequence[str]:
    return ("--define", f"_dbpath {database}")
