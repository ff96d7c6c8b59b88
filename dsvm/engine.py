"""Which container engine is there, what it can do, and what is missing on this machine."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.version import Version

from dsvm.errors import EngineError, ProgramError
from dsvm.run import INSTALL_HINTS, run

HINT = f"Try: {INSTALL_HINTS['docker']}"
MIN_BUILDX = Version("0.13")  # the first with --progress=rawjson
ANSWER_TIMEOUT = 30  # seconds


@dataclass(frozen=True)
class Engine:
    """A container engine that answers."""

    host: str  # its address: unix:///..., tcp://..., ssh://...
    env: Mapping[str, str]  # what its client needs beyond the current environment
    version: str
    storage_driver: str
    containerd_store: bool  # `COPY --link` links layers only in this image store
    buildx: str | None
    data_root: Path  # on the engine's machine
    free: int | None  # bytes free there; None for an engine on another machine
    ncpu: int
    architecture: str  # as uname says it: x86_64, aarch64
    is_private: bool


@dataclass(frozen=True)
class Finding:
    """One line of `invoke doctor`."""

    # optional: nothing that was asked about needs it
    level: Literal["ok", "optional", "slow", "missing"]
    subject: str
    what: str
    remedy: str = ""


def private_folder() -> Path:
    """Where `scripts/engine` keeps the private engine."""
    named = os.environ.get("DSVM_ENGINE_DIR")
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local/state"
    return (Path(named) if named else base / "dsvm/engine").resolve()


def find_engine() -> Engine:
    """The engine that docker itself would use (DOCKER_HOST, contexts), else the private one.

    Raises EngineError, with what each of them said, when neither answers.
    """
    socket = private_folder() / "docker.sock"
    private = f"unix://{socket}"
    reasons = []
    try:
        info, reason = _info({})
        if info:
            host = _own_host(info)
            return _engine(info, host=host, env={}, is_private=host == private)
        reasons.append(reason)
        if socket.is_socket():
            env = {"DOCKER_HOST": private}
            info, reason = _info(env)
            if info:
                return _engine(info, host=private, env=env, is_private=True)
            reasons.append(reason)
    except ProgramError as error:  # no docker at all
        raise EngineError(error.message, hint=HINT) from error
    raise EngineError("\n".join(["no container engine answers", *(f"  {line}" for line in reasons)]), hint=HINT)


def diagnose(
    needed: int | None = None,
    keyrings: Mapping[str, str] | None = None,
    programs: Mapping[str, str] | None = None,
    *,
    optional: bool = False,
) -> list[Finding]:
    """What this machine has and lacks for building; what is to be built needs `needed` bytes of disk space.

    `keyrings` is the path of a keyring -> the bases whose packages it makes trusted, `programs` a program -> what it
    is for. Those that are not here are `missing`, or `optional` when nobody asked about a variant that needs them.
    """
    return [
        Finding("ok", "Python", platform.python_version()),
        *_about_engine(needed),
        *(_about_program(program, purpose, optional=optional) for program, purpose in (programs or {}).items()),
        *(_about_keyring(Path(path), bases, optional=optional) for path, bases in (keyrings or {}).items()),
    ]


def _about_engine(needed: int | None) -> Iterator[Finding]:
    if shutil.which("docker") is None:
        yield Finding("missing", "docker client", "not installed, or not on PATH", "scripts/engine install")
        return
    try:
        engine = find_engine()
    except EngineError as error:
        yield Finding("missing", "engine", error.message, error.hint.removeprefix("Try: "))
        return
    kind = "private, " if engine.is_private else ""
    yield Finding("ok", "engine", f"{kind}Docker {engine.version} at {engine.host}, {engine.ncpu} CPUs")
    yield _about_buildx(engine.buildx)
    if engine.containerd_store:
        yield Finding("ok", "image store", f"containerd ({engine.storage_driver})")
    else:
        yield Finding(
            "slow",
            "image store",
            f"graph driver {engine.storage_driver}: COPY --link copies, layers after a changed one are made anew",
            'put {"features": {"containerd-snapshotter": true}} into /etc/docker/daemon.json and restart '
            "docker (images in the old store are hidden meanwhile)",
        )
    if engine.free is None:
        yield Finding("ok", "disk", "the engine is on another machine: its free space is not known here")
    elif needed is not None and engine.free < needed:
        yield Finding(
            "missing",
            "disk",
            f"{_size(engine.free)} free in {engine.data_root}, about {_size(needed)} needed",
            "free some: docker buildx prune, docker image prune, invoke clean",
        )
    else:
        yield Finding("ok", "disk", f"{_size(engine.free)} free in {engine.data_root}")


def _about_buildx(version: str | None) -> Finding:
    if version is None:
        return Finding("missing", "buildx", "not installed", "scripts/engine install")
    if (found := _version(version)) is None or found < MIN_BUILDX:
        what = f"{version} is too old: {MIN_BUILDX} is needed"
        return Finding("missing", "buildx", what, "scripts/engine install, or Docker's own docker-buildx-plugin")
    return Finding("ok", "buildx", version)


def _about_program(program: str, purpose: str, *, optional: bool) -> Finding:
    if found := shutil.which(program):
        return Finding("ok", program, found)
    what = f"not installed; it {purpose}"
    return Finding("optional" if optional else "missing", program, what, INSTALL_HINTS.get(program, ""))


def _about_keyring(path: Path, bases: str, *, optional: bool) -> Finding:
    if path.is_file():
        return Finding("ok", "keyring", str(path))
    what = f"no {path}, by which packages of {bases} are trusted when they are locked"
    return Finding("optional" if optional else "missing", "keyring", what, "scripts/base-tools")


def _info(env: Mapping[str, str]) -> tuple[dict[str, Any] | None, str]:
    """What `docker info` says of an engine that answers, else None and the reason, in one line."""
    where = env.get("DOCKER_HOST") or os.environ.get("DOCKER_HOST") or "docker's current context"
    try:
        done = run(["docker", "info", "--format", "{{json .}}"], env=env, timeout=ANSWER_TIMEOUT, check=False)
    except ProgramError as error:
        if shutil.which("docker") is None:
            raise
        return None, f"{where}: {error.message}"
    try:
        info = json.loads(done.stdout)
    except ValueError:
        info = None
    if isinstance(info, dict) and info.get("ServerVersion"):
        return info, ""
    if isinstance(info, dict) and "host" in info:  # Podman's stand-in for docker
        return None, f"{where}: this docker is Podman, whose buildx lacks what DSVM needs"
    said = info.get("ServerErrors") if isinstance(info, dict) else None
    lines = said or done.stderr.strip().splitlines() or [f"docker info failed with exit code {done.returncode}"]
    return None, f"{where}: {lines[-1]}"


def gpu_options(env: Mapping[str, str]) -> list[str]:
    """What `docker run` needs to give a container the machine's GPUs; nothing where the engine has none to give.

    An engine has them when NVIDIA's container toolkit registered its runtime or described the devices (CDI):
    https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html
    """
    info, _ = _info(env)
    if info is None:
        return []
    devices = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or []]
    if any(device.startswith("nvidia.com/gpu") for device in devices):
        return ["--device=nvidia.com/gpu=all"]
    return ["--gpus=all"] if "nvidia" in (info.get("Runtimes") or {}) else []


def _own_host(info: Mapping[str, Any]) -> str:
    """Address behind docker's current context."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    template = "{{.Endpoints.docker.Host}}"
    context = info.get("ClientInfo", {}).get("Context") or "default"
    done = run(["docker", "context", "inspect", "--format", template, context], timeout=ANSWER_TIMEOUT, check=False)
    return done.stdout.strip() or "unix:///var/run/docker.sock"


def _engine(info: Mapping[str, Any], *, host: str, env: Mapping[str, str], is_private: bool) -> Engine:
    status = dict(pair for pair in info.get("DriverStatus") or [] if len(pair) == 2)
    plugins = info.get("ClientInfo", {}).get("Plugins") or []
    root = Path(info.get("DockerRootDir") or "/var/lib/docker")
    return Engine(
        host=host,
        env=env,
        version=info["ServerVersion"],
        storage_driver=info.get("Driver", ""),
        containerd_store="io.containerd.snapshotter" in status.get("driver-type", ""),
        buildx=next((plugin.get("Version") for plugin in plugins if plugin.get("Name") == "buildx"), None),
        data_root=root,
        free=_free(root) if host.startswith("unix://") else None,
        ncpu=info.get("NCPU") or os.cpu_count() or 1,
        architecture=info.get("Architecture", ""),
        is_private=is_private,
    )


def _free(folder: Path) -> int | None:
    """Bytes free where `folder` lies; None when it is not on this machine (an engine in a virtual machine)."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _version(text: str) -> Version | None:
    """'v0.12.1-desktop.4' and '0.13.1+ds1' -> 0.12.1, 0.13.1."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return Version(found.group()) if found else None


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
