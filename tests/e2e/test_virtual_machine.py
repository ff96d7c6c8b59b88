"""A virtual machine: built by Packer, booted and verified; then broken, and verification notices each way.

Everything runs under whatever accelerator works here, plain TCG at the worst: scripts/test slow
"""

from __future__ import annotations

import json
import marshal
import os
import re
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from workbench import INVOKE, ROOT, Invoke, Running, Silent, forget, run, short_folder, small_catalog

from dsvm import checks
from dsvm.checks.planned import MACHINE
from dsvm.container import image_name
from dsvm.host import find_engine, sha256_of
from dsvm.ledger import LEVELS, Account, FileSystem
from dsvm.model import Plan, Report, VerifyError
from dsvm.store import Store
from dsvm.vm import accounting, disk, verification

VARIANT = "e2e-machine"
FOLDER = ROOT / "build" / VARIANT
WORK = FOLDER / "machine"
IMAGE = FOLDER / f"{VARIANT}.qcow2"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, invoke: Invoke) -> Iterator[tuple[str, ...]]:
    """The words that name a variant whose machine was built and verified by one command."""
    words = small_catalog(tmp_path_factory.mktemp("catalog"), VARIANT).words
    try:
        done = invoke("build", *words, "--format", "qcow2", "--update-stale").passed()
        assert "0 failed" in done.out.rpartition("verified unverified.qcow2")[2]
        yield words
    finally:
        forget(VARIANT)


def test_a_machine_is_built_booted_and_verified(machine: tuple[str, ...], invoke: Invoke) -> None:
    report = Report.model_validate_json((WORK / "report.json").read_bytes())
    assert report.count("failed") == 0
    checked = {result.check for result in report.results if result.tool == "machine" and result.outcome == "passed"}
    assert len(checked) >= 9
    reasons = [result.output for result in report.results if result.outcome == "not exercised"]
    assert reasons == ["a virtual machine has none; its container image was checked"]
    assert report.facts.keys() >= {"accelerator", "boot", "restart", "kernel"}
    assert not list(WORK.glob("*.qcow2")) and not list(WORK.glob("*.raw")) and not (WORK / "root").exists()
    again = invoke("build", *machine, "--format", "qcow2")
    again.passed()
    assert f"{IMAGE} is up to date" in again.text


def test_byte_code_on_the_disk_is_that_of_its_sources(machine: tuple[str, ...], tmp_path: Path) -> None:
    """Python compares the time that it says: https://peps.python.org/pep-0552/"""
    raw = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", IMAGE, raw], check=True)
    table = json.loads(subprocess.run(["sfdisk", "--json", raw], check=True, capture_output=True).stdout)
    root = f"{raw}?offset={table['partitiontable']['partitions'][1]['start'] * 512}"
    folder = "/opt/envs/base/lib/python3.11/site-packages/tqdm"
    subprocess.run(["debugfs", "-R", f"rdump {folder} {tmp_path}", root], check=True)
    sources = [path for path in (tmp_path / "tqdm").glob("*.py") if path.stat().st_size]
    assert len(sources) > 10
    for source in sources:
        head = (source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc").read_bytes()[:16]
        said = struct.unpack("<4xIII", head)
        assert said == (0, int(source.stat().st_mtime), source.stat().st_size), source.name


def test_conversions(machine: tuple[str, ...], invoke: Invoke) -> None:
    for format in ("vhd", "vmdk"):
        invoke("build", *machine, "--format", format).passed()
        assert (FOLDER / f"{VARIANT}.{format}").is_file()
    assert ((FOLDER / f"{VARIANT}.vhd").stat().st_size - 512) % (1 << 20) == 0


def test_formats_that_there_are_none_of(machine: tuple[str, ...], invoke: Invoke) -> None:
    invoke("build", *machine, "--format", "qcow").refused(2, "unknown format 'qcow' (did you mean 'qcow2'?)")
    invoke("build", *machine, "--format", "azure").refused(2, "does not come out as azure", "docker, qcow2")


# --- machines that are broken on purpose ---------------------------------------------------------------------


@pytest.fixture
def spoiled(machine: tuple[str, ...], tmp_path: Path) -> Iterator[Path]:
    """A copy of the verified machine in which whatever a machine's checks look for is wrong.

    Its services and its clock are masked, its disk stays as it is, keys and a log of the build are left behind, and a
    module of its kernel is none.
    """
    raw, broken = tmp_path / "disk.raw", tmp_path / "broken.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "raw", IMAGE, raw], check=True)
    table = json.loads(subprocess.run(["sfdisk", "--json", raw], check=True, capture_output=True).stdout)
    start = table["partitiontable"]["partitions"][1]["start"] * 512
    key, text = tmp_path / "key", tmp_path / "text"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    text.write_text("what the build said\n")
    report = Report.model_validate_json((WORK / "report.json").read_bytes())
    modules = f"/lib/modules/{report.facts['kernel']}/kernel"
    requests = [
        "rm /etc/systemd/system/dsvm.service",
        "symlink /etc/systemd/system/dsvm.service /dev/null",
        "mkdir /root/.ssh",
        "symlink /etc/systemd/system/systemd-timesyncd.service /dev/null",
        f"write {text} /etc/growroot-disabled",
        f"write {key}.pub /root/.ssh/authorized_keys2",
        f"write {text} /var/log/build.log",
        "mkdir /var/lib/dkms",
        f"write {key} /var/lib/dkms/mok.key",
        f"rm {modules}/net/netfilter/nf_tables.ko",
        f"write {text} {modules}/net/netfilter/nf_tables.ko",
    ]
    script = tmp_path / "requests"
    script.write_text("\n".join(requests) + "\n")
    argv: list[str | Path] = ["debugfs", "-w", "-f", script, f"{raw}?offset={start}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "not found" not in done.stdout + done.stderr, done.stdout + done.stderr
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, broken], check=True)
    raw.unlink()
    yield broken


