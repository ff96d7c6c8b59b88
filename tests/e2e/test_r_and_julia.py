"""R packages of a snapshot and Julia's archive, both from a server on loopback: locked, built offline, verified."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from workbench import CUT_OFF, ROOT, ROOT_ONLY, Catalog, Invoke, docker

sys.path.insert(0, str(ROOT / "tests/unit"))

import julia_archive
import r_packages
from server import Resource, Server

pytestmark = pytest.mark.slow
DAY = "2023-03-14"
NAME = "e2e-r-julia"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def catalog(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """Manifests of a user's own, whose packages come from `server`."""
    folder = tmp_path_factory.mktemp("catalog")
    for name, content in r_packages.files().items():
        server.add(f"/cran/{DAY}/src/contrib/{name}", Resource(content))
    archive = julia_archive.make(tmp_path_factory.mktemp("julia"))
    content = archive.read_bytes()
    place = server.add(f"/{archive.name}", Resource(content))
    archive.unlink()
    head = "summary: test\nhomepage: https://example.org\nlicense: MIT\ngroup: test\n"
    julia = (ROOT / "manifests/tools/julia.yaml").read_text().splitlines(keepends=True)
    changes = {"url": place, "version": julia_archive.VERSION, "sha256": hashlib.sha256(content).hexdigest()}
    for number, line in enumerate(julia):
        key = line.strip().removeprefix("- ").split(":")[0]
        if key in changes and not line.endswith("url:\n") and "run" not in line and line.startswith("      "):
            julia[number] = f"{line.split(key)[0]}{key}: {changes[key]}\n"
    files = {
        "indexes/loopback.yaml": f"index: loopback\nurl: {server.url}/cran/{{date}}\ndate: {DAY}\n",
        "tools/julia.yaml": "".join(julia),
        "tools/four.yaml": f"tool: four\n{head}requires: [r]\nsources:\n  - cran: [four >= 0.3]\n    index: loopback\n"
        "checks:\n  - version: Rscript -e 'cat(packageDescription(\"four\")$Version)'\n"
        "  - run: Rscript -e 'library(four); cat(four(1.5), eight(1.5))'\n    expect: ^6 12$\n",
        f"variants/{NAME}.yaml": f"variant: {NAME}\nbase: debian-12\naccelerator: cpu\ntools: [r, four, julia, tini]\n",
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    yield Catalog(folder)
    names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"dsvm/{NAME}").split()
    if names:
        docker("image", "rm", "--force", *names)
    shutil.rmtree(ROOT / "build" / NAME, ignore_errors=True)


@ROOT_ONLY
def test_r_packages_and_julia_are_locked_built_offline_and_verified(
    catalog: Catalog, server: Server, invoke: Invoke
) -> None:
    words = ("--variant", NAME, "--catalog", str(catalog.folder))
    invoke("fetch", *words).passed()
    text = (catalog.folder / f"locks/{NAME}.json").read_text()
    sections = {section["id"]: section for section in json.loads(text)["sections"]}
    assert [pin["file"] for pin in sections["env-cran"]["pins"]] == ["four_0.4.tar.gz", "twice_1.2-3.tar.gz"]
    assert server.host not in json.dumps(sections["env-cran"])
    assert not [pin for pin in sections["system"]["pins"] if pin["name"].startswith(("g++", "gfortran", "r-base-dev"))]
    server.close()

    invoke("build", *words, under=tuple(CUT_OFF)).passed()
    report = json.loads((ROOT / "build" / NAME / "report.json").read_text())
    outcomes = {f"{result['tool']}: {result['check']}": result["outcome"] for result in report["results"]}
    assert set(outcomes.values()) == {"passed"}
    assert {name for name in outcomes if name.startswith(("four:", "julia:"))} >= {
        "four: version",
        "julia: version",
        "julia: julia_numbers.jl",
        "julia: commands on PATH",
    }
    assert "image: installed packages: env-cran" in outcomes
    built = Path("/opt/r/site-library/four/libs/four.so")
    assert docker("run", "--rm", "--entrypoint", "stat", f"dsvm/{NAME}", "-c", "%U %a", str(built)) == "root 755"


@ROOT_ONLY
def test_building_again_without_the_cache_gives_the_same_layers(catalog: Catalog, invoke: Invoke) -> None:
    before = docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", f"dsvm/{NAME}")
    words = ("--variant", NAME, "--catalog", str(catalog.folder))
    invoke("build", *words, "--no-cache", "--no-verify").passed()
    after = docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", f"dsvm/{NAME}:unverified")
    assert json.loads(after) == json.loads(before)
