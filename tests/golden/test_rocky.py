"""Rocky Linux: what the real manifests ask dnf for, locked by the real dnf and rendered. No image is built here."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import golden_file
import pytest
import rpm_archive as archives
from rocky import Place

from dsvm import ecosystems
from dsvm.host import bundled
from dsvm.lock import stale_sections
from dsvm.model import PLATFORMS, Lock, Plan
from dsvm.plan import make_plan
from dsvm.plan import rendering as render

pytestmark = archives.NEEDED
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("rocky"))
    place.publish()
    return place


@pytest.fixture(scope="module")
def lock(place: Place) -> Lock:
    return place.lock()


@pytest.fixture(scope="module")
def plan(place: Place, lock: Lock) -> Plan:
    return make_plan(place.catalog, lock)


def text_of(plan: Plan) -> str:
    """The Dockerfile, without what differs with the moment at which its packages were built."""
    text = render.main_text(plan)
    for digest, name in ((plan.digest, "PLAN"), (plan.lock_digest, "LOCK"), (str(plan.epoch), "EPOCH")):
        text = text.replace(digest, f"{name}-DIGEST").replace(digest[:12], name)
    created = render.labels(plan)["org.opencontainers.image.created"]
    return text.replace(created, "CREATED")


def test_everything_that_manifests_ask_dnf_for_is_accepted_by_it(place: Place, lock: Lock) -> None:
    """Names as dnf knows them, in the base's own archive or in a repository whose manifest lets them in."""
    base = lock.section("base")
    assert base is not None
    status = ecosystems.system(place.base).status(base.pins, place.context)
    context = replace(place.context, base_status=status)
    asked: dict[str | None, dict[str, None]] = {}
    for repository, request in place.requests():
        assert ecosystems.parse_request("dnf", list(request)) == request
        asked.setdefault(repository, {}).update(dict.fromkeys(request))
    assert len(asked[None]) > 50
    faults = [ecosystems.get("dnf").probe(tuple(names), name, context) for name, names in asked.items()]
    assert faults == [None] * len(asked)


def test_the_lock_says_where_each_package_comes_from(lock: Lock) -> None:
    assert lock.base_kind == "bootstrap"
    system = lock.section("system")
    assert system is not None
    assert Counter(pin.registry for pin in system.pins).keys() == {"rocky", "epel", "docker-ce"}
    registries = {pin.name: pin.registry for pin in system.pins}
    assert {registries[name] for name in ("tini", "pandoc", "R-core")} == {"epel"}
    assert registries["docker-ce-cli"] == "docker-ce"
    base = lock.section("base")
    assert base is not None
    assert not {pin.name for pin in base.pins} & set(registries), "what the base has is not installed again"


def test_a_changed_manifest_of_a_repository_makes_the_system_stale(place: Place, lock: Lock) -> None:
    epel = place.catalog.repositories["epel"].model_copy(update={"summary": "another"})
    other = replace(place.catalog, repositories={**place.catalog.repositories, "epel": epel})
    assert stale_sections(place.catalog, lock) == []
    assert stale_sections(other, lock) == ["system"]


def test_rendered_text_is_as_it_was_read(plan: Plan) -> None:
    golden_file.check(HERE / "rocky.Dockerfile", text_of(plan))


def test_each_step_is_a_script_of_ours_with_words_that_no_shell_reads(plan: Plan) -> None:
    joined = render.main_text(plan).replace("\\\n", "")
    runs = [line for line in joined.splitlines() if line.startswith("RUN")]
    assert runs
    for line in runs:
        words = json.loads(line[line.index("[") :])
        script = PLATFORMS["linux"].scripts / words[0].removeprefix("/dsvm/bin/")
        assert script.is_file()
        assert f"source=/{script.name},target={words[0]}" in line
        if script.read_text().startswith("#!/bin/bash"):
            subprocess.run(["bash", "-n", script], check=True)
            subprocess.run([bundled("shellcheck"), script], check=True)
