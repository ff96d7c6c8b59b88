"""Catalog and lock -> Plan: the ordered stages of an image and everything else that is derived from them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from dsvm import ROOT, ecosystems
from dsvm.catalog import Catalog
from dsvm.ecosystems import BringsScripts
from dsvm.host import sha256_of
from dsvm.lock import MACHINE, check, stale_sections, unsuited
from dsvm.model import (
    DISK_FORMATS,
    MACHINE_FORMATS,
    Format,
    InputError,
    LeftOut,
    Lock,
    LockError,
    MachinePart,
    Plan,
    Stage,
    Step,
    Traits,
    traits,
)
from dsvm.plan.files import PROVISIONERS, environment, small_files
from dsvm.plan.stages import layered, placed, sequence
from dsvm.plan.tools import planned_tool

MACHINE_TEMPLATE = ROOT / "templates" / "machine.Dockerfile.j2"


def make_plan(catalog: Catalog, lock: Lock, format: Format = "docker") -> Plan:
    """The plan of a locked variant for one format, whose image holds what the lock has for that.

    Raises LockError when the lock does not fit the manifests any more, or says what they do not; InputError when the
    variant cannot come out so.
    """
    if stale := stale_sections(catalog, lock):
        raise LockError(
            f"the lock of {lock.variant} does not fit the manifests any more: {', '.join(stale)}",
            hint=f"Run: invoke lock --variant {lock.variant}",
        )
    lock = check(catalog, lock).of(format)
    variant = catalog.variant(lock.variant)
    base = catalog.bases[variant.base]
    here = traits(base)
    machine = _machine_part(catalog, lock) if format != "docker" and here.layered else None
    tools = tuple(planned_tool(catalog, lock, catalog.tools[choice.tool]) for choice in lock.choices)
    sections = placed(lock)
    stages = layered(base, sections, lock.epoch) if here.layered else sequence(base, sections)
    return Plan(
        variant=lock.variant,
        summary=variant.summary,
        accelerator=variant.accelerator,
        base=base,
        base_kind=lock.base_kind,
        lock_digest=lock.digest,
        epoch=lock.epoch,
        stages=stages,
        system="system" if here.layered else stages[-1].name,
        tools=tools,
        left_out=_left_out(catalog, lock, format if here.layered else None),
        files=small_files(catalog, lock, here, machine, laid_out=format in DISK_FORMATS),
        environment=environment(catalog, lock, here, machine=machine is not None),
        sections=lock.sections,
        scripts=_scripts(stages, here, machine),
        template=sha256_of(ROOT / "templates" / here.template),
        format=format if format != "docker" else None,
        machine=machine,
    )


def _machine_part(catalog: Catalog, lock: Lock) -> MachinePart:
    variant = catalog.variant(lock.variant)
    if set(variant.formats).isdisjoint(MACHINE_FORMATS):
        raise InputError(
            f"{variant.variant} does not come out as a virtual machine: its formats are {', '.join(variant.formats)}",
            hint="Name the format under 'formats' of the variant, or of one of your own that extends it",
        )
    if lock.section(MACHINE) is None:
        raise InputError(
            f"base '{variant.base}' has no 'machine' in its manifest: what a machine needs beside a container",
            hint="Take another base for virtual machines",
        )
    # of the lock: what it determines has one name wherever it is built
    root = uuid.uuid5(uuid.NAMESPACE_URL, f"dsvm:{lock.digest}")
    return MachinePart(
        stage=MACHINE,
        root_uuid=str(root),
        esp_uuid=f"{root.hex[:4]}-{root.hex[4:8]}".upper(),
        finish=Step(script="finish-machine", args=("--epoch", str(lock.epoch)), helpers=("clamp-system",)),
        provisioners={name: sha256_of(PROVISIONERS / name) for name in ("wait-until-up", "clean")},
        template=sha256_of(MACHINE_TEMPLATE),
    )


def _left_out(catalog: Catalog, lock: Lock, format: Format | None) -> tuple[LeftOut, ...]:
    """What the lock leaves out, then what is only for formats other than the one planned, or the variant's."""
    known = {left.tool for left in lock.left_out}
    variant = catalog.variant(lock.variant)
    formats = (format,) if format is not None else variant.formats
    others = unsuited(catalog, variant.model_copy(update={"formats": formats}))
    return (*lock.left_out, *(left for left in others if left.tool not in known))


def _scripts(stages: Sequence[Stage], here: Traits, machine: MachinePart | None) -> dict[str, str]:
    steps = [step for stage in stages for step in stage.steps] + ([machine.finish] if machine else [])
    names = {*here.programs.values()} | {name for step in steps for name in (step.script, *step.helpers)}
    return {name: hashlib.sha256(script(name, here)).hexdigest() for name in sorted(names)}


def script(name: str, here: Traits) -> bytes:
    """A script that runs in builds: one of the platform's own, or one that an ecosystem from outside brings.

    Raises LockError when there is none.
    """
    path = here.scripts / name
    if path.is_file():
        return path.read_bytes()
    for ecosystem in ecosystems.registry().values():
        if isinstance(ecosystem, BringsScripts) and name in ecosystem.scripts:
            return ecosystem.scripts[name].encode()
    raise LockError(f"a step runs the script '{name}', which neither {here.scripts} nor any ecosystem has")
