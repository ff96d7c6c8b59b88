"""Virtual machines: made from a verified container image, verified by booting, and only then named."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm import checks, qemu
from dsvm.builders import disk, packer
from dsvm.builders.docker import export_root
from dsvm.errors import EngineError, InputError, VerifyError
from dsvm.model import DISK_FORMATS, CheckResult, Format, Model, Plan, Report, canonical_json
from dsvm.run import run

if TYPE_CHECKING:
    from dsvm.builders.docker import Screen
    from dsvm.engine import Engine
    from dsvm.store import Store

Say = Callable[[str], None]
# What a machine is verified as; the others are conversions of it.
VERIFIED: Format = "qcow2"
# qemu-img's name and options. Without force_size a fixed VHD has a size that no MiB divides, which Azure refuses:
# https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic
CONVERSIONS: Mapping[Format, tuple[str, ...]] = {
    "vhd": ("-O", "vpc", "-o", "subformat=fixed,force_size"),
    "vmdk": ("-O", "vmdk", "-o", "subformat=streamOptimized"),
}
VHD_FOOTER = 512  # bytes after a fixed VHD's data
MORE_DISK = 2 * disk.GIB  # how much larger the disk is on which an image is verified
LOCAL = DISK_FORMATS


class MachineImage(Model):
    """What stands beside a disk image: what it is, and how it was made."""

    variant: str
    format: Format
    plan: str
    lock: str
    sha256: str
    bytes: int
    disk: int
    accelerator: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class Place:
    """Where everything of a variant's machine lies."""

    folder: Path
    variant: str

    @property
    def work(self) -> Path:
        return self.folder / "machine"

    @property
    def unverified(self) -> Path:
        return self.work / "unverified.qcow2"

    @property
    def running(self) -> Path:
        """What a machine that its user has started keeps."""
        return self.folder / "running"

    def image(self, format: Format) -> Path:
        return self.folder / f"{self.variant}.{format}"

    def described(self, image: Path) -> Path:
        return image.with_name(f"{image.name}.json")

    def known(self, image: Path) -> MachineImage | None:
        """What stands beside `image`; None when one of them is missing or something else."""
        try:
            found = MachineImage.model_validate_json(self.described(image).read_bytes())
        except (OSError, ValueError):
            return None
        return found if image.is_file() and image.stat().st_size == found.bytes else None


