"""The archive for clouds, installed for real on a system that somebody else has made.

A chroot stands for the machine: it has everything but a kernel and a boot loader of its own, and so the base's list
of what a machine needs goes without them here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from workbench import BIG, ROOT, ROOT_ONLY, Done, Invoke, run, unmount_below

from dsvm.host import Host

pytestmark = pytest.mark.slow

VARIANT = "e2e-vendor"
NEEDS_HARDWARE = ("linux-image", "initramfs-tools", "zstd", "shim-", "grub-", "e2fsprogs", "dosfstools")
# What Debian's cloud images have, as far as it matters here, and no update of it since the release
VENDOR = "mount,iproute2,python3-minimal,cloud-init,openssh-server,systemd-sysv,sudo,unattended-upgrades,chrony"


@pytest.fixture(scope="module")
def archive(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The archive of the variant, made by the command for it."""
    catalog = tmp_path_factory.mktemp("vendor")
    shutil.copytree(Path(__file__).with_name("manifests"), catalog, dirs_exist_ok=True)
    base = yaml.safe_load((ROOT / "manifests/bases/debian-12.yaml").read_text())
    base["machine"] = [name for name in base["machine"] if not name.startswith(NEEDS_HARDWARE)]
    (catalog / "bases").mkdir()
    (catalog / "bases" / "debian-12.yaml").write_text(yaml.safe_dump(base, sort_keys=False))
    big = json.loads((ROOT / "manifests/locks" / f"{BIG}.json").read_text())
    shared = [one for one in big["sections"] if not one["tools"] and one["id"] not in ("system", "machine")]
    (catalog / "locks").mkdir()
    lock = {**big, "variant": VARIANT, "choices": [], "sections": shared}
    (catalog / "locks" / f"{VARIANT}.json").write_text(json.dumps(lock))
    words = ("--variant", VARIANT, "--catalog", str(catalog))
    try:
        invoke("lock", *words).passed()
        invoke("render", *words, "--format", "azure", "--old-packer").passed()
        yield ROOT / "build" / VARIANT / "azure" / "install.tar"
    finally:
        shutil.rmtree(ROOT / "build" / VARIANT, ignore_errors=True)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system as its makers release it, without the updates that the lock has, and with a user 1000."""
    tar = tmp_path_factory.mktemp("release") / "root.tar"
    (mirror, *_) = Host.detect().apt_mirrors("debian")
    run(
        ["mmdebstrap", "--variant=minbase", f"--include={VENDOR}", "bookworm", tar, f"deb {mirror} bookworm main"]
    ).passed()
    return tar


@pytest.fixture
def machine(vendor: Path, tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "machine"
    root.mkdir()
    subprocess.run(["tar", "-x", "-C", root, "-f", vendor], check=True)
    run(["chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", "admin"]).passed()
    yield root
    unmount_below(root)
    shutil.rmtree(root)


def inside(root: Path, *words: str) -> Done:
    """Run a program in the machine, with all that a kernel shows, in namespaces of its own."""
    script = (
        'mount --bind "$0" "$0"; mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; '
        'mount --rbind /sys "$0/sys"; exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$0" "$@"'
    )
    return run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script, root, *words])


def packages(root: Path) -> dict[str, str]:
    shown = inside(root, "dpkg-query", "--show", "--showformat", "${Package} ${Version}\n").passed().out
    return dict(line.split() for line in shown.splitlines())


@ROOT_ONLY
def test_the_archive_installs_the_lock_on_a_vendors_machine(archive: Path, machine: Path) -> None:
    before = packages(machine)
    with tarfile.open(archive) as tar:
        tar.extractall(machine, filter="fully_trusted")
    done = inside(machine, "/dsvm/install")
    assert done.code == 0, done.text
    after = packages(machine)
    lock = json.loads(Path(archive.parents[1] / "azure" / "plan.json").read_text())
    locked = {
        pin["name"].split(":")[0]: pin["version"]
        for section in lock["sections"]
        if section["id"] in ("base", "system", "machine")
        for pin in section["pins"]
    }
    wrong = {name: (after.get(name), version) for name, version in locked.items() if after.get(name) != version}
    assert not wrong, "every package is there as locked, whatever the vendor had"
    moved = [name for name in locked if name in before and before[name] != locked[name]]
    assert moved, "the vendor's image had others, or this test shows nothing"
    assert set(before) - set(after) == set(), "and nothing of the vendor's went"
    statuses = inside(machine, "dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n").passed().out
    gone = {line.split()[0] for line in statuses.splitlines() if not line.endswith(" installed")}
    assert gone == {"chrony"}, "but for its time daemon: a machine has one, and another one was locked"

    user = ("su", "-", "admin", "-c")
    assert inside(machine, *user, "dc -e '2 3 + p'").passed().out == "5\n"
    check = "import tqdm, requests; print(tqdm.__version__, requests.__version__)"
    assert inside(machine, *user, f'/opt/envs/base/bin/python -c "{check}"').passed().out.strip()
    assert VARIANT in inside(machine, *user, "dsvm-info").passed().out
    assert "gcc" not in after, "what only building needs is not there"
    assert inside(machine, "id", "-u", "admin").passed().out == "1000\n", "whoever had 1000 has it still"
    assert inside(machine, "id", "ds").passed()
    assert not (machine / "dsvm").exists()
    assert (machine / "etc/systemd/system/multi-user.target.wants/nftables.service").is_symlink() or (
        machine / "etc/systemd/system/sysinit.target.wants/nftables.service"
    ).is_symlink()
    assert not list((machine / "etc/ssh").glob("ssh_host_*")), "a key of its own is made where it starts"
    again = inside(machine, "sh", "-c", "mkdir -p /dsvm")
    assert again.code == 0


@ROOT_ONLY
def test_a_step_that_fails_shows_its_words_and_stops(archive: Path, machine: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(machine, filter="fully_trusted")
    doomed = next((machine / "dsvm/store/system").glob("dc_*.deb"))
    doomed.write_bytes(b"no package")
    done = inside(machine, "/dsvm/install")
    assert done.code != 0
    assert "the machine: install-apt failed" in done.text
    assert doomed.name in done.text
    assert not (machine / "etc/dsvm/manifest.json").exists()


@ROOT_ONLY
def test_only_the_archive_that_was_made_is_installed(archive: Path, machine: Path) -> None:
    """What Packer runs: the digest counts, and the system has to be the one that was planned for."""
    install, meet = (ROOT / "scripts/install" / name for name in ("install-archive", "meet-vendor"))
    for program in (install, meet):
        shutil.copy(program, machine / "root")
    shutil.copy(archive, machine / "root/install.tar")
    digest = hashlib.sha256(b"another").hexdigest()
    refused = inside(machine, "env", "DSVM_ARCHIVE=/root/install.tar", f"DSVM_SHA256={digest}", "/root/install-archive")
    assert refused.code != 0
    assert "not what was built" in refused.text
    assert not (machine / "dsvm").exists()
    (machine / "usr/bin/cloud-init").write_text("#!/bin/sh\nexit 2\n")  # there is nothing to wait for in a chroot

    def vendor(release: str) -> Done:
        return inside(machine, "env", "DSVM_OS=debian", f"DSVM_RELEASE={release}", "/root/meet-vendor")

    vendor("12").passed()
    other = vendor("13")
    assert other.code != 0
    assert "this host runs debian 12; the image is planned for debian 13" in other.text
