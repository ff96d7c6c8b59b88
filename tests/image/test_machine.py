"""What only a booted virtual machine can show."""

from __future__ import annotations

import json
import socket

import testinfra

from dsvm.checks.planned import Case
from dsvm.model import Plan
from dsvm.plan import SERVICES_ANSWER
from image.conftest import SETTINGS
from image.harness import Image, fail

# What the firewall, the EFI partition and machines of other makers need
MODULES = ("nf_tables", "vfat", "virtio_net", "nvme", "hv_netvsc", "ena")
MACHINE = SETTINGS.get("machine", {})


def _up(image: Image) -> None:
    """Fail unless systemd has reached its target with no unit failed."""
    done = image.root(["systemctl", "is-system-running", "--wait"], timeout=120)
    failed = image.root(["systemctl", "list-units", "--failed", "--no-legend", "--plain"]).output.split("\n")
    units = [line.split()[0] for line in failed if line.strip()]
    if units:
        logs = image.root(["journalctl", "--no-pager", "--lines=15", *(f"--unit={unit}" for unit in units)])
        fail(f"failed units: {', '.join(units)}", logs.output)
    if done.output.strip() != "running":
        fail(f"the machine is '{done.output.strip()}', not 'running'")
    target = image.root(["systemctl", "is-active", "multi-user.target", "getty@tty1.service"]).output.split()
    if target != ["active", "active"]:
        fail(f"login target and console are {target}")


def test_machine_up(case: Case, image: Image) -> None:
    _up(image)


def test_machine_restart(case: Case, image: Image) -> None:
    _up(image)


def test_machine_services(case: Case, plan: Plan, image: Image) -> None:
    image.root(["systemctl", "is-system-running", "--wait"], timeout=120)
    # what is not on its way when all units are done does not come any more
    on_its_way = "case $(systemctl is-active dsvm) in active | activating) sleep 2 ;; *) exit 1 ;; esac"
    wait = f"until {SERVICES_ANSWER}; do {on_its_way}; done"
    done = image.shell(wait, timeout=60)
    if done.code != 0:
        state = image.root(["systemctl", "--no-pager", "--full", "status", "dsvm.service"])
        fail(f"{', '.join(plan.services)}: not up again", state.output)


def test_machine_users(case: Case, image: Image) -> None:
    """The new user of the seed logs in with its key and becomes root; no other key and no password lets anybody in."""
    checker = testinfra.get_host("ssh://checker", ssh_config=SETTINGS["ssh_config"])
    said = checker.run("id -un; sudo -n id -un")
    if said.stdout.split() != ["checker", "root"]:
        fail("the user of the seed cannot log in and become root", said.stdout + said.stderr)
    known = MACHINE["key"].split()[1]
    faults = image.root_probe("logins.py", known)
    if faults:
        fail("who else may log in:", "\n".join(faults))


def test_machine_disk(case: Case, image: Image) -> None:
    done = image.root(["findmnt", "--noheadings", "--bytes", "--output", "SIZE,FSTYPE", "/"]).expect_success()
    size, kind = done.output.split()
    # ext4 itself takes some percent, and the other partition 64 MiB
    if int(size) < int(MACHINE["disk"]) * 0.93 or kind != "ext4":
        fail(f"root is {int(size) / 1e9:.1f} GB of {kind} on a disk of {int(MACHINE['disk']) / 1e9:.1f} GB")


def test_machine_time(case: Case, image: Image) -> None:
    found = image.root(["systemctl", "is-active", "systemd-timesyncd.service"]).output.strip()
    if found != "active":
        fail(f"systemd-timesyncd is {found}")
    done = image.root(["timedatectl", "show", "--property=NTP", "--value"])
    if done.output.strip() != "yes":
        fail("the time is not synchronised with anything", done.output)


def test_machine_firewall(case: Case, plan: Plan, image: Image) -> None:
    rules = json.loads(image.root(["nft", "--json", "list", "ruleset"]).expect_success().output)["nftables"]
    chains = [rule["chain"] for rule in rules if rule.get("chain", {}).get("hook") == "input"]
    if not any(chain.get("policy") == "drop" for chain in chains):
        fail("no chain of the firewall drops what comes in", json.dumps(rules, indent=1))
    for port, inside in MACHINE["closed"].items():
        server = ["systemd-run", "--unit=dsvm-probe", "--collect", "python3", "-m", "http.server", str(inside)]
        served = inside in {service.port for service in plan.services.values()}
        if not served:
            image.root(server).expect_success()
        wait = f"until : < /dev/tcp/127.0.0.1/{inside}; do sleep 1; done 2> /dev/null"
        here = image.shell(wait, timeout=20)
        outside = _answers(int(port))
        if not served:
            image.root(["systemctl", "stop", "dsvm-probe"])
        if here.code != 0:
            fail(f"nothing answers on port {inside} in the machine itself", here.output)
        if outside:
            fail(f"port {inside} can be reached from outside")


def _answers(port: int) -> bool:
    """Whether something beyond a forwarded port answers; QEMU itself takes every connection first."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.settimeout(10)
        try:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return client.recv(1) != b""
        except OSError:
            return False


def test_machine_clean(case: Case, image: Image) -> None:
    faults = image.root_probe("leftovers.py")
    if faults:
        fail("left over from before this machine's first start:", "\n".join(faults))


def test_machine_kernel(case: Case, image: Image) -> None:
    """The modules that are loaded, and those that the next start needs, are whole and of the kernel that runs."""
    faults = image.root_probe("modules.py", *MODULES)
    if faults:
        fail("modules of the kernel:", "\n".join(faults))
