"""The services of a started image, container or machine: whether they answer, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A shell command that succeeds when all of them answer. What was started stands in a file of the user's that serves,
# who need not be the one that asks; until dsvm-start has written it there is nothing that could be unhealthy, and its
# health alone would be good too early.
SERVICES_ANSWER = 'set -- /tmp/dsvm-start-*.json; test -e "$1" && dsvm-start --health'


def service_url(service: Mapping[str, Any], port: int, token: str) -> str:
    """Where a user goes: with the token in it when the service takes it from there."""
    return f"http://127.0.0.1:{port}/" + (f"lab?token={token}" if service["login"] == "token" else "")
