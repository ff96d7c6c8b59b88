"""Containers in the engine: started, asked, read and removed, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from dsvm.host import Engine, engine_faults
from dsvm.model import EngineError

GRACE = 20  # seconds that a container has to end by itself


def start(image: str, engine: Engine, *, name: str, command: Sequence[str] = (), **options: Any) -> None:
    """Start a container of the image; `options` are those of docker's `containers.create`.

    What was begun is removed when that fails. Raises EngineError.
    """
    with engine_faults(f"starting {name} of {image}"):
        try:
            container = engine.client.containers.create(image, command=[*command] or None, name=name, **options)
            container.start()
        except BaseException:
            with suppress(EngineError):
                remove(name, engine)
            raise


def state(name: str, engine: Engine) -> Mapping[str, Any] | None:
    """How a container is (`Status`, `Running`, `ExitCode`), or None when there is none of that name."""
    from docker.errors import NotFound

    with engine_faults(f"looking at {name}"):
        try:
            found: Mapping[str, Any] = engine.client.api.inspect_container(name)["State"]
        except NotFound:
            return None
    return found


def ask(name: str, engine: Engine, command: Sequence[str]) -> tuple[int, str]:
    """Exit code and output of a command that runs in a container; 126 when that does not run."""
    from docker.errors import APIError

    with engine_faults(f"asking {name}"):
        try:
            done = engine.client.containers.get(name).exec_run([*command])
        except APIError as error:
            if error.status_code in (404, 409):  # it has ended meanwhile
                return 126, str(error.explanation or "")
            raise
    output = done.output if isinstance(done.output, bytes) else b""
    return done.exit_code or 0, output.decode(errors="replace")


def log(name: str, engine: Engine, *, lines: int = 100) -> str:
    """The end of what a container has printed, both of its streams as one."""
    with engine_faults(f"reading the log of {name}"):
        text: bytes = engine.client.containers.get(name).logs(tail=lines)
    return text.decode(errors="replace")


def end(name: str, engine: Engine, *, grace: int = GRACE) -> None:
    """End a container, which has `grace` seconds to do so by itself; nothing when it is not there."""
    from docker.errors import NotFound

    with engine_faults(f"stopping {name}"), suppress(NotFound):
        engine.client.containers.get(name).stop(timeout=grace)


def stop(name: str, engine: Engine) -> None:
    """End a container and remove it."""
    end(name, engine)
    remove(name, engine)


def remove(name: str, engine: Engine) -> None:
    """Remove a container, running or not, with the volumes that have no name; nothing when it is not there."""
    from docker.errors import APIError

    with engine_faults(f"removing {name}"):
        try:
            engine.client.api.remove_container(name, v=True, force=True)
        except APIError as error:
            if error.status_code not in (404, 409):  # gone already, or going
                raise
