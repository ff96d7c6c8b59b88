"""Built images: tag, find, start and stop them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter

from dsvm.builders.docker import RUN, image_name
from dsvm.engine import gpu_options
from dsvm.errors import EngineError, InputError, ProgramError
from dsvm.model import Plan, Service
from dsvm.ports import answers, free_port
from dsvm.render import LABELS
from dsvm.run import run, tail
from dsvm.services import SERVICES_ANSWER, service_url

HOME, WORK = "/home/ds", "/home/ds/work"
SERVICES = TypeAdapter(dict[str, Service])
UNVERIFIED = "unverified"  # the tag of what was built and has not passed its checks
REACHED_TIMEOUT = 20.0  # seconds until what answers in a container must answer on its published port too


def inspect(image: str, env: Mapping[str, str]) -> Mapping[str, Any] | None:
    """What the engine knows of an image, or None when it has none of that name."""
    done = run(["docker", "image", "inspect", image], env=env, check=False)
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


def labels(image: str, env: Mapping[str, str]) -> dict[str, str]:
    """Labels of an image, or {} when the engine has none of that name."""
    return labels_of(inspect(image, env))


def labels_of(found: Mapping[str, Any] | None) -> dict[str, str]:
    """Labels of an image that was inspected."""
    return dict((found or {}).get("Config", {}).get("Labels") or {})


def identity(image: str, env: Mapping[str, str]) -> str:
    """The id, `sha256:...`, of the image that has this name now. Raises EngineError when there is none."""
    found = inspect(image, env)
    if found is None:
        raise EngineError(f"the engine has no image {image} any more", hint="Was it removed meanwhile? Build again")
    return str(found["Id"])


def tag(image: str, name: str, env: Mapping[str, str]) -> None:
    """Give the image with the id `image` a name."""
    run(["docker", "tag", image, name], env=env)


def untag(name: str, env: Mapping[str, str]) -> None:
    """Take a name away, if it is there; the image stays where it has another one."""
    run(["docker", "image", "rm", "--no-prune", name], env=env, check=False)


def forget_runs(variant: str, env: Mapping[str, str]) -> None:
    """Take away the names that runs on `variant` gave their images while they went on, and left."""
    for row in built(env):
        if row["Repository"] == f"dsvm/{variant}" and row["Tag"].startswith(RUN):
            untag(f"{row['Repository']}:{row['Tag']}", env)


def promote(plan: Plan, image: str, env: Mapping[str, str]) -> str:
    """Give the verified image with the id `image` its names, take the provisional one away; returns that for people."""
    names = [image_name(plan.variant), image_name(plan.variant, plan.lock_digest[:12])]
    for name in names:
        tag(image, name, env)
    provisional = image_name(plan.variant, UNVERIFIED)
    if (found := inspect(provisional, env)) is not None and found["Id"] == image:
        untag(provisional, env)
    return names[0]


def built(env: Mapping[str, str]) -> list[Mapping[str, str]]:
    """All DSVM images of the engine, newest first."""
    shown = run(["docker", "image", "ls", "--filter", f"label={LABELS}.variant", "--format", "{{json .}}"], env=env)
    return [json.loads(line) for line in shown.stdout.splitlines()]


def remove_old(current: Mapping[str, str], env: Mapping[str, str]) -> list[str]:
    """Remove what no variant's lock names any more, unverified images too; returns their names.

    `current` is variant -> lock digest. Images in use stay, and those of variants that are not in it: they are of
    somebody's own catalog.
    """
    removed = []
    for row in built(env):
        variant, named = row["Repository"].removeprefix("dsvm/"), row["Tag"]
        kept = variant not in current or named in ("latest", current[variant][:12])
        name = f"{row['Repository']}:{named}"
        if not kept and run(["docker", "image", "rm", name], env=env, check=False).returncode == 0:
            removed.append(name)
    return removed


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
    """A folder of this machine in a container."""

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
        if "," in f"{folder}{place}" or '"' in f"{folder}{place}":
            raise InputError(f"--mount {text}: docker takes no path with a comma or a quote")
        return cls(folder, place)

    def __str__(self) -> str:
        return f"type=bind,source={self.source},target={self.target}"


def start(
    variant: str,
    services: Mapping[str, Mapping[str, Any]],
    env: Mapping[str, str],
    *,
    image: str | None = None,
    mounts: Sequence[Mount] = (),
    timeout: float = 180,
    say: Callable[[str], None] = lambda line: None,
) -> Started:
    """Start the image of `variant` with a token of its own, ports on loopback only; returns when it answers.

    Its home is a volume that stays when it is stopped; `mounts` are folders of this machine.
    `services` are those of the image's manifest. `timeout` is in seconds. Raises EngineError with the end of
    the container's log when the image does not come up.
    """
    image = image or image_name(variant)
    found = labels(image, env)
    if not found and inspect(image, env) is None:
        raise InputError(f"there is no image {image}", hint=f"Run: invoke build --variant {variant}")
    name = container_name(variant)
    state = _state(name, env)
    if state == "running":
        raise InputError(f"{name} is running already", hint=f"invoke stop --variant {variant}, or: docker logs {name}")
    if state is not None:
        run(["docker", "rm", "--force", name], env=env)
    token = secrets.token_urlsafe(24)
    ports = {service: free_port(int(what["port"])) for service, what in services.items()}
    for service, port in ports.items():
        if port != services[service]["port"]:
            say(f"port {services[service]['port']} is taken: {service} gets {port}")
    home = home_name(variant)
    if has_home(variant, env):
        say(f"its home is that of earlier starts, volume {home}")
    else:
        # empty, it is filled with what the image has there
        run(["docker", "volume", "create", "--label", f"{LABELS}.home={variant}", home], env=env)
    run(
        [
            *("docker", "run", "--detach", "--name", name, "--env", "DSVM_TOKEN", "--shm-size", "1g"),
            *(gpu_options(env) if found.get(f"{LABELS}.accelerator") == "gpu" else []),
            *("--mount", f"type=volume,source={home},target={HOME}"),
            *(word for mount in mounts for word in ("--mount", str(mount))),
            *(f"--publish=127.0.0.1:{port}:{services[service]['port']}" for service, port in ports.items()),
            image,
        ],
        # by the environment: a command line is everybody's to read
        env={**env, "DSVM_TOKEN": token},
    )
    try:
        _wait(name, env, timeout)
    except BaseException:
        run(["docker", "rm", "--force", name], env=env, check=False)
        raise
    for service, port in ports.items():
        if not answers(port, REACHED_TIMEOUT):
            say(f"{service} answers in {name}, but not on port {port} here: is the engine on another machine?")
    urls = {service: service_url(services[service], port, token) for service, port in ports.items()}
    return Started(name, token, urls)


def stop(variant: str, env: Mapping[str, str]) -> bool:
    """Stop and remove the container of `variant`; False when there is none. Its home stays."""
    name = container_name(variant)
    if _state(name, env) is None:
        return False
    run(["docker", "stop", "--time", "20", name], env=env, check=False, timeout=60)
    run(["docker", "rm", "--force", name], env=env, check=False)
    return True


def has_home(variant: str, env: Mapping[str, str]) -> bool:
    """Whether there is a home that `start` has made for `variant`."""
    return run(["docker", "volume", "inspect", home_name(variant)], env=env, check=False).returncode == 0


def forget_home(variant: str, env: Mapping[str, str]) -> bool:
    """Remove the home of `variant` with all that was saved there; False when there is none."""
    if not has_home(variant, env):
        return False
    run(["docker", "volume", "rm", home_name(variant)], env=env)
    return True


def _state(container: str, env: Mapping[str, str]) -> str | None:
    done = run(["docker", "container", "inspect", "--format", "{{.State.Status}}", container], env=env, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _wait(container: str, env: Mapping[str, str], timeout: float) -> None:
    """Until every service of a container answers (its own health command says so)."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if _state(container, env) != "running":
            break
        asked = ["docker", "exec", container, "/bin/sh", "-c", SERVICES_ANSWER]
        if run(asked, env=env, check=False).returncode == 0:
            return
        time.sleep(0.5)
    log = run(["docker", "logs", container], env=env, check=False)
    raise EngineError(f"{container} does not come up:\n" + tail(log.stdout + log.stderr))


def manifest(image: str, env: Mapping[str, str]) -> Mapping[str, Any]:
    """What an image says of itself (/etc/dsvm/manifest.json)."""
    argv = ["docker", "run", "--rm", "--network=none", "--entrypoint=cat", image, "/etc/dsvm/manifest.json"]
    try:
        found = json.loads(run(argv, env=env, timeout=120).stdout)
        services = SERVICES.validate_python(found["services"])
    except ProgramError as error:
        raise EngineError(f"{image} does not say what it is:\n{error.output.strip() or error.message}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EngineError(
            f"{image}: not an image that this version can start: its manifest says no services as we know them",
            hint="Build it again: invoke build --variant NAME",
        ) from error
    return {**found, "services": {name: service.model_dump(mode="json") for name, service in services.items()}}
