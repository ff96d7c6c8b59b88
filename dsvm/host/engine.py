"""The container engine of this host: the one that docker itself would use, else a private one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from dsvm.host.programs import INSTALL_HINTS, run
from dsvm.host.urls import redact
from dsvm.model import EngineError, ProgramError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.types import DeviceRequest

HINT = f"Try: {INSTALL_HINTS['docker']}"
MIN_BUILDX = Version("0.13")  # the first with --progress=rawjson
ANSWER_TIMEOUT = 30  # seconds in which an engine says who it is
TIMEOUT = 600  # seconds in which it answers anything else
LIST_TRIES, LIST_PAUSE = 10, 0.2  # how often a list is asked for, and the seconds between


@dataclass(frozen=True)
class Engine:
    """A container engine that answers."""

    client: DockerClient = field(repr=False)
    host: str  # its address: unix:///..., tcp://..., ssh://...
    env: Mapping[str, str]  # what programs that talk to it need beyond the current environment
    version: str
    storage_driver: str
    containerd_store: bool  # `COPY --link` links layers only in this image store
    data_root: Path  # on the engine's host
    free: int | None  # bytes free there; None for an engine on another host
    ncpu: int
    architecture: str  # as uname says it: x86_64, aarch64
    is_private: bool
    gpus: str = ""  # how a container is given the host's GPUs: "cdi", "nvidia", or "" where there are none to give

    @cached_property
    def buildx(self) -> str | None:
        """The version of docker's build plugin, or None without one."""
        try:
            # 'github.com/docker/buildx v0.13.1 788433953af10f2a698f5c07611dddce2e08c7a0'
            words = run(["docker", "buildx", "version"], env=self.env, timeout=ANSWER_TIMEOUT).stdout.split()
        except ProgramError:
            return None
        return words[1] if len(words) > 1 else None


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
    own, reason = _answering({}, private)
    if own is not None:
        return own
    reasons = [reason]
    if socket.is_socket():
        ours, reason = _answering({"DOCKER_HOST": private}, private)
        if ours is not None:
            return ours
        reasons.append(reason)
    raise EngineError("\n".join(["no container engine answers", *(f"  {line}" for line in reasons)]), hint=HINT)


@contextmanager
def engine_faults(what: str) -> Iterator[None]:
    """Ask the engine for `what`, in words: an answer that is a refusal, or none, is an EngineError."""
    from docker.errors import DockerException

    try:
        yield
    except (DockerException, OSError) as error:  # what requests raises is an OSError
        raise EngineError(f"{what}: {explained(error)}", hint=f"Is the engine well? {HINT}") from error


def listed(what: str, ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What the engine answers to `ask`, a list of `what`. Raises EngineError.

    It is asked again when the engine stumbles over something that was removed while it read the list: its store does
    not keep what is being listed (moby issue 52688), and somebody else's removal is no fault of ours.
    """
    from docker.errors import APIError

    with engine_faults(f"listing {what}"):
        for _ in range(LIST_TRIES - 1):
            try:
                return ask()
            except APIError as error:
                if "not found" not in explained(error):
                    raise
                time.sleep(LIST_PAUSE)
        return ask()


def explained(error: Exception) -> str:
    """What went wrong with a question to the engine, in a line, without what Python calls it."""
    from docker.errors import APIError

    said = error.explanation if isinstance(error, APIError) and error.explanation else None
    cause: BaseException = error
    while said is None and (cause.__cause__ or cause.__context__):
        cause = cause.__cause__ or cause.__context__ or cause
        if isinstance(cause, OSError) and cause.strerror:
            said = cause.strerror
    text = said if isinstance(said, str) else str(error)
    return redact(text.strip().splitlines()[-1] if text.strip() else type(error).__name__)


def gpu_requests(engine: Engine) -> list[DeviceRequest]:
    """What gives a container the GPUs of the engine's host; nothing where it has none to give."""
    from docker.types import DeviceRequest

    if engine.gpus == "cdi":
        return [DeviceRequest(driver="cdi", device_ids=["nvidia.com/gpu=all"])]
    return [DeviceRequest(count=-1, capabilities=[["gpu"]])] if engine.gpus else []


def _answering(env: Mapping[str, str], private: str) -> tuple[Engine | None, str]:
    """The engine that these variables lead to, if it answers, else None and the reason, in one line."""
    from docker import DockerClient
    from docker.errors import DockerException

    environment = {**os.environ, **env}
    where = environment.get("DOCKER_HOST") or "docker's current context"
    try:
        options = _address(environment)
        where = options.get("base_url") or where
        client = DockerClient(timeout=ANSWER_TIMEOUT, use_ssh_client=True, **options)
        info, version = client.info(), client.version()
    except (DockerException, OSError, ValueError) as error:
        return None, f"{where}: {explained(error)}"
    if not isinstance(info, dict) or not isinstance(version, dict) or not info.get("ServerVersion"):
        return None, f"{where}: what answers there is no container engine"
    if any("podman" in str(part.get("Name", "")).lower() for part in version.get("Components") or []):
        return None, f"{where}: this is Podman, whose builds lack what DSVM needs"
    client.api.timeout = TIMEOUT
    host = options.get("base_url") or "unix:///var/run/docker.sock"
    return _engine(client, info, host=host, env=env, is_private=host == private), ""


def _address(environment: Mapping[str, str]) -> dict[str, Any]:
    """Options of a client for the engine that docker's own command line would use with these variables.

    DOCKER_HOST goes first, then DOCKER_CONTEXT, then what `docker context use` has chosen:
    https://docs.docker.com/engine/manage-resources/contexts/
    """
    from docker.context import ContextAPI
    from docker.errors import ContextNotFound
    from docker.utils import kwargs_from_env

    options = dict(kwargs_from_env(environment=dict(environment)))
    if "base_url" in options:
        return options
    name = environment.get("DOCKER_CONTEXT") or None
    if ContextAPI.get_context(name) is None:
        raise ContextNotFound(name or "that docker's config.json names")
    return {**ContextAPI.kwargs_from_context(name=name, environment=dict(environment)), **options}


def _engine(
    client: DockerClient, info: Mapping[str, Any], *, host: str, env: Mapping[str, str], is_private: bool
) -> Engine:
    status = dict(pair for pair in info.get("DriverStatus") or [] if len(pair) == 2)
    root = Path(info.get("DockerRootDir") or "/var/lib/docker")
    return Engine(
        client=client,
        host=host,
        env=env,
        version=str(info.get("ServerVersion", "")),
        storage_driver=info.get("Driver", ""),
        containerd_store="io.containerd.snapshotter" in status.get("driver-type", ""),
        data_root=root,
        free=_free(root) if host.startswith("unix://") else None,
        ncpu=info.get("NCPU") or os.cpu_count() or 1,
        architecture=info.get("Architecture", ""),
        is_private=is_private,
        gpus=_gpus(info),
    )


def _gpus(info: Mapping[str, Any]) -> str:
    """How an engine gives GPUs: NVIDIA's container toolkit describes the devices (CDI), or has registered its runtime.

    https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html
    """
    devices = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or []]
    if any(device.startswith("nvidia.com/gpu") for device in devices):
        return "cdi"
    return "nvidia" if "nvidia" in (info.get("Runtimes") or {}) else ""


def _free(folder: Path) -> int | None:
    """Bytes free where `folder` lies; None when it is not on this host (an engine in a virtual machine)."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
