"""A machine is verified by booting it: the container's suite over SSH, and what only a machine can show."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dsvm import checks
from dsvm.catalog import MANIFESTS
from dsvm.host import free_port, run, sha256_of
from dsvm.ledger import Account
from dsvm.model import GIB, CheckResult, Plan, Report
from dsvm.plan import SERVICES_ANSWER
from dsvm.session import CheckView, Silent
from dsvm.vm import qemu

Echo = Callable[[str], None]
MORE_DISK = 2 * GIB  # how much larger the disk is on which an image is verified


def verify(
    plan: Plan,
    image: Path,
    *,
    folder: Path,
    only: Sequence[str] = (),
    manifests: Sequence[Path] = (MANIFESTS,),
    workers: int | None = None,
    view: CheckView | None = None,
    account: Callable[[str, Echo], Account] | None = None,
) -> Report:
    """Boot an overlay of `image` on a larger disk with a fresh seed and run every planned check over SSH.

    Before that `account`, given the image's SHA-256, accounts for every file of it.
    Writes report.json (another name when `only` some were asked for), verify.log, verify-restarted.log and serial.log
    in `folder`, and the console's screen as console.png when a check fails. Raises VerifyError when the machine cannot
    be reached or the suite breaks off, with the end of the serial console.
    """
    cases = checks.planned_checks(plan, only)
    view = view or Silent().checks()
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = sha256_of(image)
    results = _not_of_machines(plan) if not only or checks.IMAGE in only else []
    if account is not None and (not only or checks.MACHINE in only):
        view.step(f"Accounting for every file of {image.name}")
        begun = time.monotonic()
        found = account(sha256, view.step)
        results += checks.accounted(found, time.monotonic() - begun, checks.MACHINE)
    view.step(f"Booting {image.name} with {qemu.accelerator()}")
    closed = {free_port(): port for port in closed_ports(plan)}
    shot = folder / "console.png"
    shot.unlink(missing_ok=True)
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
            view.begin(len(cases) + len(results))
            for result in results:
                view.result(result)
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
                    view=view,
                    settings=settings,
                )
        except BaseException:
            guest.screenshot(shot)
            raise
        finally:
            view.end()
            (folder / "serial.log").write_text(guest.console(lines=5000))
        if any(result.outcome == "failed" for result in results):
            guest.screenshot(shot)
    report = checks.make_report(plan, f"sha256:{sha256}", results, facts)
    checks.write_report(folder, report, only)
    return report


def closed_ports(plan: Plan) -> tuple[int, ...]:
    """Ports of a machine that nobody outside may reach: those of its services, or one where a check listens."""
    return tuple(service.port for service in plan.services.values()) or (9999,)


def _wait_until_healthy(guest: qemu.Guest) -> None:
    """Wait until every service answers; what does not is the business of its checks."""
    end = time.monotonic() + qemu.scaled(60)
    while time.monotonic() < end:
        asked = f"systemctl is-active --quiet dsvm && {SERVICES_ANSWER}"
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
