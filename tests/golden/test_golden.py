"""Rendered text, compared with what was read and found good."""

from __future__ import annotations

import re
from pathlib import Path

import golden_file
import pytest
import tiny

from dsvm.lock.files import to_text
from dsvm.model import Plan, canonical_json
from dsvm.plan import make_plan
from dsvm.plan import rendering as render
from dsvm.plan.manifest import image_manifest

HERE = Path(__file__).parent


def machine_plan() -> Plan:
    catalog = tiny.machine_catalog()
    return make_plan(catalog, tiny.lock(catalog, "tiny-machine"), "qcow2")


def texts() -> dict[str, str]:
    lock = tiny.lock()
    plan = make_plan(tiny.catalog(), lock)
    machine = machine_plan()
    # digests of our own scripts move with every change of a script: they are shown as what they are
    dockerfile = render.main_text(plan).replace(plan.digest, "PLAN-DIGEST").replace(plan.digest[:12], "PLAN")
    template = {f"qcow2.{name}": text for name, text in render.packer_files(machine, plugins=True).items()}
    windows = make_plan(tiny.windows_catalog(), tiny.windows_lock())
    return {
        **template,
        "tiny-machine.Dockerfile": render.machine_dockerfile(machine).replace(machine.digest[:12], "PLAN"),
        "tiny.Dockerfile": dockerfile,
        "tiny-windows.ps1": render.main_text(windows),
        "tiny.lock.json": to_text(lock),
        "tiny.manifest.json": canonical_json(image_manifest(plan)),
    }


@pytest.mark.parametrize("name", sorted(texts()))
def test_rendered_text_is_as_it_was_read(name: str) -> None:
    golden_file.check(HERE / name, texts()[name])


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert texts() == texts()


def test_no_step_has_a_network_and_no_value_becomes_an_instruction() -> None:
    text = texts()["tiny.Dockerfile"]
    joined = text.replace("\\\n", "")
    runs = [line for line in joined.splitlines() if line.startswith("RUN")]
    assert runs
    assert all("--network=none" in line for line in runs)
    known = "FROM|RUN|COPY|ENV|LABEL|EXPOSE|USER|WORKDIR|HEALTHCHECK|ENTRYPOINT|CMD"
    strange = [line for line in joined.splitlines() if line and not re.match(rf"(#|({known}) )", line)]
    assert not strange