def make(
    plan: Plan,
    place: Place,
    base: tuple[Path, str],
    image: str,
    *,
    store: Store,
    engine: Engine,
    screen: Screen,
    say: Say,
    builder: str | None = None,
    no_cache: bool = False,
) -> MachineImage:
    """Make the disk of a machine, on top of the container image `image`; it stays unverified.

    The template and small files of `plan` lie in the place's work folder already. Raises BuildError.
    """
    qemu.require()
    packer.version()
    if os.geteuid() != 0:
        raise EngineError("a machine's files belong to many users: this needs root", hint="Try: sudo invoke build ...")
    work = place.work
    root, raw, laid = work / "root", work / "disk.raw", work / "laid.qcow2"
    seconds: dict[str, float] = {}
    begun = time.monotonic()

    def done(step: str) -> None:
        nonlocal begun
        seconds[step] = round(time.monotonic() - begun, 1)
        begun = time.monotonic()

    try:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(mode=0o755)
        export_root(
            plan, work, base, image, store, root,
            engine_env=engine.env, containerd_store=engine.containerd_store, screen=screen,
            builder=builder, no_cache=no_cache,
        )  # fmt: skip
        (root / "etc/resolv.conf").unlink(missing_ok=True)  # the engine's own; systemd makes the machine's
        done("files")
        used = disk.used_bytes(root)
        geometry = disk.geometry(used)
        disk.lay_out(plan, root, raw, geometry)
        shutil.rmtree(root)
        disk.to_qcow2(raw, laid)
        raw.unlink()
        done("disk")
        say(f"disk: {used / 1e9:.2f} GB of files on {geometry.size / disk.GIB:.0f} GiB, laid out")
        finished = packer.build_local(plan, work, laid, say=say)
        laid.unlink()
        done("packer build")
        place.unverified.unlink(missing_ok=True)
        part = place.unverified.with_suffix(".part")
        disk.to_qcow2(finished, part, compressed=True)
        shutil.rmtree(finished.parent)
        part.replace(place.unverified)
        done("compact")
    finally:
        shutil.rmtree(root, ignore_errors=True)
        for path in (raw, laid, place.unverified.with_suffix(".part")):
            path.unlink(missing_ok=True)
    made = MachineImage(
        variant=plan.variant,
        format=VERIFIED,
        plan=plan.digest,
        lock=plan.lock_digest,
        sha256=_sha256(place.unverified),
        bytes=place.unverified.stat().st_size,
        disk=geometry.size,
        accelerator=qemu.accelerator(),
        seconds=seconds,
    )
    place.described(place.unverified).write_text(canonical_json(made))
    spent = ", ".join(f"{step} {value:.0f} s" for step, value in seconds.items())
    say(f"machine: {made.bytes / 1e6:.0f} MB ({spent})")
    return made


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(
    plan: Plan,
    image: Path,
    *,
    folder: Path,
    only: Sequence[str] = (),
    manifests: Sequence[Path] = (checks.MANIFESTS,),
    workers: int | None = None,
    progress: checks.Watcher | None = None,
) -> Report:
    """Boot an overlay of `image` on a larger disk with a fresh seed and run every planned check over SSH.

    Writes report-qcow2.json and verify-qcow2.log in `folder`. Raises VerifyError when the machine cannot be reached or
    the suite breaks off, with the end of the serial console; the console's screen is in console.png then.
    """
    cases = checks.planned_checks(plan, only)
    watcher = progress or checks.ConsoleWatcher()
    folder.mkdir(parents=True, exist_ok=True)
    watcher.step(f"Booting {image.name} with {qemu.accelerator()}")
    closed = {qemu.free_port(): port for port in closed_ports(plan)}
    shot = folder / "console.png"
    shot.unlink(missing_ok=True)
    results = _not_of_machines(plan) if not only or checks.IMAGE in only else []
    with qemu.started(image, more=MORE_DISK, forwards=closed) as guest:
        try:
            guest.ssh("cloud-init status --wait", timeout=qemu.BOOT_TIMEOUT[qemu.accelerator()], check=False)
            facts = _facts(guest)
            with checks.staged_scripts(cases, manifests) as scripts:
                guest.copy(scripts, checks.SCRIPTS_INSIDE)
            token = guest.ssh("cat /etc/dsvm/token", check=False).strip() if plan.services else ""
            settings = {
                # not the token itself: command lines are everybody's to read
                "prelude": "export DSVM_TOKEN=$(cat /etc/dsvm/token); " if token else "",
                "slowness": qemu.SLOWNESS[qemu.accelerator()],
                "machine": {**guest.facts, "closed": {str(port): inside for port, inside in closed.items()}},
                "ssh_config": str(guest.ssh_config),
            }
            watcher.begin(len(cases) + len(results))
            for result in results:
                watcher.result(result)
            for restarted in (False, True):
                chosen = [case for case in cases if case.restarted == restarted]
                if not chosen:
                    continue
                if restarted:
                    guest.reboot(qemu.BOOT_TIMEOUT[qemu.accelerator()])
                    facts["restart"] = f"{guest.boot_seconds:.0f} s until SSH answered"
                elif plan.services and not only:
                    _wait_until_healthy(guest)
                results += checks.run_suite(
                    chosen,
                    plan,
                    ["--hosts=ssh://guest", f"--ssh-config={guest.ssh_config}"],
                    {"DSVM_TOKEN": token or "-" * 8},
                    log=folder / ("verify-restarted.log" if restarted else "verify.log"),
                    workers=workers,
                    watcher=watcher,
                    settings=settings,
                )
        except BaseException:
            guest.screenshot(shot)
            raise
        finally:
            watcher.end()
            (folder / "serial.log").write_text(guest.console(lines=5000))
        if any(result.outcome == "failed" for result in results):
            guest.screenshot(shot)
    report = checks.make_report(plan, f"sha256:{_sha256(image)}", results, facts)
    checks.write_report(folder, report, only)
    return report


