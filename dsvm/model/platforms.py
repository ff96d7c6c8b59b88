"""What the family of a base's operating system decides: which scripts install, what renders, and where things lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dsvm import ROOT
from dsvm.model.bases import Base
from dsvm.model.common import Platform

USER_PYTHON = "/usr/local/bin/dsvm-python"  # with an environment's name: its Python with what its user has added


@dataclass(frozen=True)
class Traits:
    """Paths are those of an image, written as its system writes them, unless they say otherwise."""

    # of this project: the folder of the scripts that install, and the template in templates/
    scripts: Path
    template: str
    # name and encoding of what is rendered from it
    rendered: str
    encoding: str
    # whether each place is a stage of its own, whose /out is a layer; else all stages change one system, in order
    layered: bool
    envs: str
    # of a Python environment, inside its folder
    python: str
    # words that start a kernel's Python, with the packages that its user has added; {env} is its environment
    kernel: tuple[str, ...]
    # these two as paths below the root of its file system, as `write_files` takes them
    kernels: str
    manifest: str
    # file -> script, what every image has of ours
    programs: Mapping[str, str] = field(default_factory=dict)
    # whether small files and services of tools, which are written for Linux, belong to it
    files: bool = True
    services: bool = True

    def kernel_python(self, env: str) -> tuple[str, ...]:
        """The words that start the Python of a kernel of the environment `env`."""
        return tuple(word.replace("{env}", env) for word in self.kernel)

    def env_python(self, env: str) -> str:
        """The Python of the environment `env`."""
        separator = "\\" if "\\" in self.envs else "/"
        return separator.join((self.envs, env, self.python))


PLATFORMS: Mapping[Platform, Traits] = {
    "linux": Traits(
        scripts=ROOT / "scripts" / "image",
        template="Dockerfile.j2",
        rendered="Dockerfile",
        encoding="utf-8",
        layered=True,
        envs="/opt/envs",
        python="bin/python",
        kernels="/usr/local/share/jupyter/kernels",
        manifest="/etc/dsvm/manifest.json",
        programs={
            "/usr/local/bin/dsvm-start": "dsvm-start",
            "/usr/local/lib/dsvm/surroundings.py": "surroundings.py",
            USER_PYTHON: "dsvm-python",
            "/usr/local/bin/dsvm-info": "dsvm-info",
            "/usr/local/lib/dsvm/start_page.py": "start_page.py",
            "/usr/local/lib/dsvm/greeting.py": "greeting.py",
        },
        kernel=(USER_PYTHON, "{env}"),
    ),
    "windows": Traits(
        scripts=ROOT / "scripts" / "windows",
        template="provision.ps1.j2",
        rendered="provision.ps1",
        # Without a byte order mark Windows PowerShell takes a script for its old code page, in which bytes of other
        # characters' UTF-8 are quotes.
        encoding="utf-8-sig",
        layered=False,
        envs=r"C:\dsvm\envs",
        python=r"Scripts\python.exe",
        kernel=(r"C:\dsvm\envs\{env}\Scripts\python.exe",),
        # https://docs.jupyter.org/en/latest/use/jupyter-directories.html
        kernels="/ProgramData/jupyter/kernels",
        manifest="/ProgramData/dsvm/manifest.json",
        files=False,
        services=False,
    ),
}


def traits(base: Base) -> Traits:
    """What holds for images of `base`."""
    return PLATFORMS[base.platform]
