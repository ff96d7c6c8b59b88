"""A tool and an ecosystem from outside, as CONTRIBUTING.md adds them: in an image, verified, and the same offline."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from newcomer import OUTSIDE, contributing, fill, install, served
from workbench import BIG, CUT_OFF, ROOT, Catalog, Invoke, forget, image

VARIANT = "outside"


@dataclass(frozen=True)
class Own(Catalog):
    """A catalog, and the environment in which its ecosystem is installed."""

    env: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Own]:
    """The catalog; its base is locked as that of the big variant, so that it need not be made anew."""
    site = install(tmp_path / "site", tmp_path / "scratch")
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    config = tmp_path / "config.yaml"
    own = Own(tmp_path / "catalog", VARIANT, {"PYTHONPATH": path, "DSVM_CONFIG": str(config), "NO_PROXY": "127.0.0.1"})
    shutil.copytree(OUTSIDE / "catalog", own.folder)
    for name, text in contributing().items():
        (own.folder / name).parent.mkdir(exist_ok=True)
        (own.folder / name).write_text(text)
    big = json.loads((ROOT / "manifests" / "locks" / f"{BIG}.json").read_text())
    shared = [section for section in big["sections"] if not section["tools"] and section["id"] != "system"]
    own.lock.parent.mkdir()
    own.lock.write_text(json.dumps({**big, "variant": VARIANT, "choices": [], "sections": shared}))
    try:
        with served(fill(tmp_path / "shelf")) as url:
            config.write_text(f"sources: {{shelf: {url}}}\n")
            yield own
    finally:
        forget(VARIANT)


def layers(tag: str) -> list[str]:
    found = image(f"dsvm/{VARIANT}:{tag}")
    assert found is not None
    return list(found["RootFS"]["Layers"])


def test_a_tool_and_an_ecosystem_from_outside_are_built_and_verified(outside: Own, invoke: Invoke) -> None:
    invoke("build", *outside.words, "--update-stale", env=outside.env).passed()
    report = json.loads((ROOT / "build" / VARIANT / "report.json").read_text())
    outcomes = {(one["tool"], one["check"]): one["outcome"] for one in report["results"]}
    for check in (
        ("greeter", "commands are found and start"),
        ("greeter", "version"),
        ("greeter", "run: greeter world"),
        ("networkx", "version"),
        ("networkx", "networkx_paths.py"),
        ("image", "installed packages: env-shelf"),
    ):
        assert outcomes[check] == "passed"
    # what was fetched is enough: no shelf, no network; and it is the same image again
    again = ("--offline", "--no-cache", "--no-verify")
    invoke("build", *outside.words, *again, env=outside.env, under=tuple(CUT_OFF)).passed()
    assert layers("unverified") == layers("latest")