EVIL = "what nobody asked for\n"
UNIT = "[Service]\nExecStart=/bin/true\n\n[Install]\nWantedBy=multi-user.target\n"
BASE = "/opt/envs/base/lib/python3.11/site-packages"
SYSTEM = "/usr/lib/python3/dist-packages"
# path -> what stands there then, and what the account says of it
PLANTED: dict[str, tuple[str, set[str]]] = {
    "/usr/bin/env": (EVIL, {"changed"}),
    "/usr/sbin/sshd": (EVIL, {"changed"}),
    "/boot/vmlinuz-KERNEL": (EVIL, {"changed"}),
    "/boot/grub/grub.cfg": (EVIL, {"changed"}),
    "/usr/lib/modules/KERNEL/kernel/net/netfilter/nf_tables.ko": (EVIL, {"changed"}),
    "/usr/lib/modules/KERNEL/kernel/net/netfilter/evil.ko": (EVIL, {"unexplained"}),
    f"{SYSTEM}/cloudinit/util.py": (EVIL, {"changed"}),
    f"{BASE}/evil.pth": ("import evil\n", {"unexplained"}),
    f"{BASE}/tqdm/cli.py": (EVIL, {"changed"}),
    "/usr/local/bin/evil": (EVIL, {"unexplained"}),
    # in a layer the second one would take the first one away
    "/usr/local/bin/+evil": (EVIL, {"unexplained"}),
    "/usr/local/bin/.wh.+evil": (EVIL, {"unexplained"}),
    "/etc/systemd/system/evil.service": (UNIT, {"unexplained"}),
    "/usr/lib/systemd/system/evil.service": (UNIT, {"unexplained"}),
    "/root/.ssh/authorized_keys": ("ssh-ed25519 AAAA\n", {"unexplained", "account"}),
    "/etc/ssh/sshd_config.d/50-dsvm.conf": ("PermitRootLogin yes\n", {"changed"}),
    "/etc/ssh/ssh_host_ed25519_key": (EVIL, {"unexplained", "leftover"}),
    "/etc/sudoers.d/evil": ("games ALL=(ALL) NOPASSWD:ALL\n", {"unexplained", "sudo"}),
    "/etc/ld.so.preload": ("/usr/lib/evil.so\n", {"unexplained"}),
    "/etc/modules": ("evil\n", {"unexplained"}),
    "/etc/default/grub": ('GRUB_CMDLINE_LINUX="init=/bin/sh"\n', {"unexplained"}),
    "/etc/machine-id": ("0123456789abcdef0123456789abcdef\n", {"unexplained", "leftover"}),
    "/etc/cron.d/evil": ("* * * * * root /bin/true\n", {"unexplained"}),
    "/var/log/build.log": (EVIL, {"unexplained", "leftover"}),
}
# what is found beside that: links, rights, what is gone, and what is read in files that may be any
MORE: dict[str, set[str]] = {
    "/etc/systemd/system/nftables.service": {"unexplained"},
    "/etc/systemd/system/default.target": {"changed"},
    "/usr/bin/dd": {"mode", "setuid"},
    "/usr/bin/sudo": {"owner"},
    "/usr/sbin/nft": {"missing"},
    "/etc/passwd": {"account"},
    f"{SYSTEM}/cloudinit/__pycache__/util.cpython-311.pyc": {"stale"},
    f"{SYSTEM}/cloudinit/__pycache__/version.cpython-311.pyc": {"stale"},
    "/boot/initrd.img-KERNEL": {"changed"},
    "/boot/efi/EFI/BOOT/BOOTX64.EFI": {"changed"},
    "/boot/efi/EFI/evil.efi": {"unexplained"},
    "/": {"unexplained"},
}


