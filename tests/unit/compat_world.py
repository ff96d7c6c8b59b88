"""A user's folder for the gate: a variant with tools of one source each, its lock, and what the gate finds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from dsvm import catalog as catalogs
from dsvm import gate as compat
from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.gate.rules import Finding
from dsvm.model import Choice, Lock, Pin, Section

ROOT = Path(__file__).resolve().parents[2]
TODAY = date(2026, 11, 22)
# where dates are not what is tested, they rule nothing out however late these tests run
PATIENT = {"policy": {"grace": dict.fromkeys(("debian", "python", "nvidia-driver"), 36500)}}
NEW_BASE = {
    "base": "new", "summary": "Python 3.13", "os": "debian", "release": "13", "glibc": "2.41", "python": "3.13",
    "runtimes": {"python": ["python3"]},
}  # fmt: skip
TORCH = {"pypi": ["torch ~= 2.13"], "cuda": "13.0"}
TORCH_126 = {"pypi": ["torch ~= 2.13"], "cuda": "12.6"}
TENSORFLOW = {"pypi": ["tensorflow[and-cuda] ~= 2.21"], "cuda": "12"}


def overlay(folder: Path, tools: Mapping[str, Mapping[str, Any]], **variant: Any) -> Path:
    """A folder as a user keeps it: a variant 'mine' and its tools, each from one source; `env` says where it goes."""
    for name, source in tools.items():
        source = dict(source)
        tool = {
            "tool": name, "summary": "s", "homepage": "https://example.invalid", "license": "MIT", "group": "g",
            "env": source.pop("env", name), "sources": [source], "checks": [{"version": "v"}, {"run": "r"}],
        }  # fmt: skip
        write(folder / f"tools/{name}.yaml", tool)
    wanted = {"variant": "mine", "base": "new", "accelerator": "gpu", "tools": [*tools], **variant}
    write(folder / "variants/mine.yaml", wanted)
    write(folder / "bases/new.yaml", NEW_BASE)
    write(folder / "compat.yaml", PATIENT)
    return folder


def write(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data))


def load(folder: Path) -> Catalog:
    """The catalog of `folder` on top of the project's bases, repositories and rows; its tools would only take time."""
    main = folder.with_name(f"{folder.name}-main")
    if not main.exists():
        main.mkdir()
        for name in ("bases", "repositories", "compat.yaml"):
            (main / name).symlink_to(catalogs.MANIFESTS / name)
    return catalogs.load([folder], main=main)


def found(folder: Path, lock: Lock | None = None, **more: Any) -> list[Finding]:
    ours = load(folder)
    scene = compat.make_scene(ours, ours.variant("mine"), lock, **{"today": TODAY, **more})
    return compat.examine(scene)


def errors(folder: Path, lock: Lock | None = None, **more: Any) -> list[tuple[str, str]]:
    return [(one.rule, one.what) for one in compat.violations(found(folder, lock, **more))]


def level(findings: list[Finding], rule: str) -> list[str]:
    return [one.level for one in findings if one.rule == rule]


def locked(folder: Path, places: Mapping[str, Mapping[str, str]]) -> Lock:
    """A lock of 'mine' that holds these packages: place -> name -> version."""
    ours = load(folder)
    variant = ours.variant("mine")
    choices = tuple(Choice(tool=tool.tool, source=0) for tool in locks.tools_of(ours, variant))
    sections = [
        Section(
            id=place,
            ecosystem={"env": "pypi", "cutool": "url"}.get(place.split("-")[0], "apt"),
            tools=tuple(
                tool.tool for tool in locks.tools_of(ours, variant) if place in (f"env-{tool.env}", f"{tool.tool}-url")
            ),
            request={},
            input="0" * 64,
            epoch=1,
            pins=tuple(
                Pin(name=name, version=version, file=f"{name}.whl", size=1, sha256="0" * 64, registry="pypi")
                for name, version in pins.items()
            ),
            extra={"env": place.removeprefix("env-")} if place.startswith("env-") else {},
        )
        for place, pins in places.items()
    ]
    return Lock(variant="mine", base=variant.base, base_kind="bootstrap", choices=choices, sections=tuple(sections))
