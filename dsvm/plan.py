"""Catalog and lock -> Plan: the ordered stages of an image and everything else that is derived from them."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from dsvm import ecosystems
from dsvm.catalog import Catalog
from dsvm.ecosystems import BringsScripts
from dsvm.errors import InputError, LockError
from dsvm.files import sha256_of
from dsvm.lock import MACHINE, check, stale_sections, unsuited
from dsvm.model import (
    DISK_FORMATS,
    MACHINE_FORMATS,
    Base,
    File,
    Format,
    Kernel,
    LeftOut,
    Lock,
    MachinePart,
    Plan,
    PlannedTool,
    Section,
    Stage,
    Step,
    Tool,
)
from dsvm.platforms import ROOT, Traits, traits

MACHINE_TEMPLATE = ROOT / "templates" / "machine.Dockerfile.j2"
# What runs in a virtual machine while it is built; below it the files of every machine, of those that serve, and of
# those whose disk is laid out here.
PROVISIONERS = ROOT / "scripts" / "machine"
IMAGE = "image"  # what a machine's stage starts from: the finished container image
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What NVIDIA's container runtime gives an image that asks for it
GPU_ENVIRONMENT = {"NVIDIA_DRIVER_CAPABILITIES": "compute,utility", "NVIDIA_VISIBLE_DEVICES": "all"}
# Modification time of what places hold. It is the same for all and for ever: layers of equal pins are equal, however
# long ago each was locked, and BuildKit takes a layer from its cache whatever times are in it, where Julia looks at
# them. Not 1970, which zip cannot express; npm packs its files with this one.
FILE_TIME = 499162500  # 1985-10-26 08:15 UTC
# A login shell, such as each terminal of JupyterLab, reads /etc/profile, which sets PATH anew.
LOGIN_PATH = File(
    text="""\
PATH=/opt/envs/base/bin:$PATH
if own=$(dsvm-python --bin base 2>/dev/null); then PATH=$own:$PATH; fi
unset own
"""
)


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
    tools = tuple(_planned(catalog, lock, catalog.tools[choice.tool]) for choice in lock.choices)
    stages = _stages(base, lock) if here.layered else _sequence(base, lock)
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
        files=_files(catalog, lock, here, machine, laid_out=format in DISK_FORMATS),
        environment=_environment(catalog, lock, here, machine=machine is not None),
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
    """What was left out on request, then what is only for formats other than the one planned, or the variant's."""
    known = {left.tool for left in lock.left_out}
    variant = catalog.variant(lock.variant)
    formats = (format,) if format is not None else variant.formats
    others = unsuited(catalog, variant.model_copy(update={"formats": formats}))
    return (*lock.left_out, *(left for left in others if left.tool not in known))


def locked_versions(catalog: Catalog, lock: Lock) -> dict[str, str]:
    """Tool -> locked version, for every tool of a lock that the catalog still has in that way; no staleness here."""
    found = {}
    for choice in lock.choices:
        tool = catalog.tools.get(choice.tool)
        if tool is None or choice.source >= len(tool.sources):
            continue
        try:
            found[choice.tool] = _planned(catalog, lock, tool).version
        except LockError:
            continue
    return found


def _stages(base: Base, lock: Lock) -> tuple[Stage, ...]:
    """Runtimes, then the system, then one stage for each place; what changed longest ago first.

    That order keeps the lower layers of an image the same while the upper ones change.
    """
    sections = {section.id: section for section in lock.sections}
    ground = sections["base"].epoch
    stages = [
        stage
        for section in lock.sections
        if section.id.startswith("runtime-")
        for stage in _stages_of(section, base, "base", ground, title=section.id.replace("-", " ", 1))
    ]
    finish = Step(
        script="finish-system",
        args=("--epoch", str(max(ground, sections["system"].epoch))),
        helpers=("clamp-system",),
    )
    (system,) = _stages_of(sections["system"], base, "base", ground, title="system packages")
    stages.append(system.model_copy(update={"steps": (*system.steps, finish)}))
    places = [section for section in lock.sections if section.id.startswith("env-") or _is_tool(section)]
    below = {section.id: _runtime_tools(section, places) for section in places}
    epochs = {section.id: max(one.epoch for one in (section, *below[section.id])) for section in places}
    for section in sorted(places, key=lambda one: (epochs[one.id], len(below[one.id]), one.id)):
        parent = "base"
        runtimes = ecosystems.get(section.ecosystem).runtimes
        if runtimes and f"runtime-{runtimes[0]}" in sections:
            parent = f"runtime-{runtimes[0]}"
        compiled = _is_tool(section) or ecosystems.get(section.ecosystem).placement == "image"
        for tool in section.tools if compiled else ():
            build = sections.get(f"{tool}-build-{base.ecosystem}")
            if build is not None:
                stages += _stages_of(build, base, parent, ground, title=f"build tools of {tool}")
                parent = build.id
        brings = tuple(stage.name for one in below[section.id] for stage in stages if stage.section == one.id)
        stages += _stages_of(section, base, parent, ground, title=_title(section), output=True, brings=brings)
    if MACHINE in sections:
        # it lies on top of everything, so it leaves the times of everything alone
        stages += _stages_of(sections[MACHINE], base, IMAGE, lock.epoch, title="what only a machine needs")
    return tuple(stages)


