"""What an engine will do with an image, against the plan: whatever the plan does not set is a difference.

An ENV can switch off whole kinds of checks (PYTHONOPTIMIZE, BASH_ENV, LD_PRELOAD).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsvm.ledger.comparing import Difference
from dsvm.model import Plan

ENTRYPOINT = ["/usr/bin/tini", "-g", "--", "/usr/local/bin/dsvm-start"]
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
USERS = ("ds", "1000", "1000:1000")


def other_settings(plan: Plan, config: Mapping[str, Any]) -> Iterator[Difference]:
    """What of an image's configuration is not as the plan says; the path of each is the name of the setting."""
    environment = dict(line.partition("=")[::2] for line in config.get("Env") or [])
    expected = {"PATH": DEFAULT_PATH, **plan.environment}
    values = {
        "ENTRYPOINT": (config.get("Entrypoint"), ENTRYPOINT),
        "HEALTHCHECK": (config.get("Healthcheck"), HEALTH),
        "WORKDIR": (config.get("WorkingDir"), "/home/ds"),
        "CMD": (config.get("Cmd") or [], []),
        **{name.upper(): (config.get(name) or None, None) for name in ("StopSignal", "Volumes", "OnBuild", "Shell")},
        "EXPOSE": (
            sorted(config.get("ExposedPorts") or {}),
            sorted(f"{service.port}/tcp" for service in plan.services.values()),
        ),
        **{
            f"ENV {name}": (environment.get(name), expected.get(name))
            for name in sorted(environment.keys() | expected.keys())
        },
    }
    if config.get("User") not in USERS:
        yield Difference("settings", "USER", f"it is {config.get('User') or 'root'!r}, not ds")
    for name, (found, wanted) in values.items():
        if found != wanted:
            yield Difference("settings", name, f"it is {found!r}, not {wanted!r}")
    labels = config.get("Labels") or {}
    if not any(plan.lock_digest in label for label in labels.values()):
        yield Difference("settings", "LABEL", "none has the lock's digest")
    if not any(key.startswith("org.opencontainers.image.") for key in labels):
        yield Difference("settings", "LABEL org.opencontainers.image", "there is no label of this kind")
