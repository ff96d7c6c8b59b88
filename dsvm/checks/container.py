"""The image as a container without a network: started, given the check scripts, and looked at from outside."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsvm import claims
from dsvm.checks.planned import IMAGE
from dsvm.engine import gpu_options
from dsvm.errors import ProgramError, VerifyError
from dsvm.model import CheckResult, Plan
from dsvm.run import run, stream, tail
from dsvm.services import SERVICES_ANSWER

# Where a started image has the check scripts, in its own file system.
SCRIPTS_INSIDE = "/tmp/dsvm-checks"  # noqa: S108
ENTRYPOINT = ["/usr/bin/tini", "-g", "--", "/usr/local/bin/dsvm-start"]
# Labels of a container in which an image is verified: its variant, and whose claims its run has
MARK, OWNER = "dsvm.verify", "dsvm.owner"
SECOND = 10**9  # as the engine counts: in nanoseconds
# as templates/Dockerfile.j2 says it
HEALTH = {
    "Test": ["CMD", "/usr/local/bin/dsvm-start", "--health"],
    "Interval": 10 * SECOND,
    "Timeout": 10 * SECOND,
    "StartPeriod": 60 * SECOND,
    "Retries": 6,
}
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of a base
START_TIMEOUT = 180.0  # seconds until every service must answer


def docker(engine_env: Mapping[str, str], *args: str, timeout: float = 120) -> str:
    return run(["docker", *args], env=engine_env, timeout=timeout).stdout.strip()


def inspect(image: str, plan: Plan, engine_env: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        settings: Mapping[str, Any] = json.loads(docker(engine_env, "image", "inspect", image))[0]
    except ProgramError as error:
        if "no such image" not in error.output.lower():
            raise
        hint = f"Run: invoke build --variant {plan.variant}"
        raise VerifyError(f"the engine has no image {image}", hint=hint) from error
    return settings


def forget_killed(variant: str, engine_env: Mapping[str, str]) -> list[str]:
    """Remove the containers in which runs of ours that were killed verified `variant`; returns their names.

    Only whoever has the claim on the variant may call it: no other run of ours verifies it meanwhile.
    """
    marks = (f"label={MARK}={variant}", f"label={OWNER}={claims.owner()}")
    filters = [word for mark in marks for word in ("--filter", mark)]
    found = docker(engine_env, "ps", "--all", *filters, "--format", "{{.Names}}").split()
    for name in found:
        run(["docker", "rm", "--force", "--volumes", name], env=engine_env, timeout=120, check=False)
    return found


@contextmanager
def started(
    image: str, token: str, engine_env: Mapping[str, str], *, variant: str, serves: bool, gpu: bool
) -> Iterator[str]:
    """A running container of `image`, by name; it is gone afterwards, whatever happens: see `forget_killed`.

    An image that serves nothing is kept running by a command that does nothing.
    """
    name = f"dsvm-verify-{secrets.token_hex(6)}"
    try:
        run(
            [
                *("docker", "run", "--detach", "--name", name),
                *("--label", f"{MARK}={variant}", "--label", f"{OWNER}={claims.owner()}"),
                *("--network", "none", "--shm-size", "1g", "--no-healthcheck"),
                *(gpu_options(engine_env) if gpu else []),
                # The value comes from docker's own environment: process lists show command lines.
                *("--env", "DSVM_TOKEN", image),
                *([] if serves else ["sleep", "infinity"]),
            ],
            env={**engine_env, "DSVM_TOKEN": token},
            timeout=600,
        )
        yield name
    except ProgramError as error:
        raise VerifyError(f"{image} cannot be verified: {error.message}", hint=error.hint) from error
    finally:
        run(["docker", "rm", "--force", "--volumes", name], env=engine_env, timeout=120, check=False)


def copy_scripts(scripts: Path, container: str, engine_env: Mapping[str, str]) -> None:
    docker(engine_env, "cp", str(scripts), f"{container}:{SCRIPTS_INSIDE}")


def wait_until_healthy(container: str, engine_env: Mapping[str, str], *, serves: bool) -> None:
    """Wait until every service answers; one that serves nothing has only to run.

    Asks by itself, as the image's own health check comes too seldom.
    """
    question = SERVICES_ANSWER if serves else "dsvm-start --health"
    end = time.monotonic() + START_TIMEOUT
    while True:
        state = json.loads(docker(engine_env, "inspect", "--format", "{{json .State}}", container))
        if not state["Running"]:
            raise VerifyError(
                f"the image ended with exit code {state['ExitCode']} instead of serving:\n"
                + tail(_log(container, engine_env), lines=25),
                hint="See what it says: docker run --rm -e DSVM_TOKEN IMAGE",
            )
        asked = run(
            ["docker", "exec", container, "/bin/sh", "-c", question],
            env=engine_env,
            timeout=60,
            check=False,
        )
        if asked.returncode == 0:
            return
        if time.monotonic() > end:
            raise VerifyError(
                f"the image is not healthy after {START_TIMEOUT:.0f} s: {(asked.stdout + asked.stderr).strip()}\n"
                + tail(_log(container, engine_env), lines=25)
            )
        time.sleep(0.3)


def _log(container: str, engine_env: Mapping[str, str]) -> str:
    with stream(["docker", "logs", "--tail", "100", container], env=engine_env) as (lines, wait):
        text = "".join(lines)
        wait()
    return text


def check_settings(plan: Plan, config: Mapping[str, Any]) -> CheckResult:
    """What the engine will do with the image: whatever the plan does not set is a difference and a fault.

    An ENV can switch off whole kinds of checks (PYTHONOPTIMIZE, BASH_ENV, LD_PRELOAD).
    """
    started = time.monotonic()
    environment = dict(line.partition("=")[::2] for line in config.get("Env") or [])
    expected = {"PATH": DEFAULT_PATH, **plan.environment}
    settings = {
        "health check": (config.get("Healthcheck"), HEALTH),
        "WORKDIR": (config.get("WorkingDir"), "/home/ds"),
        "CMD": (config.get("Cmd") or [], []),
        **{name: (config.get(name) or None, None) for name in ("StopSignal", "Volumes", "OnBuild", "Shell")},
        **{
            f"ENV {name}": (environment.get(name), expected.get(name))
            for name in sorted(environment.keys() | expected.keys())
        },
    }
    ports = sorted(config.get("ExposedPorts") or {})
    planned = sorted(f"{service.port}/tcp" for service in plan.services.values())
    labels = config.get("Labels") or {}
    faults = [
        *(
            [f"user is {config.get('User') or 'root'!r}, not ds"]
            if config.get("User") not in ("ds", "1000", "1000:1000")
            else []
        ),
        *([f"entry point is {config.get('Entrypoint')}"] if config.get("Entrypoint") != ENTRYPOINT else []),
        *(f"{name} is {found!r}, not {wanted!r}" for name, (found, wanted) in settings.items() if found != wanted),
        *([f"exposed ports are {ports}, not {planned}"] if ports != planned else []),
        *([] if any(plan.lock_digest in label for label in labels.values()) else ["no label has the lock's digest"]),
        *([] if any(key.startswith("org.opencontainers.image.") for key in labels) else ["no OCI labels"]),
    ]
    return CheckResult(
        tool=IMAGE,
        check="settings and labels",
        outcome="failed" if faults else "passed",
        seconds=round(time.monotonic() - started, 3),
        output="\n".join(faults),
    )
