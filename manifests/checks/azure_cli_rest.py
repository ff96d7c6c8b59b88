"""az keeps settings, registers a cloud of one's own, and asks a web service on loopback with a body and a query."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from lib.http_server import Handler, loopback
from lib.outcome import run_check
from lib.process import environment_without_proxies


class Service(Handler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        value = [{"name": "one", "size": 1}, json.loads(self.body())]
        body = json.dumps({"path": self.path, "value": value}).encode()
        self.answer(200, body, {"Content-Type": "application/json"})


def az(*words: str) -> subprocess.CompletedProcess[str]:
    env = {
        **environment_without_proxies(),
        "AZURE_CONFIG_DIR": str(Path("azure").resolve()),
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
    }
    return subprocess.run(["az", *words], env=env, capture_output=True, text=True, timeout=600)


def check() -> dict[str, object]:
    with loopback(Service) as url:
        asked = az(
            *("rest", "--method", "post", "--skip-authorization-header", "--output", "tsv"),
            *("--url", f"{url}/things", "--url-parameters", "api-version=1"),
            *("--body", '{"name": "two", "size": 2}', "--query", "[path, value[?size > `1`].name | [0]]"),
        )
    if asked.returncode != 0:
        raise AssertionError(f"az rest: {asked.stderr.strip()[-500:]}")
    if asked.stdout.split() != ["/things?api-version=1", "two"]:
        raise AssertionError(f"it printed {asked.stdout!r}")
    stranger = az("account", "show")
    if not (stranger.returncode != 0 and "az login" in stranger.stderr):
        raise AssertionError(f"without a login: {stranger.stderr[-300:]!r}")
    clouds = az("cloud", "list", "--query", "[].name", "--output", "tsv").stdout.split()
    if not ("AzureCloud" in clouds and "AzureUSGovernment" in clouds):
        raise AssertionError(f"clouds {clouds}")
    return {"clouds": clouds}


if __name__ == "__main__":
    run_check(__file__, check)
