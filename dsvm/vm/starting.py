"""A verified machine for its user: started on a disk of its own, its services within reach of loopback."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsvm.host import Background, free_port, run
from dsvm.model import EngineError, InputError, ProgramError
from dsvm.plan import SERVICES_ANSWER, service_url
from dsvm.vm import qemu
from dsvm.vm.kept import Disk, Kept

KEYS = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")


@dataclass(frozen=True)
class Running:
    """A machine that was started: how to log in, and the URL of each service."""

    ssh: str
    token: str
    urls: Mapping[str, str]


def start(
    disk: Disk, kept: Kept, folder: Path, services: Mapping[str, Mapping[str, Any]], *, timeout: float | None
) -> Running:
    """Start a machine on its disk, with what only a running one needs in `folder`; returns when all of it answers.

    It lets in the keys of ~/.ssh and one of its own. Services come through SSH, for its firewall lets in nothing else.
    Raises EngineError with the end of the serial console when it does not come up.
    """
    if is_running(folder):
        raise InputError("this machine is running already", hint="Stop it first: invoke stop --format qcow2 ...")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    publics = [disk.key.with_suffix(".pub").read_text().strip()]
    publics += [path.read_text().strip() for name in KEYS if (path := Path.home() / ".ssh" / name).is_file()]
    # the same machine to cloud-init as at its first start: it makes no new keys of the host, and no new user
    qemu.make_seed(folder / "seed.img", {"ssh_authorized_keys": publics}, instance=kept.instance)
    port = free_port()
    forwards = {name: free_port(int(service["port"])) for name, service in services.items()}
    qemu.write_ssh_config(folder, port, disk.key, {"guest": "ds"})
    argv = qemu.command(disk.path, folder / "seed.img", folder, {port: 22}, hermetic=False, kept=True)
    log = folder / "qemu.log"
    run([*argv, "-daemonize", "-pidfile", folder / "pid"], timeout=120, log=log)
    guest = qemu.Guest(folder, Background(lambda: None if is_running(folder) else 1, log), port)
    try:
        guest.wait(timeout or qemu.BOOT_TIMEOUT[qemu.accelerator()])
        token = _ready(guest, timeout or qemu.scaled(60)) if services else ""
        tunnels = [f"-L127.0.0.1:{port}:127.0.0.1:{services[name]['port']}" for name, port in forwards.items()]
        # a connection of its own, which lasts as long as the machine
        options = ("-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes", "-f", "-N")
        if tunnels:
            run(["setsid", "ssh", "-F", guest.ssh_config, *options, *tunnels, "guest"], timeout=120)
    except BaseException:
        stop(folder)
        raise
    urls = {name: service_url(services[name], port, token) for name, port in forwards.items()}
    return Running(f"ssh -F {guest.ssh_config} guest", token, urls)


def _ready(guest: qemu.Guest, timeout: float) -> str:
    """Wait for the services; returns their token."""
    end = time.monotonic() + timeout
    asked = f"{SERVICES_ANSWER} && cat /etc/dsvm/token"
    while True:
        done = run(["ssh", "-F", guest.ssh_config, "guest", asked], timeout=300, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
        if time.monotonic() > end:
            raise EngineError(f"the services do not come up:\n{guest.console()}")
        time.sleep(2)


def _power_off(folder: Path) -> None:
    """Have the machine write down what it has in memory and end."""
    with suppress(ProgramError):
        asked: list[str | Path] = ["ssh", "-F", folder / "ssh_config", "guest", "sudo -n systemctl poweroff"]
        run(asked, timeout=qemu.scaled(10), check=False)
        end = time.monotonic() + qemu.scaled(20)
        while _process(folder) is not None and time.monotonic() < end:
            time.sleep(0.2)


def is_running(folder: Path) -> bool:
    """Whether the machine that keeps its files in `folder` runs."""
    return _process(folder) is not None


def _process(folder: Path) -> int | None:
    with suppress(OSError, ValueError):
        number = int((folder / "pid").read_text())
        if str(folder).encode() in Path(f"/proc/{number}/cmdline").read_bytes():
            return number
    return None


def stop(folder: Path) -> bool:
    """Shut a machine down, by itself if it still can; its disk stays. False when none runs."""
    number = _process(folder)
    if number is not None:
        _power_off(folder)
    if number is not None and _process(folder) is not None:
        with suppress(OSError):
            os.kill(number, signal.SIGTERM)
        for _ in range(200):
            if _process(folder) is None:
                break
            time.sleep(0.1)
        else:
            with suppress(OSError):
                os.kill(number, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return number is not None
