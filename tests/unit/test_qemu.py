"""What a machine needs here, the seed that it takes, and what is said when it does not come."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dsvm.host import background, free_port
from dsvm.model import EngineError, VerifyError
from dsvm.vm import qemu

mtools = pytest.mark.skipif(shutil.which("mcopy") is None, reason="needs mtools and dosfstools")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of programs that come first; all that QEMU needs is there, and does nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in qemu.PROGRAMS:
        program(folder, name, "exit 0")
    firmware = tmp_path / "OVMF.fd"
    firmware.touch()
    monkeypatch.setattr(qemu, "FIRMWARE", (firmware,))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    qemu.accelerator.cache_clear()
    yield folder
    qemu.accelerator.cache_clear()


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def test_what_is_missing_is_named_at_once_with_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(qemu, "FIRMWARE", (tmp_path / "none",))
    with pytest.raises(EngineError, match=r"need qemu-system-x86_64, .*mcopy, .*packer, OVMF\.fd") as caught:
        qemu.require()
    assert "qemu-system-x86" in caught.value.hint and "ovmf" in caught.value.hint and "mtools" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('serial=${@: -1}; echo "BdsDxe: failed to load" > "${serial#file:}"; sleep 60', "kvm"),
        ('echo "KVM internal error. Suberror: 1" >&2; sleep 60', "tcg"),
        ("exit 1", "tcg"),
    ],
)
def test_kvm_is_where_firmware_starts_under_it(programs: Path, script: str, expected: str) -> None:
    if not Path("/dev/kvm").exists():
        pytest.skip("this host does not even have the device")
    program(programs, qemu.SYSTEM, script)
    assert qemu.accelerator() == expected


@mtools
def test_a_seed_as_cloud_init_reads_it(tmp_path: Path) -> None:
    seed = tmp_path / "seed.img"
    user_data = {"users": [{"name": "x", "gecos": 'a "b": {c}\n# d'}]}
    qemu.make_seed(seed, user_data, instance="i-1")

    def read(name: str) -> str:
        done = subprocess.run(["mtype", "-i", seed, f"::/{name}"], capture_output=True, text=True, check=True)
        return done.stdout

    assert read("user-data").startswith("#cloud-config\n")
    assert yaml.safe_load(read("user-data")) == user_data
    assert json.loads(read("meta-data"))["instance-id"] == "i-1"
    label = subprocess.run(["mlabel", "-s", "-i", seed, "::"], capture_output=True, text=True, check=True).stdout
    assert "CIDATA" in label


def test_ssh_reads_its_configuration(tmp_path: Path) -> None:
    qemu.write_ssh_config(tmp_path, 2222, tmp_path / "a key", {"guest": "ds"})
    argv: list[str | Path] = ["ssh", "-F", tmp_path / "ssh_config", "-G", "guest"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"user ds", "hostname 127.0.0.1", "port 2222", f"identityfile {tmp_path}/a key"} <= set(shown)
    assert "stricthostkeychecking false" in shown


def test_a_machine_that_cannot_be_reached_says_the_end_of_its_console(tmp_path: Path) -> None:
    program(tmp_path, "machine", "sleep 60")
    qemu.write_ssh_config(tmp_path, free_port(), tmp_path / "key", {"guest": "ds"})
    with background([tmp_path / "machine"], log=tmp_path / "log") as process:
        one = qemu.Guest(tmp_path, process, 1)
        (tmp_path / "serial.log").write_text("early\n" * 100 + "\x1b[0mlast words\n")
        with pytest.raises(VerifyError, match=r"cannot be reached by SSH after 1 s(.|\n)*last words"):
            one.wait(1)
        (tmp_path / "serial.log").write_text("[    0.01] Kernel panic - not syncing: No init found.\n" + "trace\n" * 50)
        with pytest.raises(VerifyError, match=r"kernel stopped(.|\n)*trace"):
            one.wait(3600)
    with background(["/bin/false"], log=tmp_path / "log") as process, pytest.raises(VerifyError, match="QEMU ended"):
        qemu.Guest(tmp_path, process, 1).wait(30)


def test_a_background_program_ends_with_its_block_and_with_us(tmp_path: Path) -> None:
    with background(["sleep", "60"], log=tmp_path / "log") as process:
        assert process.poll() is None
    assert process.poll() is not None
    script = (
        "import os, signal, pathlib\n"
        "from dsvm.host import background\n"
        f"with background(['sleep', '61'], log=pathlib.Path('{tmp_path}/log')):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    before = sleepers()
    subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    for _ in range(50):
        if sleepers() <= before:
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert sleepers() <= before


def sleepers() -> set[str]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == b"sleep\x0061\x00":
                found.add(path.parent.name)
        except OSError:
            continue
    return found
