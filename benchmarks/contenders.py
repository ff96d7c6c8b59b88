"""What is compared: this project, and linear Dockerfiles as people write them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

from dsvm import ROOT
from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.container import image_name, images
from dsvm.host import bundled, find_engine, run
from dsvm.model import Lock, Pin, Report, canonical_json
from dsvm.plan import make_plan

LIMIT = 3600  # seconds for one build
# How the product exports, and how the others do for a comparison of like with like
SAME_EXPORT = "type=image,compression=zstd,compression-level=1,oci-mediatypes=true,unpack=true"


class Contender(Protocol):
    """One way to build the image. `env` names the engine; `changed` has one package in another version."""

    name: str
    title: str
    image: str

    def prepare(self) -> None:
        """Leave nothing of an earlier build but what was fetched."""

    def build(self, env: Mapping[str, str], *, changed: bool) -> None:
        """The whole build, as a process of its own."""

    def settle(self, env: Mapping[str, str]) -> None:
        """What happens between a build and the next one, outside the clock."""

    def build_again(self, env: Mapping[str, str]) -> None:
        """The same command once more, with nothing to do."""

    def stages(self) -> Mapping[str, float]:
        """Seconds of each stage of the last build, where they are known."""


@dataclass
class Ours:
    """`invoke build`, without the checks of the image, which the others don't have either."""

    catalog: Catalog
    lock: Lock
    changed: Lock
    name: str = "dsvm"
    title: str = "this project"
    options: Sequence[str] = ()  # of each build

    def __post_init__(self) -> None:
        self.image = image_name(self.lock.variant, "unverified")
        self.folder = ROOT / "build" / self.lock.variant

    def prepare(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def build(self, env: Mapping[str, str], *, changed: bool) -> None:
        locks.write(locks.lock_path(self.catalog, self.lock.variant), self.changed if changed else self.lock)
        self._invoke(env, "--no-verify")
        # which leaves unpacking to the first start, and that comes with every other export
        container = run(["docker", "create", image_name(self.lock.variant, "unverified")], env=env).stdout.strip()
        run(["docker", "rm", container], env=env)

    def settle(self, env: Mapping[str, str]) -> None:
        """Leave what a verification that passes leaves: the image's name and a report."""
        with patch.dict(os.environ, env):
            engine = find_engine()
        images.promote(make_plan(self.catalog, self.lock), images.identity(self.image, engine), engine)
        self.image = image_name(self.lock.variant)
        found = images.inspect(self.image, engine)
        assert found is not None
        report = Report(variant=self.lock.variant, image=found["Id"], lock=self.lock.digest, results=())
        (self.folder / "report.json").write_text(canonical_json(report))

    def build_again(self, env: Mapping[str, str]) -> None:
        self._invoke(env)

    def stages(self) -> Mapping[str, float]:
        found: dict[str, float] = json.loads((self.folder / "build.json").read_text())["stages"]
        return {name: seconds for name, seconds in found.items() if seconds}

    def _invoke(self, env: Mapping[str, str], *options: str) -> None:
        catalog = f"--catalog={self.catalog.folders[-1]}"
        words = ["build", "--variant", self.lock.variant, "--offline", catalog, *self.options, *options]
        run(
            [bundled("invoke"), *words],
            env=env,
            cwd=ROOT,
            timeout=LIMIT,
            log=self.catalog.folders[-1].parent / "dsvm.log",
        )


@dataclass
class Linear:
    """A Dockerfile from top to bottom, with the files of its folder as the context."""

    name: str
    title: str
    folder: Path
    contexts: Mapping[str, str]
    default_export: bool = False

    def __post_init__(self) -> None:
        self.image = f"benchmark/{self.name}:latest"

    def prepare(self) -> None:
        pass

    def build(self, env: Mapping[str, str], *, changed: bool) -> None:
        requirements = self.folder / ("changed.txt" if changed else "locked.txt")
        shutil.copyfile(requirements, self.folder / "context" / "requirements.txt")
        self.build_again(env)

    def settle(self, env: Mapping[str, str]) -> None:
        """Keep the image when its name goes to the next one: the engine removes what has none while it unpacks."""
        run(["docker", "tag", self.image, f"benchmark/{self.name}:kept"], env=env)

    def build_again(self, env: Mapping[str, str]) -> None:
        same = ["--provenance=false", "--sbom=false", f"--output={SAME_EXPORT},name={self.image}"]
        run(
            [
                *("docker", "buildx", "build", "--progress=plain", "--network=host"),
                *(f"--build-context={name}={place}" for name, place in self.contexts.items()),
                *(["--tag", self.image] if self.default_export else same),
                self.folder / "context",
            ],
            env=env,
            timeout=LIMIT,
            log=self.folder.parent / f"{self.name}.log",
        )

    def stages(self) -> Mapping[str, float]:
        return {}


def requirements(pins: Sequence[Pin]) -> str:
    return "".join(f"{pin.name}=={pin.version}\n" for pin in pins)


def write_linear(
    folder: Path, dockerfile: str, *, url: str, pins: Sequence[Pin], changed: Sequence[Pin], files: Mapping[str, str]
) -> Path:
    """A folder for `Linear`."""
    context = folder / "context"
    context.mkdir(parents=True)
    (folder / "locked.txt").write_text(requirements(pins))
    (folder / "changed.txt").write_text(requirements(changed))
    (context / "Dockerfile").write_text(dockerfile)
    (context / "local.list").write_text(f"deb [trusted=yes] {url}/apt ./\n")
    for name, text in files.items():
        (context / name).write_text(text)
    return folder


def usual(packages: Sequence[str]) -> str:
    """A linear Dockerfile with apt and pip as people usually write it."""
    return f"""\
FROM base
COPY local.list /etc/apt/sources.list.d/
COPY pip.conf /etc/pip.conf
RUN apt-get update \\
 && apt-get install -y --no-install-recommends {shlex.join(packages)} \\
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
"""


def careful(packages: Sequence[str], url: str) -> str:
    """A carefully written one with uv and cache mounts.

    https://docs.astral.sh/uv/guides/integration/docker/
    """
    return f"""\
FROM base
COPY local.list /etc/apt/sources.list.d/
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    apt-get update && apt-get install -y --no-install-recommends {shlex.join(packages)}
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_DEFAULT_INDEX={url}/simple VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:$PATH
RUN --mount=type=bind,from=uv,source=uv,target=/usr/local/bin/uv \\
    --mount=type=cache,target=/root/.cache/uv \\
    --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt \\
    uv venv /opt/venv && uv pip install -r /tmp/requirements.txt
"""


def unpack_uv(wheel: Path, folder: Path) -> Path:
    """The uv program out of its wheel, alone in `folder`."""
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        (folder / "uv").write_bytes(archive.read(name))
    (folder / "uv").chmod(0o755)
    return folder