def test_whatever_is_planted_on_a_disk_is_named(machine: tuple[str, ...], tmp_path: Path) -> None:
    """The good disk has nothing to say; a copy that was changed without starting it says each change."""
    plan = Plan.model_validate_json((WORK / "plan.json").read_bytes())
    report = Report.model_validate_json((WORK / "report.json").read_bytes())
    kernel = report.facts["kernel"]
    engine, store = find_engine(), Store()

    def account(image: Path) -> Account:
        below = image_name(VARIANT)
        return accounting.account(image, sha256_of(image), plan, below, store, engine)

    assert [one for one in account(IMAGE).differences if one.verdict not in LEVELS] == []
    raw, broken = tmp_path / "disk.raw", tmp_path / "broken.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "raw", IMAGE, raw], check=True)
    root = FileSystem(raw, accounting.ROOT_START)
    code = f"{SYSTEM}/cloudinit/__pycache__/version.cpython-311.pyc"
    initrd = f"/boot/initrd.img-{kernel}"
    texts = {path.replace("KERNEL", kernel): text.encode() for path, (text, _) in PLANTED.items()}
    texts |= dict(root.files(["/etc/passwd", code, initrd]))
    texts["/etc/passwd"] += b"toor:x:0:0::/root:/bin/bash\n"
    # the same header, and other code
    texts[code] = texts[code][:16] + marshal.dumps(compile("evil = 1", "version.py", "exec"))
    texts[initrd] += cpio_of("scripts/init-top/evil", EVIL.encode())
    requests = ["mkdir /root/.ssh"]
    for number, (path, data) in enumerate(texts.items()):
        (tmp_path / str(number)).write_bytes(data)
        requests += [f"rm {path}", f"write {tmp_path / str(number)} {path}", f"set_inode_field {path} mode 0100644"]
    requests += [
        "set_inode_field /usr/bin/dd mode 0104755",
        "set_inode_field /usr/bin/sudo uid 1000",
        "rm /usr/sbin/nft",
        "symlink /etc/systemd/system/nftables.service /dev/null",
        "rm /etc/systemd/system/default.target",
        "symlink /etc/systemd/system/default.target /lib/systemd/system/rescue.target",
    ]
    script = tmp_path / "requests"
    script.write_text("\n".join(requests) + "\n")
    subprocess.run(["debugfs", "-w", "-f", script, root.source], check=True, capture_output=True)
    for name in ("BOOT/BOOTX64.EFI", "evil.efi"):
        volume = f"{raw}@@{disk.ESP_START}"
        subprocess.run(["mcopy", "-o", "-i", volume, script, f"::/EFI/{name}"], check=True)
    with raw.open("r+b") as file:
        file.write(b"boot code")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, broken], check=True)
    raw.unlink()

    found: dict[str, set[str]] = {}
    for one in account(broken).differences:
        found.setdefault(one.path, set()).add(one.verdict)
    expected = {path: verdicts for path, (_, verdicts) in PLANTED.items()} | MORE
    expected = {path.replace("KERNEL", kernel): verdicts for path, verdicts in expected.items()}
    assert {path: found.get(path, set()) & verdicts for path, verdicts in expected.items()} == expected
    # byte code of what was changed too, and what needs what is gone
    strange = {path for path in found.keys() - expected.keys() if not path.endswith(".pyc")}
    assert strange <= {"/etc/alternatives/nft"}
    checked = {one.check for one in checks.accounted(account(broken), 0, MACHINE) if one.outcome == "failed"}
    assert checked >= {"every file is explained", "byte code is that of its sources", "rights of files", "accounts"}


def test_a_disk_that_was_not_shut_down_is_refused(machine: tuple[str, ...], tmp_path: Path) -> None:
    """What its journal has is not in its place, and nobody would see it."""
    raw = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", IMAGE, raw], check=True)
    root = FileSystem(raw, accounting.ROOT_START)
    subprocess.run(["debugfs", "-w", "-R", "feature needs_recovery", root.source], check=True, capture_output=True)
    with pytest.raises(VerifyError, match="its journal would change it"):
        root.read()


def cpio_of(path: str, data: bytes) -> bytes:
    """An archive that has one program."""

    def member(name: str, content: bytes, mode: int) -> bytes:
        numbers = (1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % one for one in numbers) + name.encode() + b"\0"
        return pad(head) + pad(content)

    def pad(piece: bytes) -> bytes:
        return piece + bytes(-len(piece) % 4)

    return member(path, data, 0o100755) + member("TRAILER!!!", b"", 0)


