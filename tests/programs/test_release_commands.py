"""The commands that work on a registry, as people type them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
import warm
from newcomer import ROOT
from release_world import REPOSITORY, World, days

PASSWORD = "hunter2-is-no-password"


def invoke(world: World, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    environ: Mapping[str, str] = {
        **os.environ,
        **world.host.environ,
        "PYTHONPATH": str(ROOT),
        "DSVM_STORE": str(world.folder),
        "NO_PROXY": "127.0.0.1",
        **env,
    }
    return warm.invoke(words, environ)


def place(world: World) -> str:
    return f"{world.server.host}/{REPOSITORY}"


def test_a_channel_goes_back_and_forth(world: World) -> None:
    made = days(world, "a", "b")
    done = invoke(world, "rollback", "--variant", "cpu", "--registry", place(world))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "nightly: 20261126, before 20261127\nlatest: 20261126, before 20261127\n"
    assert world.names("latest") == made[0].release.digests
    done = invoke(world, "promote", "--registry", place(world), "--to", "2026-11-27", "--channel", "nightly")
    assert done.stdout == "nightly: 20261127, before 20261126\n"
    assert (world.names("nightly"), world.names("latest")) == (made[1].release.digests, made[0].release.digests)


def test_what_may_go_is_said_first(world: World) -> None:
    days(world, "a", "b", "c")
    words = ("gc", "--registry", place(world), "--daily", "1", "--weekly", "1", "--monthly", "1")
    said = invoke(world, *words)
    assert said.returncode == 0 and "nothing was deleted: --delete does it" in said.stdout
    assert world.home.names() == ["20261126", "20261127", "20261128"]
    done = invoke(world, *words, "--delete")
    assert "deleted" in done.stdout and world.home.names() == ["20261128"]


def test_what_a_machine_fetches(world: World) -> None:
    days(world, "a", "b")
    words = ("pull-size", f"{place(world)}:20261126", f"{place(world)}:latest", "--variant", "cpu")
    done = invoke(world, *words)
    assert done.returncode == 0 and done.stdout.endswith(": 1 of 2 layers\n"), done.stderr
    answer = json.loads(invoke(world, *words, "--format", "json").stdout)
    jsonschema.validate(answer, json.loads((ROOT / "docs/schema/pull.json").read_text()))
    assert answer["layers"] == 1 and answer["all_bytes"] > answer["bytes"] > 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("rollback", "--variant", "cpu", "--registry", "images"), 2, "names nothing in a registry"),
        (("rollback", "--variant", "cpu", "--registry", "REGISTRY:latest"), 2, "without a tag"),
        (("rollback", "--variant", "cpu"), 2, "--registry is missing"),
        (("rollback", "--variant", "cpu", "--registry", "REGISTRY"), 2, "no channel names cpu"),
        (("promote", "--registry", "REGISTRY", "--to", "nightly", "--channel", "stable"), 2, "'stable' is no channel"),
        (("promote", "--registry", "REGISTRY", "--to", "2026-11-26"), 2, "it has no release 2026-11-26"),
        (("gc", "--registry", "REGISTRY", "--daily", "some"), 2, "--daily"),
        (("pull-size", "REGISTRY:a", "REGISTRY:b"), 8, "it has no a"),
        (("release", "--registry", "REGISTRY"), 2, "--variant is missing"),
        (("release", "--variant", "cpu-arm", "--registry", "REGISTRY"), 2, "cpu-arm"),
        (("gc", "--registry", "127.0.0.1:1/team"), 8, "no network connection to 127.0.0.1"),
    ],
)
def test_what_goes_wrong_is_said(words: tuple[str, ...], code: int, said: str, world: World) -> None:
    done = invoke(world, *(word.replace("REGISTRY", place(world)) for word in words))
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr


def test_an_image_that_was_not_verified_is_not_released(world: World) -> None:
    done = invoke(world, "release", "--variant", "cpu-debian", "--registry", place(world))
    assert done.returncode == 2 and "there is no verified image dsvm/cpu-debian:latest" in done.stderr
    assert not world.server.requests("PUT|POST")


@pytest.mark.parametrize("tokens", [False, True])
def test_no_command_line_and_no_message_has_the_password(tokens: bool, world: World) -> None:
    """Looked for in the command lines of all processes at every request, with a helper that knows it."""
    days(world, "a", "b")
    world.server.login, world.server.tokens = ("ci", PASSWORD), tokens
    helper = Path(world.host.environ["HOME"]) / "bin/docker-credential-vault"
    helper.parent.mkdir()
    helper.write_text(f'#!/bin/sh\nread host\necho \'{{"Username": "ci", "Secret": "{PASSWORD}"}}\'\n')
    helper.chmod(0o755)
    config = Path(world.host.environ["HOME"]) / ".docker/config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"credHelpers": {world.server.host: "vault"}}))
    word = base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
    secrets = [PASSWORD, word, world.server.token]
    seen: list[str] = []

    def look(method: str, path: str) -> None:
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.extend(secret for secret in secrets if secret.encode() in one.read_bytes())
            except OSError:
                continue

    world.server.meanwhile = [look]
    env = {"PATH": f"{helper.parent}:{os.environ['PATH']}", "DOCKER_CONFIG": str(config.parent)}
    done = invoke(world, "rollback", "--variant", "cpu", "--registry", place(world), **env)
    assert done.returncode == 0, done.stderr
    told = json.dumps({"errors": [{"code": word, "message": PASSWORD}]}).encode()
    world.server.trouble("GET", "^/v2/", status=400, skip=1, body=told)
    failed = invoke(world, "gc", "--registry", place(world), INVOKE_DEBUG="1", **env)
    assert failed.returncode != 0
    text = done.stdout + done.stderr + failed.stdout + failed.stderr
    assert not [one for one in secrets if one in text] and not seen
    kept = [path for path in world.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept for one in secrets if one.encode() in path.read_bytes()]