def _runtime_tools(section: Section, places: Sequence[Section]) -> list[Section]:
    """Those of `places` that hold a tool, with a prefix of its own, that `section` runs on."""
    tools = ecosystems.get(section.ecosystem).runtimes
    return [one for one in places if _is_tool(one) and one.tools[0] in tools]


def _sequence(base: Base, lock: Lock) -> tuple[Stage, ...]:
    """System packages, then each place, one after the other in one system that is what comes out.

    Runtimes are among the system packages; what only building needs is read by the steps, and not installed.
    """
    places = [section for section in lock.sections if section.id.startswith("env-") or _is_tool(section)]
    stages: list[Stage] = []
    for section in (*(one for one in lock.sections if one.id == "system"), *places):
        stages.append(
            Stage(
                name=section.id,
                section=section.id,
                title="system packages" if section.id == "system" else _title(section),
                parent=stages[-1].name if stages else "base",
                steps=(ecosystems.get(section.ecosystem).install(section, base),),
            )
        )
    return tuple(stages)


def _title(section: Section) -> str:
    return ", ".join(section.tools[:3]) + (f" and {len(section.tools) - 3} more" if section.tools[3:] else "")


def _is_tool(section: Section) -> bool:
    return bool(section.tools) and section.id == f"{section.tools[0]}-{section.ecosystem}"


def _stages_of(
    section: Section,
    base: Base,
    parent: str,
    ground: int,
    *,
    title: str,
    output: bool = False,
    brings: tuple[str, ...] = (),
) -> list[Stage]:
    """The stages of a section, one for each of its parts.

    `ground` is the epoch of what lies below it, whose files are left alone.
    """
    ecosystem = ecosystems.get(section.ecosystem)
    timed = section.model_copy(update={"epoch": FILE_TIME if output else max(section.epoch, ground)})
    parts = ecosystem.parts(timed)
    steps = [ecosystem.install(part, base) for part in parts]
    return [
        Stage(
            name=part.id,
            section=section.id,
            title=title if len(parts) == 1 else f"{title}; {number} of {len(parts)}",
            parent=parent,
            brings=brings,
            steps=(step,),
            output=output,
            unreproducible=step.unreproducible,
        )
        for number, (part, step) in enumerate(zip(parts, steps, strict=True), 1)
    ]


def _planned(catalog: Catalog, lock: Lock, tool: Tool) -> PlannedTool:
    choice = next(choice for choice in lock.choices if choice.tool == tool.tool)
    source = tool.sources[choice.source]
    variant = catalog.variants[lock.variant]
    base = catalog.bases[variant.base]
    versions: dict[str, str] = {}
    env = None
    for name in source.requests():
        ecosystem = ecosystems.get(name)
        if ecosystem.placement == "env":
            env = tool.env
        for section in _sections_of(lock, tool, name):
            # a registry's base says which packages it brings; its pins are layers
            versions |= section.extra.get("packages") or {pin.name: pin.version for pin in section.pins}
    # system packages beside another ecosystem's are what that one needs, not what the tool is
    name, request = min(source.requests().items(), key=lambda one: ecosystems.get(one[0]).placement == "system")
    package = ecosystems.get(name).package(request)
    if package not in versions:
        raise LockError(f"tool '{tool.tool}': '{package}' is not in the lock of {lock.variant}")
    wanted = {
        package,
        *(check.version.package for check in tool.checks if check.version and check.version.package),
    }
    return PlannedTool(
        name=tool.tool,
        summary=tool.summary,
        homepage=tool.homepage,
        license=tool.license,
        group=tool.group,
        package=package,
        version=versions[package],
        ecosystem=name,
        env=env,
        commands=tool.commands,
        kernel=tool.kernel,
        service=tool.service if traits(base).services else None,
        checks=tuple(check for check in tool.checks if check.holds(accelerator=variant.accelerator, base=base)),
        versions={name: versions[name] for name in sorted(wanted) if name in versions},
    )


