"""Virtual machines under QEMU: what this host has for them, and one that runs and can be reached."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from dsvm.host import Background, Diagnosis, background, free_port, run, scratch, tail
from dsvm.model import EngineError, ProgramError, VerifyError

Accelerator = Literal["kvm", "tcg"]
SYSTEM = "qemu-system-x86_64"
# One file of code and variables; where distributions put it
FIRMWARE = (Path("/usr/share/ovmf/OVMF.fd"), Path("/usr/share/edk2/ovmf/OVMF.fd"))
# Programs that making or checking a machine needs -> the Debian package
PROGRAMS: Mapping[str, str] = {
    SYSTEM: "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "packer": "packer",
}
KVM_ANSWER = b"BdsDxe"  # the firmware's boot manager, when it finds nothing to start
KVM_TIMEOUT = 20.0  # seconds in which the firmware gets there: 2 s where KVM works
PANIC = "Kernel panic - not syncing"  # the console's last words where a kernel has stopped
# Longest times in seconds; without KVM everything takes ten to forty times as long (measured: 95 s to a login).
BOOT_TIMEOUT: Mapping[Accelerator, float] = {"kvm": 120, "tcg": 900}
SLOWNESS: Mapping[Accelerator, int] = {"kvm": 1, "tcg": 10}


def missing() -> dict[str, str]:
    """Programs that machines need and this one lacks -> the Debian package that has them."""
    lacking = {program: package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    return lacking | ({} if any(path.is_file() for path in FIRMWARE) else {"OVMF.fd": "ovmf"})


def require() -> None:
    """Raise EngineError that names everything that machines need and this one lacks."""
    if lacking := missing():
        packages = " ".join(dict.fromkeys(lacking.values()))
        raise EngineError(
            f"virtual machines need {', '.join(lacking)}, which this host lacks",
            hint=f"Try: apt-get install --no-install-recommends {packages}",
        )


def diagnose(*, needed: bool) -> list[Diagnosis]:
    """What this host has for virtual machines; what it lacks is `optional` unless they are `needed`."""
    lacking = missing()
    if lacking:
        remedy = f"apt-get install --no-install-recommends {' '.join(dict.fromkeys(lacking.values()))}"
        what = f"not to be built here: no {', '.join(lacking)}"
        return [Diagnosis("missing" if needed else "optional", "virtual machines", what, remedy)]
    if accelerator() == "kvm":
        return [Diagnosis("ok", "virtual machines", "Packer and QEMU with KVM")]
    what = "KVM does not work here: QEMU emulates, and a machine takes ten to forty times as long"
    return [Diagnosis("slow" if needed else "ok", "virtual machines", what, "give this host nested virtualisation")]


def firmware() -> Path:
    require()
    return next(path for path in FIRMWARE if path.is_file())


@cache
def accelerator() -> Accelerator:
    """kvm where firmware starts under it, else tcg. The device file alone says little: it may be there and not work."""
    if not Path("/dev/kvm").exists():
        return "tcg"
    with scratch("kvm") as folder:
        serial = Path(folder, "serial")
        argv: list[str | Path] = [
            *(SYSTEM, "-accel", "kvm", "-machine", "pc", "-m", "256", "-display", "none", "-nodefaults"),
            *("-bios", firmware(), "-serial", f"file:{serial}"),
        ]
        with background(argv, log=Path(folder, "log")) as process:
            end = time.monotonic() + KVM_TIMEOUT
            while time.monotonic() < end and process.poll() is None:
                if serial.is_file() and KVM_ANSWER in serial.read_bytes():
                    return "kvm"
                # an emulation failure stops the virtual processor and not QEMU
                if "KVM internal error" in process.said():
                    break
                time.sleep(0.1)
    return "tcg"


def memory() -> int:
    """MiB for a machine: half of what is free here, between 2 and 8 GiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) // 1024
    return max(2048, min(8192, available // 2))


def processor() -> str:
    """QEMU's model of a processor for a machine here."""
    # emulated, five levels of page tables cost a twelfth of a boot's time and nobody here has memory for them
    return "max" if accelerator() == "kvm" else "max,la57=off"


def make_key(path: Path) -> str:
    """Make an Ed25519 key for one run; returns the public half as OpenSSH writes it."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "dsvm", "-f", path], timeout=60)
    return path.with_suffix(".pub").read_text().strip()


def make_seed(path: Path, user_data: Mapping[str, Any], *, instance: str, hostname: str = "dsvm") -> None:
    """A disk that cloud-init takes its NoCloud configuration from.

    https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
    """
    with scratch("seed") as folder:
        texts = {
            # JSON is YAML, and quotes everything
            "user-data": f"#cloud-config\n{json.dumps(user_data)}\n",
            "meta-data": json.dumps({"instance-id": instance, "local-hostname": hostname}) + "\n",
        }
        for name, text in texts.items():
            Path(folder, name).write_text(text)
        path.unlink(missing_ok=True)
        run(["mkfs.vfat", "-n", "CIDATA", "-C", path, "1440"], timeout=60)
        run(["mcopy", "-i", path, *(Path(folder, name) for name in texts), "::/"], timeout=60)


def make_overlay(image: Path, overlay: Path, *, more: int = 0, folder: Path | None = None) -> int:
    """A copy-on-write disk over `image`, `more` bytes larger; returns its size in bytes. Paths may be of `folder`."""
    info = run(["qemu-img", "info", "--output=json", image], timeout=60, cwd=folder)
    shown: dict[str, Any] = json.loads(info.stdout)
    size = int(shown["virtual-size"]) + more
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", shown["format"], overlay, str(size)]
    run(argv, timeout=60, cwd=folder)
    return size


def command(
    disk: Path, seed: Path, folder: Path, forwards: Mapping[int, int], *, hermetic: bool = True, kept: bool = False
) -> list[str | Path]:
    """QEMU's command line for a machine that keeps its files in `folder`. `forwards`: loopback port -> its port.

    A disk that is `kept` outlives a crash of this host; others are quick instead.
    """
    cache = "writeback" if kept else "unsafe"
    rules = [f"hostfwd=tcp:127.0.0.1:{port}-:{inside}" for port, inside in forwards.items()]
    return [
        *(SYSTEM, "-accel", accelerator(), "-cpu", processor(), "-smp", "2", "-m", str(memory()), "-machine", "pc"),
        *("-bios", firmware(), "-display", "none"),
        *("-serial", f"file:{folder / 'serial.log'}", "-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"),
        *("-drive", f"file={_escaped(disk)},if=virtio,format=qcow2,cache={cache},discard=unmap"),
        *("-drive", f"file={_escaped(seed)},if=virtio,format=raw,readonly=on"),
        *("-netdev", ",".join(["user", "id=net", *(["restrict=on"] if hermetic else []), *rules])),
        *("-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"),
    ]


def _escaped(path: Path) -> str:
    """A path as a value of QEMU's options, in which a comma is doubled."""
    return str(path).replace(",", ",,")


@dataclass
class Guest:
    """A machine that runs and was reached by SSH."""

    folder: Path
    process: Background
    port: int
    boot_seconds: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh_config"

    def ssh(self, command: str, *, user: str = "guest", timeout: float = 120, check: bool = True) -> str:
        """What a shell command prints in the machine; ProgramError when it fails."""
        done = run(["ssh", "-F", self.ssh_config, user, command], timeout=timeout, check=check)
        return done.stdout

    def copy(self, source: Path, target: str) -> None:
        """Copy a folder into the machine, to the new path `target`."""
        run(["scp", "-q", "-r", "-F", self.ssh_config, source, f"guest:{target}"], timeout=600)

    def wait(self, timeout: float) -> None:
        """Until SSH answers. Raises VerifyError with the end of the serial console when it does not."""
        begun = time.monotonic()
        while True:
            try:
                run(["ssh", "-F", self.ssh_config, "guest", "true"], timeout=60)
            except ProgramError as error:  # a busy machine may take the connection and then no end
                reason = error.output.strip() or error.message
            else:
                self.boot_seconds = time.monotonic() - begun
                return
            if self.process.poll() is not None:
                raise VerifyError(f"QEMU ended:\n{tail(self.process.said())}")
            if PANIC in self.console(lines=1000):
                raise VerifyError(f"the machine's kernel stopped; the end of its console:\n{self.console()}")
            if time.monotonic() - begun > timeout:
                raise VerifyError(
                    f"the machine cannot be reached by SSH after {timeout:.0f} s ({reason}); "
                    f"the end of its console:\n{self.console()}"
                )
            time.sleep(1)

    def reboot(self, timeout: float) -> None:
        """Restart the machine and wait until SSH answers again."""
        before = self.ssh("cat /proc/sys/kernel/random/boot_id")
        self.ssh("sudo -n systemctl reboot", check=False)
        self.disconnect()
        end = time.monotonic() + timeout
        while True:
            self.wait(max(1, end - time.monotonic()))
            with suppress(ProgramError):
                if self.ssh("cat /proc/sys/kernel/random/boot_id") != before:
                    return
            self.disconnect()
            if time.monotonic() > end:
                raise VerifyError(f"the machine does not restart; the end of its console:\n{self.console()}")
            time.sleep(1)

    def disconnect(self) -> None:
        """End the connection that all SSH commands share."""
        for user in ("guest", "checker"):
            run(["ssh", "-F", self.ssh_config, "-O", "exit", user], timeout=30, check=False)

    def console(self, lines: int = 25) -> str:
        """The end of what the machine printed on its serial console."""
        path = self.folder / "serial.log"
        text = path.read_text(errors="replace") if path.is_file() else ""
        printable = "".join(one for one in text if one.isprintable() or one == "\n")
        return tail(printable, lines) or "    (nothing)"

    def screenshot(self, target: Path) -> bool:
        """Write what the machine's screen shows as PNG; whether that worked."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(str(self.folder / "qmp"))
                stream = client.makefile("rw")
                stream.readline()  # greeting
                shot = {"filename": str(target), "format": "png"}
                for name, arguments in (("qmp_capabilities", {}), ("screendump", shot)):
                    stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
                    stream.flush()
                    answer = {"event": ""}
                    while "event" in answer:
                        answer = json.loads(stream.readline())
                return "return" in answer and target.is_file()
        except (OSError, ValueError):
            return False


def write_ssh_config(folder: Path, port: int, key: Path, users: Mapping[str, str]) -> None:
    """SSH's configuration for a machine; `users`: name of a host in it -> user there. One connection serves all."""
    blocks = [
        f"Host {name}\n  User {user}\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {shlex.quote(str(key))}\n"
        "  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
        "  ConnectTimeout 15\n  BatchMode yes\n  ServerAliveInterval 15\n  ServerAliveCountMax 8\n"
        f"  ControlMaster auto\n  ControlPersist 600\n  ControlPath {folder}/%n\n"
        for name, user in users.items()
    ]
    (folder / "ssh_config").write_text("\n".join(blocks))


@contextmanager
def started(
    image: Path, *, more: int = 0, forwards: Mapping[int, int] | None = None, timeout: float | None = None
) -> Iterator[Guest]:
    """A machine on a copy-on-write overlay of `image`, with a fresh seed: reached, and gone afterwards.

    The seed lets in the image's own user ('guest') and a new one ('checker') with a key made for it. The disk is
    `more` bytes larger than the image's. Raises VerifyError when it cannot be reached.
    """
    require()
    # a short path: sockets lie in it
    with scratch("vm") as folder:
        key = folder / "key"
        public = make_key(key)
        user = {"name": "checker", "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL"}
        seed = {
            "users": ["default", {**user, "ssh_authorized_keys": [public]}],
            "ssh_authorized_keys": [public],
        }
        make_seed(folder / "seed.img", seed, instance=f"dsvm-{folder.name}")
        size = make_overlay(image.resolve(), folder / "disk.qcow2", more=more)
        port = free_port()
        write_ssh_config(folder, port, key, {"guest": "ds", "checker": "checker"})
        argv = command(folder / "disk.qcow2", folder / "seed.img", folder, {port: 22, **(forwards or {})})
        limit = timeout or BOOT_TIMEOUT[accelerator()]
        with background(argv, log=folder / "qemu.log") as process:
            guest = Guest(folder, process, port, facts={"disk": str(size), "key": public})
            try:
                guest.wait(limit)
                yield guest
            finally:
                guest.disconnect()


def scaled(seconds: int) -> int:
    """A time limit meant for a container, as this host's accelerator needs it."""
    return seconds * SLOWNESS[accelerator()]
