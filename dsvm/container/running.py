"""Images that people use: started with a token of their own and a home that stays, and stopped."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from dsvm.container import containers
from dsvm.container.images import image_name, inspect, labels
from dsvm.host import Engine, answers, engine_faults, free_port, gpu_requests, tail
from dsvm.model import EngineError, InputError, Service
from dsvm.plan import LABELS, SERVICES_ANSWER, service_url

if TYPE_CHECKING:
    from docker.types import Mount as EngineMount

HOME, WORK = "/home/ds", "/home/ds/work"
MANIFEST = "/etc/dsvm/manifest.json"
MOST_SAID = 64 << 20  # bytes of an image's manifest: the largest has a thousandth
SERVICES = TypeAdapter(dict[str, Service])
REACHED_TIMEOUT = 20.0  # seconds until what answers in a container must answer on its published port too


@dataclass(frozen=True)
class Started:
    """A running image: container name, token and the URL of each service."""

    container: str
    token: str
    urls: Mapping[str, str]


def container_name(variant: str) -> str:
    return f"dsvm-{variant}"


def home_name(variant: str) -> str:
    """The volume that keeps /home/ds of the started containers of a variant."""
    return f"dsvm-home-{variant}"


@dataclass(frozen=True)
class Mount:
    """A folder of this host in a container."""

    source: Path
    target: PurePosixPath

    @classmethod
    def of(cls, text: str) -> Mount:
        """What `--mount` says: DIR, which comes to /home/ds/work, or DIR:/PLACE. Raises InputError."""
        source, named, target = text.rpartition(":/") if ":/" in text else (text, "", "")
        folder, place = Path(source).expanduser().absolute(), PurePosixPath(f"/{target}" if named else WORK)
        if not folder.is_dir():
            raise InputError(f"--mount {text}: {folder} is no folder", hint="Make it first, or name another one")
        if ".." in place.parts or place in map(PurePosixPath, ("/", HOME)):
            raise InputError(f"--mount {text}: nothing can be mounted at {place}", hint=f"For example: {source}:{WORK}")
        return cls(folder, place)

    def option(self) -> EngineMount:
        """As the engine's API takes it."""
        from docker.types import Mount as EngineMount

        return EngineMount(str(self.target), str(self.source), type="bind")


def start(
    variant: str,
    services: Mapping[str, Mapping[str, Any]],
    engine: Engine,
    *,
    image: str | None = None,
    mounts: Sequence[Mount] = (),
    timeout: float = 180,
    echo: Callable[[str], None] = lambda line: None,
) -> Started:
    """Start the image of `variant` with a token of its own, ports on loopback only; returns when it answers.

    Its home is a volume that stays when it is stopped; `mounts` are folders of this host.
    `services` are those of the image's manifest. `timeout` is in seconds. Raises EngineError with the end of
    the container's log when the image does not come up.
    """
    from docker.types import Mount as EngineMount

    image = image or image_name(variant)
    found = labels(image, engine)
    if not found and inspect(image, engine) is None:
        raise InputError(f"there is no image {image}", hint=f"Run: invoke build --variant {variant}")
    name = container_name(variant)
    state = containers.state(name, engine)
    if state is not None and state["Status"] == "running":
        raise InputError(f"{name} is running already", hint=f"invoke stop --variant {variant}, or: docker logs {name}")
    containers.remove(name, engine)
    token = secrets.token_urlsafe(24)
    ports = {service: free_port(int(what["port"])) for service, what in services.items()}
    for service, port in ports.items():
        if port != services[service]["port"]:
            echo(f"port {services[service]['port']} is taken: {service} gets {port}")
    home = home_name(variant)
    if has_home(variant, engine):
        echo(f"its home is that of earlier starts, volume {home}")
    else:
        with engine_faults(f"making the volume {home}"):  # empty, it is filled with what the image has there
            engine.client.volumes.create(home, labels={f"{LABELS}.home": variant})
    containers.start(
        image,
        engine,
        name=name,
        environment={"DSVM_TOKEN": token},
        shm_size="1g",
        device_requests=gpu_requests(engine) if found.get(f"{LABELS}.accelerator") == "gpu" else [],
        mounts=[EngineMount(HOME, home, type="volume"), *(mount.option() for mount in mounts)],
        ports={f"{services[service]['port']}/tcp": ("127.0.0.1", port) for service, port in ports.items()},
    )
    try:
        _wait(name, engine, timeout)
    except BaseException:
        with suppress(EngineError):
            containers.remove(name, engine)
        raise
    for service, port in ports.items():
        if not answers(port, REACHED_TIMEOUT):
            echo(f"{service} answers in {name}, but not on port {port} here: is the engine on another host?")
    urls = {service: service_url(services[service], port, token) for service, port in ports.items()}
    return Started(name, token, urls)


def stop(variant: str, engine: Engine) -> bool:
    """Stop and remove the container of `variant`; False when there is none. Its home stays."""
    name = container_name(variant)
    if containers.state(name, engine) is None:
        return False
    containers.stop(name, engine)
    return True


def has_home(variant: str, engine: Engine) -> bool:
    """Whether there is a home that `start` has made for `variant`."""
    from docker.errors import NotFound

    with engine_faults(f"looking at the volume {home_name(variant)}"):
        try:
            engine.client.volumes.get(home_name(variant))
        except NotFound:
            return False
    return True


def forget_home(variant: str, engine: Engine) -> bool:
    """Remove the home of `variant` with all that was saved there; False when there is none."""
    if not has_home(variant, engine):
        return False
    with engine_faults(f"removing the volume {home_name(variant)}"):
        engine.client.volumes.get(home_name(variant)).remove()
    return True


def _wait(container: str, engine: Engine, timeout: float) -> None:
    """Until every service of a container answers (its own health command says so)."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        state = containers.state(container, engine)
        if state is None or state["Status"] != "running":
            break
        if containers.ask(container, engine, ["/bin/sh", "-c", SERVICES_ANSWER])[0] == 0:
            return
        time.sleep(0.5)
    raise EngineError(f"{container} does not come up:\n" + tail(containers.log(container, engine)))


def manifest(image: str, engine: Engine) -> Mapping[str, Any]:
    """What an image says of itself (/etc/dsvm/manifest.json), read without running anything of it."""
    try:
        found = json.loads(_read(image, MANIFEST, engine))
        services = SERVICES.validate_python(found["services"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EngineError(
            f"{image}: not an image that this version can start: its manifest says no services as we know them",
            hint="Build it again: invoke build --variant NAME",
        ) from error
    return {**found, "services": {name: service.model_dump(mode="json") for name, service in services.items()}}


def _read(image: str, path: str, engine: Engine) -> bytes:
    """What is in a regular file of an image. Raises EngineError when there is none such, or a larger one."""
    from docker.errors import NotFound

    lacking = EngineError(f"{image} does not say what it is: it has no file {path}", hint="Is it an image of DSVM?")
    data = bytearray()
    with engine_faults(f"reading {path} of {image}"):
        container = engine.client.containers.create(image, entrypoint=["/bin/true"], network_mode="none")
        try:
            for piece in container.get_archive(path)[0]:
                data += piece
                if len(data) > MOST_SAID:
                    raise lacking
        except NotFound as error:
            raise lacking from error
        finally:
            container.remove(force=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(bytes(data))) as tar:
            member = tar.next()
            file = tar.extractfile(member) if member is not None and member.isreg() else None
            if file is None:
                raise lacking
            return file.read()
    except tarfile.TarError as error:
        raise lacking from error
