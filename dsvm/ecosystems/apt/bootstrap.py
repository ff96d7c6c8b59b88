"""A base of Debian packages, made by mmdebstrap from a folder of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsvm.ecosystems.apt.control import control_of
from dsvm.host import run
from dsvm.model import Base, Pin, ProgramError, Section
from dsvm.store import Store

NO_MODE = "unable to pick chroot mode"  # what mmdebstrap says
_CLEAN = (
    'rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig/aux-cache "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin',
    'rm -f "$1"/etc/*- "$1"/var/lib/dpkg/*-old "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/machine-id',
)


def make_base(base: Base, section: Section, store: Store, work: Path, log: Path) -> Path:
    """The files of a base, as a tar in the folder `work`, made of locked packages without a network."""
    assert base.bootstrap is not None  # noqa: S101 - it has been resolved from it
    work.chmod(0o755)  # apt's sandbox user reads the archive
    archive = flat_archive(work / "archive", section.pins, store)
    tar = work / "root.tar"
    suite = base.bootstrap.suites[0].partition("/")[2]
    try:
        _mmdebstrap(base, section, archive, tar, suite, work, log)
    except ProgramError as error:
        if NO_MODE not in error.output:
            raise
        raise ProgramError(
            f"mmdebstrap finds no way to make a base as a user other than root: {NO_MODE}",
            hint="Install newuidmap, and give this user a line in /etc/subuid and /etc/subgid: apt-get install uidmap",
        ) from error
    return tar


def _mmdebstrap(base: Base, section: Section, archive: Path, tar: Path, suite: str, work: Path, log: Path) -> None:
    run(
        [
            *("mmdebstrap", "--mode=auto", "--variant=custom", f"--architectures={base.arch}"),
            f"--include={','.join(f'{pin.name}' for pin in section.pins)}",
            *("--aptopt=Acquire::Languages none", "--aptopt=APT::Install-Recommends false"),
            "--dpkgopt=force-unsafe-io",
            # the archive is this run's own folder: no later apt may look for it
            '--customize-hook=rm -f "$1/etc/apt/sources.list" "$1/etc/apt/apt.conf.d/99mmdebstrap" '
            '"$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"',
            *(f"--customize-hook={hook}" for hook in _CLEAN),
            *(suite, tar, f"deb [trusted=yes] copy:{archive} ./"),
        ],
        apart=True,
        # what it unpacks goes with the folder of this run
        env={"SOURCE_DATE_EPOCH": str(section.epoch), "TMPDIR": str(work)},
        timeout=1800,
        log=log,
    )


def flat_archive(folder: Path, pins: Sequence[Pin], store: Store) -> Path:
    """A folder that apt reads as an archive: the packages and their Packages index."""
    store.tree(folder, {pin.filename: pin.sha256 for pin in pins})
    stanzas = []
    for pin in pins:
        control = control_of(folder / pin.filename, pin.name)
        control["Filename"] = f"./{pin.filename}"
        control["Size"] = str(pin.size)
        control["SHA256"] = pin.sha256
        stanzas.append(control.dump())
    (folder / "Packages").write_text("\n".join(filter(None, stanzas)))
    return folder