@pytest.mark.slow
def test_a_broken_machine_is_caught(spoiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan.model_validate_json((WORK / "plan.json").read_bytes())
    folder, only = tmp_path / "verify", ["machine", "dc"]
    with short_folder() as temporary, monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        report = verification.verify(plan, spoiled, folder=folder, only=only, view=Silent())
        assert not list(temporary.glob("dsvm-vm-*"))
    failed = {
        f"{result.tool}: {result.check}": result.output for result in report.results if result.outcome == "failed"
    }
    expected = {
        "dc: answers": "",
        "machine: services are up again after a restart": "masked",
        "machine: is up again after a restart, no unit failed": "nftables.service",
        "machine: root has grown to the disk's size": "",
        "machine: keeps its time synchronised": "",
        "machine: user and key of the seed, and only these": "/root/.ssh/authorized_keys2",
        "machine: nothing of the build is left": "/var/log/build.log",
        "machine: reaches its login target, no unit failed": "nftables.service",
        "machine: firewall lets in SSH and nothing else": "",
        "machine: modules of the kernel that runs are whole": "nf_tables: modinfo: ERROR",
    }
    assert {case.id for case in checks.planned_checks(plan, [MACHINE])} <= expected.keys() <= failed.keys()
    assert [check for check, words in expected.items() if words not in failed[check]] == []
    assert "/var/lib/dkms/mok.key" in failed["machine: nothing of the build is left"]
    assert (folder / "console.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.slow
def test_what_is_saved_in_a_machine_survives_its_stop(machine: tuple[str, ...], invoke: Invoke) -> None:
    words = (*machine, "--format", "qcow2")
    try:
        started = invoke("start", *words).passed()
        login = re.search(r"^  login +(ssh .*)$", started.out, re.MULTILINE)
        assert login is not None
        run([*login[1].split(), "echo saved > notebook; cat /etc/ssh/ssh_host_ed25519_key.pub > host"]).passed()
        stopped = invoke("stop", *words).passed().out
        assert "is stopped" in stopped and "what was saved stays on" in stopped
        again = invoke("start", *words).passed()
        assert "its disk is that of earlier starts" in again.out
        login = re.search(r"^  login +(ssh .*)$", again.out, re.MULTILINE)
        assert login is not None
        seen = run(
            [*login[1].split(), "cat notebook; cmp host /etc/ssh/ssh_host_ed25519_key.pub && echo same"]
        ).passed()
        assert seen.out.split() == ["saved", "same"]
    finally:
        done = invoke("stop", *words, "--forget")
    assert "all that was saved on it are removed" in done.passed().out


def test_a_machine_that_does_not_start_is_said(machine: tuple[str, ...], tmp_path: Path) -> None:
    from dsvm.vm.qemu import started

    empty = tmp_path / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", empty, "64M"], check=True)
    with (
        pytest.raises(VerifyError, match=r"cannot be reached by SSH after 20 s(.|\n)*BdsDxe"),
        started(empty, timeout=20),
    ):
        pass


@pytest.mark.slow
def test_killed_in_the_middle_nothing_runs_on_and_nothing_half_has_a_name(
    machine: tuple[str, ...], tmp_path: Path
) -> None:
    before = IMAGE.stat()
    # without its description it is no image any more, and is made again
    described = IMAGE.with_name(f"{IMAGE.name}.json")
    described.rename(tmp_path / "described")
    words: list[str | Path] = [INVOKE, "build", *machine, "--format", "qcow2", "--no-verify"]
    running = Running(words, tmp_path / "log")
    try:
        running.wait_for("Waiting for SSH", timeout=300)
        assert qemus()
        os.kill(running.process.pid, signal.SIGKILL)
    finally:
        running.end()
    for _ in range(300):
        if not qemus():
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert not qemus()
    assert (IMAGE.stat().st_ino, IMAGE.stat().st_size) == (before.st_ino, before.st_size)
    assert not (WORK / "unverified.qcow2").exists()
    (tmp_path / "described").rename(described)


def qemus() -> list[str]:
    """QEMU's processes that work on this variant."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"qemu-system-x86_64") and str(WORK).encode() in b" ".join(words):
            found.append(path.parent.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["e2e-lab", "cpu-debian"])
def test_real_machines(variant: str, invoke: Invoke, tmp_path: Path) -> None:
    """JupyterLab, R and XGBoost; then all of cpu-debian. Hours without KVM for the second one."""
    words = small_catalog(tmp_path, variant).words if variant == "e2e-lab" else ("--variant", variant)
    invoke("build", *words, "--format", "qcow2", "--update-stale").passed()
    report = Report.model_validate_json((ROOT / "build" / variant / "machine" / "report.json").read_bytes())
    assert report.count("failed") == 0
    assert report.count("passed") > 60
