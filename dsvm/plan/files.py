"""Small files and variables of an image: those of its tools, its kernels, and of virtual machines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from dsvm import ROOT
from dsvm.catalog import Catalog
from dsvm.model import File, InputError, Kernel, Lock, MachinePart, Tool, Traits
from dsvm.plan.notebooks import notebook_text, planned_notebook

# What runs in a virtual machine while it is built; below it the files of every machine, of those that serve, and of
# those whose disk is laid out here.
PROVISIONERS = ROOT / "scripts" / "machine"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What NVIDIA's container runtime gives an image that asks for it
GPU_ENVIRONMENT = {"NVIDIA_DRIVER_CAPABILITIES": "compute,utility", "NVIDIA_VISIBLE_DEVICES": "all"}
# A login shell, such as each terminal of JupyterLab, reads /etc/profile, which sets PATH anew. The first one on a
# terminal says what is here; a shell within it, and a window of tmux or screen, need not be told again.
LOGIN = File(
    text="""\
PATH=/opt/envs/base/bin:$PATH
if own=$(dsvm-python --bin base 2>/dev/null); then PATH=$own:$PATH; fi
unset own
case $-${TMUX:+:}${STY:+:} in
    *:*) ;;
    *i*) if [ "${SHLVL:-1}" -le 1 ] && [ -t 1 ] && [ ! -e ~/.hushlogin ]; then dsvm-info --motd 2>/dev/null || :; fi ;;
esac
"""
)


def small_files(
    catalog: Catalog, lock: Lock, here: Traits, machine: MachinePart | None, *, laid_out: bool
) -> dict[str, File]:
    """Small files of all tools, with their text, the kernelspecs, and what every virtual machine has."""
    files: dict[str, File] = {"/etc/profile.d/dsvm.sh": LOGIN} if here.files else {}
    if machine is not None:
        serves = any(catalog.tools[choice.tool].service for choice in lock.choices)
        # a machine that had an operating system already has a disk, a name and a network of its own
        for folder in ("root", *(["services"] if serves else []), *(["disk"] if laid_out else [])):
            files |= _machine_files(PROVISIONERS / folder, machine)
        files |= _environment_files(environment(catalog, lock, here, machine=True))
    for choice in lock.choices:
        tool = catalog.tools[choice.tool]
        for path, file in tool.files.items() if here.files else ():
            text = catalog.file(file.source).read_text(encoding="utf-8") if file.source else file.text
            files[path] = File(text=text, mode=file.mode)
        if here.files and tool.notebook and (notebook := planned_notebook(catalog, lock, tool)):
            files[notebook.path] = File(text=notebook_text(catalog, tool.notebook))
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


def environment(catalog: Catalog, lock: Lock, here: Traits, *, machine: bool) -> dict[str, str]:
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
    found: dict[str, str] = linux if here.layered else {}
    for section in lock.sections:
        found |= section.extra.get("environment", {})
    for choice in lock.choices:
        found |= catalog.tools[choice.tool].environment
    return dict(sorted(found.items()))
