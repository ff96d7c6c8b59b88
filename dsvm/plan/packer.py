"""Format of a virtual machine -> the source and the steps of its Packer template, as data for the templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsvm import ROOT
from dsvm.model import GIB, Format, InputError, Plan
from dsvm.plan.release import prefix, tags_of, version_of

SCRIPTS = ROOT / "scripts"
# Whom the build logs in as, where the cloud makes any user that it is asked for
LOGIN = "dsvm-build"


@dataclass(frozen=True)
class Steps:
    """What runs in a machine beside the provisioners that every machine has: templates, and scripts for them."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    scripts: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Source:
    """A source of templates/packer. Plugins: the newest of which the attributes are known to us."""

    builder: str
    plugin: str
    version: str
    # template of the variables beside the source's own
    variables: str
    cloud: bool = True
    steps: Mapping[str, Steps] = field(default_factory=dict)


INSTALL = Steps(
    before=("install",),
    after=("forget",),
    scripts=tuple(SCRIPTS / "install" / name for name in ("meet-vendor", "install-archive", "forget-login")),
)


def _windows(*scripts: str) -> Steps:
    return Steps(before=("windows",), scripts=tuple(SCRIPTS / "packer" / name for name in scripts))


QEMU = Source("qemu", "qemu", "1.1.0", "variables", cloud=False, steps={"linux": Steps()})
SOURCES: Mapping[Format, Source] = {
    "qcow2": QEMU,
    "vhd": QEMU,
    "vmdk": QEMU,
    "azure": Source(
        *("azure-arm", "azure", "2.5.1", "cloud"),
        steps={"linux": INSTALL, "windows": _windows("Install-Archive.ps1", "Sysprep-Azure.ps1")},
    ),
    "ami": Source(
        *("amazon-ebs", "amazon", "1.8.0", "cloud"),
        steps={"linux": INSTALL, "windows": _windows("Install-Archive.ps1", "Sysprep-Aws.ps1", "Enable-WinRM.txt")},
    ),
    "gcp": Source("googlecompute", "googlecompute", "1.2.2", "cloud", steps={"linux": INSTALL}),
}


def source_of(plan: Plan) -> Source:
    """The source of a machine's plan. Raises InputError where its base cannot be built there."""
    found = SOURCES[plan.format or "docker"]
    if plan.base.platform not in found.steps or (found.cloud and image_of(plan) is None):
        raise InputError(
            f"base '{plan.base.base}' has no image to start from for the format '{plan.format}'",
            hint=f"Name the vendor's image in its manifest: cloud: {{{plan.format}: ...}}",
        )
    return found


def image_of(plan: Plan) -> Any:
    """The vendor's image in the cloud of the plan's format, as the base's manifest names it."""
    return getattr(plan.base.cloud, plan.format or "", None)


def values(plan: Plan, *, plugins: bool) -> dict[str, Any]:
    """What the templates of a plan's source are rendered with."""
    source = source_of(plan)
    platform = plan.base.platform
    steps = source.steps[platform]
    tags = tags_of(plan)
    width = max(map(len, tags))
    return {
        "plan": plan,
        "plugins": plugins,
        "plugin": {"name": source.plugin, "version": source.version},
        "source": source.builder,
        "before": steps.before,
        "after": steps.after,
        "provisioners": tuple(plan.machine.provisioners) if plan.machine else (),
        "platform": platform,
        # a laid-out disk is logged in to as root
        "sudo": source.cloud,
        "os_type": platform.capitalize(),
        "login": _login(plan),
        "sysprep": next((path.name for path in steps.scripts if path.name.startswith("Sysprep")), ""),
        "image": image_of(plan),
        "prefix": prefix(plan.variant),
        "version": version_of(plan.epoch),
        "tags": {f"{key:<{width}}": value for key, value in tags.items()},
        "width": width,
        "disk_gb": disk_gb(plan),
    }


def _login(plan: Plan) -> str:
    """AWS lets in one user of the image's own, and Azure and Google Cloud make the one that they are asked for."""
    if plan.format != "ami":
        return LOGIN
    return "Administrator" if plan.base.platform == "windows" else str(image_of(plan).user)


def disk_gb(plan: Plan) -> int:
    """GiB of a machine's disk: its own system, the archive, packed and unpacked, and what that installs.

    Artefacts unpack to four times their size (measured on cpu-debian: 1.6 GB, 6.5 GB).
    """
    sizes = {pin.sha256: pin.size for section in plan.sections for pin in section.pins}
    return max(30, 16 + -(-6 * sum(sizes.values()) // GIB))
