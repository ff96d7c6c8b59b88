"""The disk of a virtual machine, made from a verified container image."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dsvm.container import export_root
from dsvm.host import sha256_of, write_whole
from dsvm.model import GIB, EngineError, Plan, canonical_json
from dsvm.vm import disk, packer, qemu
from dsvm.vm.disk_image import VERIFIED, MachineImage, Place

if TYPE_CHECKING:
    from dsvm.host import Engine
    from dsvm.session import BuildView
    from dsvm.store import Store

Echo = Callable[[str], None]


def make(
    plan: Plan,
    place: Place,
    base: tuple[Path, str],
    image: str,
    *,
    store: Store,
    engine: Engine,
    view: BuildView,
    echo: Echo,
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
            engine=engine, view=view,
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
        echo(f"disk: {used / 1e9:.2f} GB of files on {geometry.size / GIB:.0f} GiB, laid out")
        finished = packer.build_local(plan, work, laid, echo=echo)
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
        sha256=sha256_of(place.unverified),
        bytes=place.unverified.stat().st_size,
        disk=geometry.size,
        accelerator=qemu.accelerator(),
        seconds=seconds,
    )
    write_whole(place.described(place.unverified), canonical_json(made))
    spent = ", ".join(f"{step} {value:.0f} s" for step, value in seconds.items())
    echo(f"machine: {made.bytes / 1e6:.0f} MB ({spent})")
    return made
