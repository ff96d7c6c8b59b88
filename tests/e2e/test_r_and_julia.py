"""R and Julia packages and Julia's archive, from a server on loopback: locked, built offline, verified."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from workbench import CUT_OFF, ROOT, ROOT_ONLY, Catalog, Invoke, Silent, broken_image, docker, forget

from dsvm.container.verification import verify
from dsvm.host import find_engine

sys.path.insert(0, str(ROOT / "tests/unit"))

import julia_archive
import julia_packages
import r_packages
from server import Resource, Server

from dsvm.container.buildkit import Built
from dsvm.model import Plan

pytestmark = pytest.mark.slow
DAY = "2023-03-14"
NAME, OLD = "e2e-r-julia", "e2e-old-julia"
# Julia and its official layout, a kernel, packages of the tests' own; and the distribution's Julia with these packages.
TOOLS = {
    NAME: ["r", "four", "julia", "ijulia", "quarters", "words", "jupyterlab", "nbclient", "tini"],
    OLD: ["julia", "quarters", "words", "tqdm", "tini"],
}
HEAD = "summary: test\nhomepage: https://example.org\nlicense: MIT\ngroup: test\n"
PACKAGES = {
    "quarters": ("Quarters ~0.3.1", "Quarters.quarter(10), ' ', Quarters.middle([2, 6]), ' ', Quarters.BUILT"),
    "words": ("Words", "join(Words.words(), ' ')"),
}
PRINTED = {"quarters": "2.5 1.0 2.5", "words": "half quarter"}


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
    served, tree = julia_packages.served((*julia_packages.packages(), julia_packages.ijulia()))
    for path, content in served.items():
        server.add(path, Resource(content))
    archive = julia_archive.make(tmp_path_factory.mktemp("julia"))
    content = archive.read_bytes()
    place = server.add(f"/{archive.name}", Resource(content))
    archive.unlink()
    julia = (ROOT / "manifests/tools/julia.yaml").read_text().splitlines(keepends=True)
    changes = {"url": place, "version": julia_archive.VERSION, "sha256": hashlib.sha256(content).hexdigest()}
    for number, line in enumerate(julia):
        key = line.strip().removeprefix("- ").split(":")[0]
        if key in changes and not line.endswith("url:\n") and "run" not in line and line.startswith("      "):
            julia[number] = f"{line.split(key)[0]}{key}: {changes[key]}\n"
    files = {
        "indexes/loopback.yaml": f"index: loopback\nurl: {server.url}/cran/{{date}}\ndate: {DAY}\n",
        # in place of General, so that the tool ijulia is the real one
        "indexes/julia-general.yaml": "index: julia-general\n"
        f"url: {server.url}/registry/{julia_packages.REGISTRY}/{{tree}}\ntree: {tree}\n",
        "tools/julia.yaml": "".join(julia),
        "tools/four.yaml": f"tool: four\n{HEAD}requires: [r]\nsources:\n  - cran: [four >= 0.3]\n    index: loopback\n"
        "checks:\n  - version: Rscript -e 'cat(packageDescription(\"four\")$Version)'\n"
        "  - run: Rscript -e 'library(four); cat(four(1.5), eight(1.5))'\n    expect: ^6 12$\n",
    }
    for tool, (request, code) in PACKAGES.items():
        name = request.split()[0]
        program = code.replace("' '", '\\" \\"')
        files[f"tools/{tool}.yaml"] = (
            f"tool: {tool}\n{HEAD}requires: [julia]\nsources:\n"
            f"  - julia: [{request}]\n    index: julia-general\nchecks:\n"
            f"  - version: grep '^version' \"$(julia -e 'import {name}; print(pkgdir({name}))')/Project.toml\"\n"
            f'  - run: julia -e "import {name}; print({program})"\n    expect: ^{PRINTED[tool]}$\n'
        )
    for variant, tools in TOOLS.items():
        files[f"variants/{variant}.yaml"] = (
            f"variant: {variant}\nbase: debian-12\naccelerator: cpu\ntools: [{', '.join(tools)}]\n"
        )
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    yield Catalog(folder)
    for variant in TOOLS:
        forget(variant)


def outcomes(variant: str) -> dict[str, str]:
    report = json.loads((ROOT / "build" / variant / "report.json").read_text())
    return {f"{result['tool']}: {result['check']}": result["outcome"] for result in report["results"]}


def in_container(variant: str, script: str) -> str:
    """What a shell prints as the user of the image, without a network."""
    return docker("run", "--rm", "--network=none", "--entrypoint", "bash", f"dsvm/{variant}", "-c", script)


@ROOT_ONLY
def test_packages_and_julia_are_locked_built_offline_and_verified(
    catalog: Catalog, server: Server, invoke: Invoke
) -> None:
    words = ("--variant", NAME, "--catalog", str(catalog.folder))
    invoke("fetch", *words).passed()
    text = (catalog.folder / f"locks/{NAME}.json").read_text()
    sections = {section["id"]: section for section in json.loads(text)["sections"]}
    assert [pin["file"] for pin in sections["env-cran"]["pins"]] == ["four_0.4.tar.gz", "twice_1.2-3.tar.gz"]
    assert [(pin["name"], pin["version"]) for pin in sections["env-julia"]["pins"]] == [
        ("Halves", "1.1.0"),
        ("IJulia", "1.28.0"),
        ("Quarters", "0.3.1"),
        ("Words", "0.2.0+1"),
        ("Words/words", julia_packages.tree_hash(julia_packages.ARTIFACT)),
    ]
    for section in ("env-cran", "env-julia"):
        # where Julia itself comes from is a URL that was asked for
        section_text = json.dumps({**sections[section], "request": None})
        assert server.host not in section_text
    assert not [pin for pin in sections["system"]["pins"] if pin["name"].startswith(("g++", "gfortran", "r-base-dev"))]

    # the other one for later: its first source of Julia is out of reach
    other = ("--variant", OLD, "--catalog", str(catalog.folder))
    archive = next(path for path in server.resources if path.startswith("/julia-"))
    content = server.resources.pop(archive)
    done = invoke("fetch", *other).passed()
    server.resources[archive] = content
    assert "julia: source 1 (url) passed over: " in done.text
    assert "HTTP 404" in done.text
    assert "julia: source 2 (apt): old" in done.text
    server.close()

    invoke("build", *words, under=tuple(CUT_OFF)).passed()
    found = outcomes(NAME)
    assert set(found.values()) == {"passed"}
    assert found.keys() >= {
        "four: version",
        "julia: version",
        "julia: julia_numbers.jl",
        "julia: commands are found and start",
        "ijulia: version",
        "ijulia: ijulia_execute.py",
        "ijulia: kernel julia runs a notebook",
        "quarters: version",
        "words: version",
        "image: installed packages: env-cran",
        "image: installed packages: env-julia",
    }
    built = Path("/opt/r/site-library/four/libs/four.so")
    assert docker("run", "--rm", "--entrypoint", "stat", f"dsvm/{NAME}", "-c", "%U %a", str(built)) == "root 755"


USE = """
set -e
julia -e 'import Quarters, Words, IJulia; print(join(DEPOT_PATH[1:2], " "))'
# all of that was compiled when the image was built
[ ! -e ~/.julia/compiled ]
# a project of the user's own beside it is theirs, and Julia's tools find nothing to do for that of the image
mkdir ~/mine && cp /opt/julia-depot/environments/dsvm/* ~/mine
JULIA_PROJECT=$HOME/mine julia -e 'using Pkg; Pkg.instantiate(); import Quarters; print(" ", Quarters.quarter(8))'
cmp -s ~/mine/Manifest.toml /opt/julia-depot/environments/dsvm/Manifest.toml
julia -e 'print(" ", Base.active_project())'
if touch /opt/julia-depot/packages/mine 2> /dev/null; then echo writable; fi
"""


@ROOT_ONLY
def test_a_user_has_the_packages_compiled_beside_a_depot_of_their_own(catalog: Catalog) -> None:
    said = in_container(NAME, USE)
    home = "/home/ds/.julia"
    assert said == f"{home} /opt/julia-depot 2.0 {home}/environments/v1.5/Project.toml"


@ROOT_ONLY
def test_packages_that_julia_compiles_again_for_each_user_are_found(catalog: Catalog, tmp_path: Path) -> None:
    name = "dsvm-e2e/r-julia:latest"
    broken_image(name, f"dsvm/{NAME}:latest", tmp_path, "find /opt/julia-depot/packages -exec touch {} +\n")
    try:
        plan = Plan.model_validate_json((ROOT / "build" / NAME / "plan.json").read_bytes())
        only = ("ijulia", "quarters", "image")
        report = verify(plan, name, engine=find_engine(), folder=tmp_path, only=only, view=Silent())
    finally:
        docker("image", "rm", "--force", name)
    found = {f"{one.tool}: {one.check}": one.output for one in report.results if one.outcome == "failed"}
    assert found.keys() == {"ijulia: ijulia_execute.py"}
    assert "compiled it again" in str(found)


@ROOT_ONLY
def test_building_again_without_the_cache_gives_the_same_layers(catalog: Catalog, invoke: Invoke) -> None:
    before = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", f"dsvm/{NAME}"))
    words = ("--variant", NAME, "--catalog", str(catalog.folder))
    invoke("build", *words, "--no-cache", "--no-verify").passed()
    built = Built.model_validate_json((ROOT / "build" / NAME / "build.json").read_bytes())
    excused = [layer.stage for layer in built.layers if layer.unreproducible]
    assert excused == ["env-julia_compiled"]
    differ = [layer.stage for layer, digest in zip(built.layers, before, strict=True) if layer.digest != digest]
    assert set(differ) <= set(excused)


@ROOT_ONLY
def test_the_distribution_s_old_julia_takes_the_place_of_one_out_of_reach(catalog: Catalog, invoke: Invoke) -> None:
    """Locked above, with packages for it; built without a network."""
    text = (catalog.folder / f"locks/{OLD}.json").read_text()
    lock = json.loads(text)
    choice = next(choice for choice in lock["choices"] if choice["tool"] == "julia")
    assert (choice["source"], choice["passed_over"]) == (1, ["url"])
    pins = {pin["name"]: pin for section in lock["sections"] if section["id"] == "system" for pin in section["pins"]}
    old = {name for name, pin in pins.items() if pin["registry"] == "debian-bullseye"}
    assert {"julia", "libjulia1", "libunwind8"} <= old
    # nothing that the base or anybody else has too
    assert not old & {"libc6", "libgcc-s1", "libstdc++6", "libssl3", "libcurl3-gnutls", "libgfortran5"}
    base = {pin["name"] for section in lock["sections"] if section["id"] == "base" for pin in section["pins"]}
    assert not base & pins.keys(), "the base's own packages are replaced"

    invoke("build", "--variant", OLD, "--catalog", str(catalog.folder), under=tuple(CUT_OFF)).passed()
    found = outcomes(OLD)
    assert set(found.values()) == {"passed"}
    assert found.keys() >= {"julia: version", "julia: julia_numbers.jl", "image: installed packages: env-julia"}
    assert in_container(OLD, "julia -e 'import Words' && ls ~/.julia/compiled 2>&1 || true").endswith(
        "No such file or directory"
    )