def _sections_of(lock: Lock, tool: Tool, ecosystem: str) -> Iterator[Section]:
    """Where the packages of `tool` in `ecosystem` stand; a system package may be the base's."""
    for section in lock.sections:
        if section.ecosystem == ecosystem and (tool.tool in section.tools or section.id in ("base", "system")):
            yield section


def _files(
    catalog: Catalog, lock: Lock, here: Traits, machine: MachinePart | None, *, laid_out: bool
) -> dict[str, File]:
    """Small files of all tools, with their text, the kernelspecs, and what every virtual machine has."""
    files: dict[str, File] = {"/etc/profile.d/dsvm.sh": LOGIN_PATH} if here.files else {}
    if machine is not None:
        serves = any(catalog.tools[choice.tool].service for choice in lock.choices)
        # a machine that had an operating system already has a disk, a name and a network of its own
        for folder in ("root", *(["services"] if serves else []), *(["disk"] if laid_out else [])):
            files |= _machine_files(PROVISIONERS / folder, machine)
        files |= _environment_files(_environment(catalog, lock, here, machine=True))
    for choice in lock.choices:
        tool = catalog.tools[choice.tool]
        for path, file in tool.files.items() if here.files else ():
            text = catalog.file(file.source).read_text(encoding="utf-8") if file.source else file.text
            files[path] = File(text=text, mode=file.mode)
        if tool.kernel is not None:
            files[f"{here.kernels}/{tool.kernel.name}/kernel.json"] = File(text=_kernelspec(tool, tool.kernel, here))
    return dict(sorted(files.items()))


def _machine_files(folder: Path, machine: MachinePart) -> dict[str, File]:
    """The files below `folder` at their places in a machine."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        text = path.read_text(encoding="utf-8")
        text = text.replace("@ROOT_UUID@", machine.root_uuid).replace("@ESP_UUID@", machine.esp_uuid)
        mode = "0755" if path.stat().st_mode & 0o100 else "0644"
        found[f"/{path.relative_to(folder)}"] = File(text=text, mode=mode)
    return found


def _environment_files(environment: Mapping[str, str]) -> dict[str, File]:
    """The image's environment for every login, by pam_env(8), and for services, by systemd.exec(5).

    pam_env takes what stands between the outer quotes as it is, but cuts a line at '#'.
    """
    if cut := [name for name, value in environment.items() if "#" in value]:
        raise InputError(f"environment variable {', '.join(cut)}: a machine's /etc/environment takes no '#'")
    logins = "".join(f'{name}="{value}"\n' for name, value in environment.items())
    escaped = {name: re.sub(r'([\\"`$])', r"\\\1", value) for name, value in environment.items()}
    services = "".join(f'{name}="{value}"\n' for name, value in escaped.items())
    return {"/etc/environment": File(text=logins), "/usr/local/lib/dsvm/environment": File(text=services)}


def _kernelspec(tool: Tool, kernel: Kernel, here: Traits) -> str:
    """https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs"""
    argv = kernel.argv or (*here.kernel_python(tool.env), "-m", "ipykernel_launcher", "-f", "{connection_file}")
    spec: dict[str, object] = {"argv": list(argv), "display_name": kernel.display, "language": kernel.language}
    # what `!pip` and `!command` find first is the kernel's own environment; dsvm-python sees to that itself
    if PurePosixPath(argv[0]).is_absolute() and kernel.argv:
        spec["env"] = {"PATH": f"{PurePosixPath(argv[0]).parent}:${{PATH}}"}
    elif PureWindowsPath(argv[0]).is_absolute():
        spec["env"] = {"PATH": f"{PureWindowsPath(argv[0]).parent};${{PATH}}"}
    return json.dumps(spec, indent=1) + "\n"


def _environment(catalog: Catalog, lock: Lock, here: Traits, *, machine: bool) -> dict[str, str]:
    kernels = any(catalog.tools[choice.tool].kernel for choice in lock.choices)
    # JupyterLab's terminals run $SHELL, and sh without it. ipykernel brings a kernelspec of its own, which Jupyter
    # would find before ours: its Python is the server's, and what a user adds has no place there.
    linux = {
        **({"JUPYTER_PATH": str(PurePosixPath(here.kernels).parent)} if kernels else {}),
        **(GPU_ENVIRONMENT if catalog.variants[lock.variant].accelerator == "gpu" and not machine else {}),
        "LANG": "C.UTF-8",
        "PATH": f"{here.envs}/base/bin:{SYSTEM_PATH}",
        "SHELL": "/bin/bash",
    }
    environment: dict[str, str] = linux if here.layered else {}
    for section in lock.sections:
        environment |= section.extra.get("environment", {})
    for choice in lock.choices:
        environment |= catalog.tools[choice.tool].environment
    return dict(sorted(environment.items()))


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
