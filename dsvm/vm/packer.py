"""Virtual machines by Packer: a disk that is laid out already is booted, finished from inside and shut down."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from packaging.version import Version

from dsvm.host import Log, mortal, run, scratch, stream, tail
from dsvm.model import BuildError, EngineError, Plan
from dsvm.vm import qemu

OLDEST = Version("1.6")  # the first that reads HCL
PLUGINS = Version("1.7")  # the first that knows required_plugins
QUIET = {"CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}  # asks nobody for news
HINT = "Try: apt-get install packer, or take it from https://developer.hashicorp.com/packer/install"


@cache
def version() -> Version:
    """The version of the Packer on PATH. Raises EngineError when there is none, or one that is too old."""
    if shutil.which("packer") is None:
        raise EngineError("packer: not installed, or not on PATH", hint=HINT)
    said = run(["packer", "version"], env=QUIET, timeout=60).stdout
    found = re.search(r"Packer v(\d+\.\d+\.\d+)", said)
    if found is None:
        raise EngineError(f"'packer version' says '{said.strip()[:100]}': is this HashiCorp's Packer?", hint=HINT)
    if Version(found[1]) < OLDEST:
        raise EngineError(f"Packer {found[1]} is too old: templates need {OLDEST} or newer", hint=HINT)
    return Version(found[1])


def needs_plugins() -> bool:
    """Whether this Packer gets its builders as plugins, named in a file of the template."""
    return version() >= PLUGINS


def credential(public: str) -> str:
    """A systemd credential that lets root log in with a key while it is given: lines of tmpfiles.d, in base64.

    https://systemd.io/CREDENTIALS/ (tmpfiles.extra); nothing of it is on the disk before the machine starts.
    """
    key = base64.b64encode(f"{public}\n".encode()).decode()
    lines = [
        "d /root/.ssh 0700 root root",
        f"f~ /root/.ssh/authorized_keys 0600 root root - {key}",
        "f /run/dsvm-build 0644 root root",
    ]
    return base64.b64encode("".join(f"{line}\n" for line in lines).encode()).decode()


def build_local(plan: Plan, folder: Path, disk: Path, *, echo: Callable[[str], None]) -> Path:
    """Boot a copy of `disk` (qcow2), run the template's provisioners and shut it down; returns the finished disk.

    `folder` is where `render.write` has put the template, as packer/. Raises BuildError with the end of Packer's
    output and of the serial console when that fails; nothing is left then.
    """
    output, serial, log = folder / "packed", folder / "serial.log", folder / "packer.log"
    shutil.rmtree(output, ignore_errors=True)
    serial.unlink(missing_ok=True)
    accelerator = qemu.accelerator()
    with scratch("packer") as place:
        key = place / "key"
        values: dict[str, Any] = {
            "output": str(output),
            "disk": str(disk),
            "accelerator": accelerator,
            "processor": qemu.processor(),
            "memory": qemu.memory(),
            "firmware": str(qemu.firmware()),
            "serial_log": str(serial),
            "credential": credential(qemu.make_key(key)),
            "key": str(key),
            "ssh_timeout": f"{qemu.BOOT_TIMEOUT[accelerator]:.0f}s",
        }
        variables = place / "run.pkrvars.json"
        variables.write_text(json.dumps(values))
        try:
            _run(folder / "packer", variables, log, place, echo=echo)
        except BuildError:
            shutil.rmtree(output, ignore_errors=True)
            console = _console(serial)
            raise BuildError(
                f"packer build failed:\n{tail(log.read_text(errors='replace'))}\n"
                f"the end of the machine's console:\n{console}",
                hint=f"Full output: {log}, {serial}",
            ) from None
        except BaseException:
            shutil.rmtree(output, ignore_errors=True)
            raise
    return output / "disk.qcow2"


def build_cloud(folder: Path, values: Mapping[str, Any], *, echo: Callable[[str], None]) -> None:
    """Build the template in `folder`/packer in its cloud, with `values` for its variables.

    Packer takes away what it has begun when that fails. Raises BuildError with the end of its output.
    """
    log = folder / "packer.log"
    with scratch("packer") as place:
        variables = place / "run.pkrvars.json"
        variables.write_text(json.dumps(values))
        try:
            _run(folder / "packer", variables, log, place, echo=echo)
        except BuildError:
            output = tail(log.read_text(errors="replace"), 25)
            raise BuildError(f"packer build failed:\n{output}", hint=f"Full output: {log}") from None


def _run(template: Path, variables: Path, log: Path, place: Path, *, echo: Callable[[str], None]) -> None:
    env = {**QUIET, "TMPDIR": str(place), "PACKER_CACHE_DIR": f"{place}/cache"}
    if needs_plugins():
        run(["packer", "init", template], env=env, timeout=600)
    # TERM, which Packer heeds: it ends its QEMU before itself
    argv = mortal(["packer", "build", "-color=false", f"-var-file={variables}", template], "TERM")
    begun = time.monotonic()
    with Log(log) as file, stream(argv, env=env) as (lines, wait):
        for line in lines:
            file.write(line)
            file.flush()
            if line.startswith("==> "):
                echo(f"packer {time.monotonic() - begun:4.0f} s  {line.removeprefix('==> ').rstrip()}")
        if wait() != 0:
            raise BuildError("packer build failed")


def _console(serial: Path) -> str:
    text = serial.read_text(errors="replace") if serial.is_file() else ""
    return tail("".join(one for one in text if one.isprintable() or one == "\n"), 25) or "    (nothing)"