def closed_ports(plan: Plan) -> tuple[int, ...]:
    """Ports of a machine that nobody outside may reach: those of its services, or one where a check listens."""
    return tuple(service.port for service in plan.services.values()) or (9999,)


def _wait_until_healthy(guest: qemu.Guest) -> None:
    """Wait until every service answers; what does not is the business of its checks."""
    end = time.monotonic() + qemu.scaled(60)
    while time.monotonic() < end:
        asked = "systemctl is-active --quiet dsvm && test -e /tmp/dsvm-start-1000.json && dsvm-start --health"
        done = run(["ssh", "-F", guest.ssh_config, "guest", asked], timeout=300, check=False)
        if done.returncode == 0:
            return
        time.sleep(2)


def _facts(guest: qemu.Guest) -> dict[str, str]:
    """What was measured on the way, in words."""
    analyzed = guest.ssh("systemd-analyze time", check=False).splitlines()
    return {
        "accelerator": qemu.accelerator(),
        "boot": f"{guest.boot_seconds:.0f} s until SSH answered",
        "boot by systemd": analyzed[0] if analyzed else "unknown",
        "kernel": guest.ssh("uname -r").strip(),
    }


def _not_of_machines(plan: Plan) -> list[CheckResult]:
    return [
        CheckResult(
            tool=checks.IMAGE,
            check="settings and labels",
            outcome="not exercised",
            seconds=0,
            output="a virtual machine has none; its container image was checked",
        )
    ]


def name(place: Place) -> Path:
    """Give the verified image its name; its description goes first, and counts only beside the image."""
    image = place.image(VERIFIED)
    image.unlink(missing_ok=True)
    place.described(place.unverified).replace(place.described(image))
    place.unverified.replace(image)
    for format in CONVERSIONS:  # of an earlier image
        place.image(format).unlink(missing_ok=True)
        place.described(place.image(format)).unlink(missing_ok=True)
    return image


def convert(place: Place, format: Format) -> Path:
    """The verified image in another format, made when it is not there. Raises VerifyError when it came out wrong."""
    source, target = place.image(VERIFIED), place.image(format)
    known = place.known(source)
    if known is None:
        raise InputError(f"there is no verified image {source}", hint=f"Run: invoke build --format {VERIFIED}")
    before = place.known(target)
    if before is not None and before.plan == known.plan:
        return target
    part = target.with_name(f".{target.name}.part")
    try:
        run(["qemu-img", "convert", *CONVERSIONS[format], source, part], timeout=7200)
        check_conversion(source, part, format)
        described = known.model_copy(update={"format": format, "sha256": _sha256(part), "bytes": part.stat().st_size})
        place.described(target).write_text(canonical_json(described))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def check_conversion(source: Path, target: Path, format: Format) -> None:
    """Compare a conversion with what it was made from, and hold a VHD to Azure's rule: whole MiB and a footer."""
    kind = CONVERSIONS[format][1]
    run(["qemu-img", "compare", "-q", "-f", VERIFIED, "-F", kind, source, target], timeout=7200)
    if format != "vhd":
        return
    size = target.stat().st_size - VHD_FOOTER
    with target.open("rb") as file:
        file.seek(size)
        footer = file.read(VHD_FOOTER)
    # https://github.com/libyal/libvhdi/blob/main/documentation: cookie at 0, current size at 48, type 2 is fixed
    said, fixed = int.from_bytes(footer[48:56], "big"), int.from_bytes(footer[60:64], "big") == 2
    if footer[:8] != b"conectix" or size % disk.MIB or said != size or not fixed:
        raise VerifyError(f"{target}: not a fixed VHD of whole MiB: {size} bytes of data, the footer says {said}")
