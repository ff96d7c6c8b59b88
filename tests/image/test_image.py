"""The image as a whole: its user, what it says of itself, and that it holds what the lock says, no less and no more."""

from __future__ import annotations

import html
import json

import pytest

from dsvm import ecosystems
from dsvm.checks.planned import Case
from dsvm.model import DsvmError, Plan, Section
from dsvm.plan.manifest import image_manifest
from image.harness import Image, fail


def test_user(case: Case, image: Image) -> None:
    found = image.read(["sh", "-c", 'echo "$(id -un) $(id -u) $HOME"; test -w "$HOME" || echo "may not write there"'])
    if found.split() != ["ds", "1000", "/home/ds"]:
        fail(f"the image runs as '{found.strip()}', not as 'ds 1000 /home/ds'")


def test_info(case: Case, plan: Plan, image: Image) -> None:
    said = json.loads(image.read(["dsvm-info", "--json"]))
    planned = json.loads(json.dumps(image_manifest(plan)))
    wrong = sorted(key for key in said.keys() | planned.keys() if said.get(key) != planned.get(key))
    if wrong:
        fail(f"dsvm-info differs from the plan in: {', '.join(wrong)}")
    shown = image.read(["dsvm-info"])
    absent = [tool.name for tool in plan.tools if tool.name not in shown or tool.version not in shown]
    if absent:
        fail(f"dsvm-info does not show: {', '.join(absent)}", shown)
    page = image.read(["dsvm-info", "--html"])
    absent = [tool.name for tool in plan.tools if f"<td>{html.escape(tool.version)}</td>" not in page]
    if absent or not page.endswith("</html>\n"):
        fail(f"the page of dsvm-info does not show: {', '.join(absent) or 'its end'}", page)


def test_hooks(case: Case, plan: Plan, image: Image) -> None:
    """What an image runs before a check begins could make any check pass."""
    faults = image.probe("hooks.py", *plan.files, timeout=120)
    if faults:
        fail("it runs before other programs do:", "\n".join(faults))


def test_installed(case: Case, plan: Plan, image: Image) -> None:
    sections = [section for section in plan.sections if section.id in case.sections]
    locked: dict[str, str] = {}
    for section in sections:
        locked |= _packages(section)
    try:
        # Sections that share a place are listed as one: any of them stands for all.
        found = ecosystems.get(sections[0].ecosystem).installed(sections[0], image.read)
    except DsvmError as error:
        fail(f"what is installed cannot be listed: {error}")
    faults = [f"missing: {name} {version}" for name, version in sorted(locked.items()) if name not in found]
    faults += [
        f"{name} is {found[name]}, locked is {version}"
        for name, version in sorted(locked.items())
        if found.get(name, version) != version
    ]
    if faults:
        fail(f"{len(faults)} packages differ from the lock:", "\n".join(faults))
    extra = sorted(f"{name} {version}" for name, version in found.items() if name not in locked)
    if extra and not _complete(sections):
        pytest.skip("the lock does not say what the base image held: that there is nothing extra cannot be told")
    if extra:
        fail(f"{len(extra)} packages are not in the lock:", "\n".join(extra))


def _packages(section: Section) -> dict[str, str]:
    """Name -> version; a base from a registry is locked as one artefact and lists its packages beside it."""
    if section.id == "base" and section.pin("manifest") is not None:
        return dict(section.extra.get("packages", {}))
    return {pin.name: pin.version for pin in section.pins}


def _complete(sections: list[Section]) -> bool:
    return all(section.pin("manifest") is None or "packages" in section.extra for section in sections)
