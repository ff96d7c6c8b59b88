"""The gate: what it refuses, why, and that it does so before anything is asked for or written."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from server import Server

from dsvm import catalog as catalogs
from dsvm import compat, pipeline
from dsvm import lock as locks
from dsvm.catalog import Catalog
from dsvm.compat import Finding
from dsvm.compat.tables import Tables
from dsvm.errors import InputError, PolicyError
from dsvm.model import Choice, Compat, FrameworkRow, Lock, Pin, Section

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


# --- what must be refused, as a user meets it --------------------------------------------------------------

REFUSED: Mapping[str, tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Any], str, tuple[str, ...]]] = {
    "CUDA 13 with driver 550": (
        {"pytorch": TORCH},
        {"driver": 550},
        "driver",
        (
            "CUDA 13 needs driver 580 or newer, and the machines have 550: pytorch with CUDA 13.0",
            "CUDA Compatibility",
            "2026-11-22",
            "CUDA 12",
        ),
    ),
    "CUDA 13 with the driver of Debian itself": (
        {"pytorch": TORCH, "nvidia-driver": {"apt": ["nvidia-kernel-dkms"], "driver": 550}},
        {},
        "driver",
        ("CUDA 13 needs driver 580 or newer, and nvidia-driver brings 550: pytorch with CUDA 13.0", "another source"),
    ),
    "TensorFlow and PyTorch cu130 in one environment": (
        {"pytorch": {**TORCH, "env": "deep"}, "tensorflow": {**TENSORFLOW, "env": "deep"}},
        {},
        "one-cuda",
        ("pytorch (torch ~=2.13) carries CUDA 13.0", "tensorflow ~=2.21 carries CUDA 12", "environments of their own"),
    ),
    "PyTorch cu130 for a V100": (
        {"pytorch": TORCH},
        {"gpus": ["v100", "a100"]},
        "gpu-architecture",
        ("v100 is sm_70", "torch for CUDA 13.0 carries sm_75 to sm_120", "build for CUDA 12.6"),
    ),
    "JAX 0.12 on Python 3.11": (
        {"jax": {"pypi": ["jax[cuda13] ~= 0.12"], "cuda": "13"}},
        {"base": "debian-12"},
        "python",
        ("jax ~=0.12 needs Python >= 3.12", "base 'debian-12' has 3.11", "jax 0.10.2"),
    ),
}


def command(*words: str | Path, server: Server, home: Path) -> subprocess.CompletedProcess[str]:
    """A command of ours on a machine whose every registry is the test's server."""
    config = home / "config.yaml"
    write(config, {"sources": dict.fromkeys(("pypi", "debian", "debian-security"), server.url)})
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "DSVM_CONFIG": str(config), "DSVM_STORE": str(home / "store")}
    arguments = [sys.executable, "-m", "invoke", *map(str, words)]
    return subprocess.run(arguments, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_its_rule_before_anything_is_asked(
    case: str, tmp_path: Path, server: Server
) -> None:
    tools, variant, rule, words = REFUSED[case]
    mine = overlay(tmp_path / "mine", tools, **variant)
    done = command("lock", "--variant", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert f"mine: rule {rule}: " in done.stderr
    assert [word for word in words if word not in done.stderr] == []
    assert done.stderr.count(": rule ") == 1, "nothing else is wrong with it"
    assert f"invoke compat --explain mine --catalog {mine}" in done.stderr
    assert "Traceback" not in done.stderr
    assert server.requests == []
    assert not (mine / "locks").exists()


def test_build_and_the_reasoning_refuse_it_too_and_all_violations_come_at_once(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH, "jax": {"pypi": ["jax ~= 0.12"]}}, base="debian-12")
    asked = ("--gpu", "v100,t4,p100", "--driver", "550")
    for words in (("build", "--variant", "mine"), ("lock", "--variant", "mine"), ("compat", "--explain", "mine")):
        done = command(*words, *asked, "--catalog", mine, server=server, home=tmp_path)
        assert done.returncode == 2
        for rule in ("python", "driver", "gpu-architecture"):
            assert done.stderr.count(f"mine: rule {rule}: ") == 1
        assert "v100 is sm_70, p100 is sm_60, and" in done.stderr
        assert server.requests == []


def test_a_render_is_refused_as_well_before_there_is_a_lock(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH}, driver=550, gpus="V100")
    done = command("render", "--variant", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 2
    for rule in ("driver", "gpu-architecture"):
        assert f"mine: rule {rule}: " in done.stderr
    mine = overlay(tmp_path / "fine", {"pytorch": TORCH})
    done = command("render", "--variant", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, "error: mine has no lock")


def test_the_reasoning_names_every_rule_what_it_saw_and_the_source(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH}, driver="580.95.05", gpus=["h100"])
    done = command("compat", "--explain", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [name for name in map(compat.rule_name, compat.RULES) if f"\n{name}: " not in done.stdout] == []
    assert "CUDA 13 needs driver 580 or newer, and the machines have 580: pytorch with CUDA 13.0" in done.stdout
    assert "pytorch (torch ~=2.13): h100; torch for CUDA 13.0 carries sm_75 to sm_120" in done.stdout
    assert "source: NVIDIA, CUDA Compatibility" in done.stdout
    assert "\033" not in done.stdout
    assert "mine fits together" in done.stdout


def test_the_table_shows_every_row_with_its_source_and_a_verdict_for_each_variant(
    tmp_path: Path, server: Server
) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH}, driver="550")
    done = command("compat", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    for table in catalogs.load().compat.tables.values():
        for row in table:
            words = {*row.key, str(row.date), row.source}
            assert any(set(words) <= {word.removeprefix("sm_") for word in line} for line in lines), row
    assert any(line[:2] == ["mine", "promises"] and "refused:" in line and "driver" in line for line in lines)


def test_a_gpu_or_driver_that_nobody_knows_is_an_input_error(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH})
    done = command("lock", "--variant", "mine", "--gpu", "v10O", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 2
    assert "unknown GPU 'v10O' (did you mean 'v100'?)" in done.stderr
    done = command("lock", "--variant", "mine", "--driver", "new", "--catalog", mine, server=server, home=tmp_path)
    assert (done.returncode, "'new' is no NVIDIA driver branch" in done.stderr) == (2, True)


def test_a_contradiction_that_only_the_lock_shows_stops_a_render_too(tmp_path: Path, server: Server) -> None:
    mine = overlay(tmp_path / "mine", {"pytorch": TORCH})
    lock = locked(mine, {"base": {}, "env-pytorch": {"torch": "2.13.0+cu130", "nvidia-nccl-cu12": "2.27.5"}})
    locks.write(mine / "locks/mine.json", lock)
    done = command("render", "--variant", "mine", "--catalog", mine, server=server, home=tmp_path)
    assert done.returncode == 2
    assert "rule one-cuda: env-pytorch holds CUDA 12 by nvidia-nccl-cu12; CUDA 13 by torch" in done.stderr


# --- what may pass -----------------------------------------------------------------------------------------


def test_combinations_that_work_pass(tmp_path: Path) -> None:
    tools: dict[str, dict[str, Any]] = {
        "pytorch": TORCH, "tensorflow": TENSORFLOW, "jax": {"pypi": ["jax[cuda13]"], "cuda": "13"},
        "xgboost": {"pypi": ["xgboost"], "cuda": "13"}, "lightgbm": {"pypi": ["lightgbm"]},
    }  # fmt: skip
    mine = overlay(tmp_path, tools, driver="580", gpus=["t4", "a100", "h100", "b200"])
    assert errors(mine) == []


@pytest.mark.parametrize(("cuda", "gpus", "fine"), [
    ("12.6", ["v100", "h100"], True), ("12.6", ["b200"], False), ("13.0", ["t4", "b200"], True),
    ("13.0", ["p100"], False), ("13", ["v100"], False), ("12.8", ["v100", "b200"], True),
])  # fmt: skip
def test_a_build_runs_on_the_architectures_it_carries(tmp_path: Path, cuda: str, gpus: list[str], fine: bool) -> None:
    mine = overlay(tmp_path, {"pytorch": {"pypi": ["torch == 2.11.*"], "cuda": cuda}}, gpus=gpus)
    assert [rule for rule, _ in errors(mine)] == ([] if fine else ["gpu-architecture"])


def test_a_package_without_a_row_is_judged_by_its_cuda(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"cutool": {"pypi": ["cutool"], "cuda": "13.0"}}, gpus=["v100", "t4"], driver="570")
    assert [rule for rule, _ in errors(mine)] == ["driver", "gpu-architecture"]
    older = found(mine, gpus=["t4"], driver="580")
    assert compat.violations(older) == []


def test_a_gpu_newer_than_the_toolkit_is_a_warning(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"cutool": {"pypi": ["cutool"], "cuda": "12.5"}}, gpus=["b200"])
    assert level(found(mine), "gpu-architecture") == ["warning"]


def test_the_floor_of_the_driver_is_its_major_version_s(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"cutool": {"pypi": ["cutool"], "cuda": "12.9"}})
    assert errors(mine, driver="525.60.13") == [], "not the 575 that the toolkit bundles"
    assert [rule for rule, _ in errors(mine, driver="470")] == ["driver"]


def test_a_driver_that_has_dropped_a_gpu_is_refused(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": TORCH_126}, gpus=["v100"])
    assert errors(mine, driver="580") == []
    assert [rule for rule, _ in errors(mine, driver="590")] == ["gpu-driver"]


def driver_tools(package: str, driver: int, manager: int | None = None) -> dict[str, dict[str, Any]]:
    """PyTorch with CUDA 13, and an image's own driver."""
    tools: dict[str, dict[str, Any]] = {"pytorch": TORCH, "nvidia-driver": {"apt": [package], "driver": driver}}
    return tools | ({"manager": {"apt": ["nvidia-fabricmanager"], "driver": manager}} if manager is not None else {})


def test_an_image_s_own_driver_is_judged_beside_the_machines(tmp_path: Path) -> None:
    """A variant may come out as a container too, which works with the driver of its host."""
    mine = overlay(tmp_path, driver_tools("nvidia-open-580", 580))
    assert errors(mine) == []
    assert level(found(mine), "driver") == ["ok"]
    assert errors(mine, driver="570") == [
        ("driver", "CUDA 13 needs driver 580 or newer, and the machines have 570: pytorch with CUDA 13.0")
    ]
    ends = [one for one in found(mine, driver="535") if one.rule == "end-of-life" and "nvidia-driver" in one.what]
    assert [one.level for one in ends] == ["ok", "warning"], "of 580 and of 535"


@pytest.mark.parametrize(("package", "gpus", "fine"), [
    ("nvidia-open-580", ["t4", "h100", "b200"], True), ("nvidia-open-580", ["v100"], False),
    ("nvidia-headless-580-server", ["p100", "v100", "h100"], True), ("nvidia-headless-580-server", ["b200"], False),
    ("nvidia-headless-580-server-open", ["v100"], False), ("nvidia-kernel-dkms", ["b200"], False),
    ("nvidia-of-another-name", ["v100", "b200"], True),
])  # fmt: skip
def test_the_kind_of_a_driver_s_modules_decides_on_gpus(
    tmp_path: Path, package: str, gpus: list[str], fine: bool
) -> None:
    tools = {"driver": {"apt": [package], "driver": 580}}
    found = errors(overlay(tmp_path, tools, gpus=gpus))
    assert [rule for rule, _ in found] == ([] if fine else ["gpu-driver"])


def test_what_goes_with_the_driver_is_of_its_version(tmp_path: Path) -> None:
    assert errors(overlay(tmp_path / "same", driver_tools("nvidia-open-580", 580, 580))) == []
    assert errors(overlay(tmp_path / "other", driver_tools("nvidia-open-580", 580, 590))) == [
        ("one-driver", "nvidia-driver is 580, manager is 590")
    ]
    mine = overlay(tmp_path / "locked", driver_tools("nvidia-open-580", 580, 580))

    def judged(driver: str, manager: str) -> list[tuple[str, str]]:
        lock = locked(mine, {"base": {}, "env-pytorch": {"torch": "2.13.0+cu130"}, "system": {}})
        tools = ("nvidia-driver", "manager")
        pins = [("nvidia-open-580", driver), ("nvidia-fabricmanager", manager)]
        (system,) = (section for section in lock.sections if section.id == "system")
        system = system.model_copy(
            update={
                "tools": tools,
                "pins": tuple(
                    Pin(name=name, version=version, file="f", size=1, sha256="0" * 64, registry="debian")
                    for name, version in pins
                ),
            }
        )
        sections = tuple(section for section in lock.sections if section.id != "system")
        return errors(mine, lock.model_copy(update={"sections": (*sections, system)}))

    assert judged("580.105.08-0ubuntu1", "1:580.105.08-1") == []
    assert judged("580.105.08-0ubuntu1", "580.95.05-1") == [
        ("one-driver", "nvidia-driver is 580.105.08, manager is 580.95.05")
    ]
    assert [rule for rule, _ in judged("550.163.01-2", "550.163.01-2")] == ["driver", "one-driver", "one-driver"]


def test_the_project_s_own_drivers_are_judged_whichever_source_is_taken() -> None:
    """The distributions' own of Debian are too old for what this project brings, and Ubuntu's is not."""
    catalog = catalogs.load()
    tool, torch = catalog.tools["nvidia-driver"], catalog.tools["pytorch"]
    verdicts = {}
    for source in tool.sources:
        for base in source.when.base:
            one = tool.model_copy(update={"sources": (source,)})
            variant = catalog.variants["gpu-debian"].model_copy(
                update={"base": base, "formats": ("qcow2",), "tools": ("pytorch", "nvidia-driver"), "gpus": ("h100",)}
            )
            here = dataclasses.replace(catalog, tools={"nvidia-driver": one, "pytorch": torch})
            wrong = compat.violations(compat.examine(compat.make_scene(here, variant, today=TODAY)))
            verdicts[base, str(source.repository)] = [finding.rule for finding in wrong]
    assert verdicts == {
        ("debian-12", "nvidia-cuda"): [], ("debian-13", "nvidia-cuda"): [], ("ubuntu-24.04", "nvidia-cuda"): [],
        ("debian-12", "debian-non-free"): ["driver"], ("debian-13", "debian-non-free"): ["driver"],
        ("ubuntu-24.04", "ubuntu-restricted"): [],
    }  # fmt: skip


def test_a_package_made_for_other_distributions_is_a_warning(tmp_path: Path) -> None:
    tools = {"rstudio": {"apt": [{"deb": "https://x.test/r.deb", "package": "rstudio-server"}]}}
    debian = found(overlay(tmp_path / "debian", tools))
    assert level(debian, "distribution") == ["warning"]
    assert any("rstudio-server is made for ubuntu 22.04, 24.04, base 'new' is debian 13" in one.what for one in debian)
    assert level(found(overlay(tmp_path / "ubuntu", tools, base="ubuntu-24.04")), "distribution") == ["ok"]


def test_what_is_not_said_is_not_checked_and_never_ok(tmp_path: Path) -> None:
    findings = found(overlay(tmp_path, {"pytorch": TORCH}))
    assert level(findings, "driver") == level(findings, "gpu-architecture") == ["not checked"]
    assert any("this image needs 580 or newer" in one.what for one in findings)


@pytest.mark.parametrize(("text", "fine"), [
    ("jax", True), ("jax >= 0.10", True), ("jax < 0.11", True), ("jax >= 0.11", False), ("jax == 0.12.0.1", False),
    ("jax === 0.12.0", True), ("jax ~= 0.4.0", True),
])  # fmt: skip
def test_a_range_is_refused_only_when_none_of_its_versions_has_the_python(
    tmp_path: Path, text: str, fine: bool
) -> None:
    mine = overlay(tmp_path, {"jax": {"pypi": [text]}}, base="debian-12")
    assert [rule for rule, _ in errors(mine)] == ([] if fine else ["python"])


def test_the_python_at_hand_narrows_the_cuda_builds(tmp_path: Path) -> None:
    """On Python 3.11 there is only XGBoost 3.2, which has CUDA 12."""
    tools = {"xgboost": {"pypi": ["xgboost"], "cuda": "13"}}
    assert [rule for rule, _ in errors(overlay(tmp_path / "old", tools, base="debian-12"))] == ["framework-cuda"]
    assert errors(overlay(tmp_path / "new", tools)) == []


@pytest.mark.parametrize(("source", "expected"), [
    ({"pypi": ["tensorflow"], "cuda": "13.0"}, "error"),
    ({"pypi": ["torch == 2.13.*"], "cuda": "12.8"}, "warning"),
    ({"pypi": ["torch == 2.13.*"], "cuda": "12.6"}, "ok"),
    ({"pypi": ["torch == 2.9.*"], "cuda": "13.0"}, "not checked"),
])  # fmt: skip
def test_a_promise_is_compared_with_the_builds_that_exist(
    tmp_path: Path, source: dict[str, Any], expected: str
) -> None:
    findings = found(overlay(tmp_path, {"tool": source}))
    assert level(findings, "framework-cuda") == [expected]


def test_without_promises_the_rows_tell_what_would_meet_in_an_environment(tmp_path: Path) -> None:
    tools: dict[str, dict[str, Any]] = {
        "pytorch": {"pypi": ["torch >= 2.15"], "env": "deep"},
        "tensorflow": {"pypi": ["tensorflow"], "env": "deep"},
    }
    assert [rule for rule, _ in errors(overlay(tmp_path / "any", tools))] == ["one-cuda"]
    # no row knows what a TensorFlow before 2.16 carries
    tools["tensorflow"]["pypi"] = ["tensorflow < 2.16"]
    assert errors(overlay(tmp_path / "old", tools)) == []
    tools["pytorch"]["pypi"] = ["torch ~= 2.8.0"]
    tools["tensorflow"]["pypi"] = ["tensorflow >= 2.20"]
    assert errors(overlay(tmp_path / "both", tools)) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"pypi": ["torch == 2.13.0+cu130"]}, True),
        ({"pypi": ["torch == 2.13.0+cu126"]}, False),
        ({"pypi": ["torch"], "index": "special"}, True),
        ({"pypi": ["cupy-cuda13x"]}, True),
        ({"pypi": ["cupy-cuda12x"]}, False),
        ({"pypi": ["nvidia-cuda-nvcc ~= 13.0"]}, True),
        ({"pypi": ["nvidia-cuda-nvcc < 13"]}, False),
        ({"pypi": ["nvidia-cuda-nvcc >= 12"]}, False),
        ({"pypi": ["nvidia-cuda-nvcc"]}, False),
        ({"apt": ["g++", "cuda-toolkit-13-0"]}, True),
        ({"apt": ["libcudnn9-cuda-13"]}, True),
        ({"apt": ["cuda-libraries-12-9"]}, False),
        ({"apt": ["cuda-compat-13-0"]}, False),
    ],
)
def test_labels_names_and_numbers_tell_cuda_without_a_promise(
    tmp_path: Path, source: Mapping[str, Any], told: bool
) -> None:
    mine = overlay(tmp_path, {"tool": source}, driver="550")
    index = {"index": "special", "url": "https://example.invalid", "packages": ["torch"], "local": "cu130"}
    write(mine / "indexes/special.yaml", index)
    assert [rule for rule, _ in errors(mine)] == (["driver"] if told else [])


@pytest.mark.parametrize(
    "packages", [["nvidia-driver-550"], ["nvidia-headless-550-server", "nvidia-utils-550-server"], ["cuda-drivers-550"]]
)
def test_the_driver_may_be_the_image_s_own(tmp_path: Path, packages: list[str]) -> None:
    tools: dict[str, Mapping[str, Any]] = {"pytorch": TORCH, "driver": {"apt": packages}}
    assert [rule for rule, _ in errors(overlay(tmp_path / "old", tools))] == ["driver"]
    said = errors(overlay(tmp_path / "said", tools, driver="580"))
    assert said == [("driver", "CUDA 13 needs driver 580 or newer, and the image brings 550: pytorch with CUDA 13.0")]
    tools["driver"] = {"apt": [name.replace("550", "580") for name in packages]}
    assert errors(overlay(tmp_path / "new", tools)) == []


def test_an_extra_brings_cuda_or_its_absence_does_not(tmp_path: Path) -> None:
    tools: dict[str, dict[str, Any]]
    tools = {"pytorch": {**TORCH, "env": "deep"}, "jax": {"pypi": ["jax >= 0.12"], "env": "deep"}}
    assert errors(overlay(tmp_path / "none", tools)) == []
    tools["jax"] = {"pypi": ["jax[cuda12] >= 0.12"], "env": "deep"}
    assert [rule for rule, _ in errors(overlay(tmp_path / "some", tools))] == ["one-cuda"]


def test_cudnn_must_be_one_that_the_framework_accepts(tmp_path: Path) -> None:
    def with_cudnn(text: str) -> list[str]:
        tools = {"tensorflow": {"pypi": ["tensorflow ~= 2.20", f"nvidia-cudnn-cu12 {text}"], "cuda": "12"}}
        return [rule for rule, _ in errors(overlay(tmp_path / text, tools))]

    assert with_cudnn("== 8.9.*") == ["cudnn"]
    assert with_cudnn("~= 9.10") == []
    mine = overlay(tmp_path / "locked", {"tensorflow": TENSORFLOW})
    pins = {"tensorflow": "2.21.0", "nvidia-cuda-runtime-cu12": "12.9.79"}
    assert errors(mine, locked(mine, {"env-tensorflow": {**pins, "nvidia-cudnn-cu12": "9.14.0.64"}})) == []
    old = locked(mine, {"env-tensorflow": {**pins, "nvidia-cudnn-cu12": "9.1.0.70"}})
    assert [rule for rule, _ in errors(mine, old)] == ["cudnn"]


def test_a_tool_with_a_prefix_of_its_own_is_no_part_of_the_system(tmp_path: Path) -> None:
    source = {"url": [{"url": "https://example.invalid/a.tgz", "version": "1", "to": "/opt/cutool"}], "cuda": "13.0"}
    mine = overlay(tmp_path, {"cutool": source, "tensorflow": TENSORFLOW}, driver="570")
    assert [rule for rule, _ in errors(mine)] == ["driver"]
    assert level(found(mine), "toolkit") == []
    held = {"cuda-version": "13.0", "libnccl-cu12": "2.27"}
    assert [rule for rule, _ in errors(mine, locked(mine, {"cutool-url": held}), driver="580")] == ["one-cuda"]


def test_a_compiler_of_another_major_version_is_a_warning(tmp_path: Path) -> None:
    toolkit = {"apt": ["cuda-toolkit-13-0"], "cuda": "13.0"}
    mine = overlay(tmp_path / "a", {"cuda-toolkit": toolkit, "tensorflow": TENSORFLOW, "pytorch": TORCH})
    (finding,) = [one for one in found(mine) if one.rule == "toolkit"]
    assert (finding.level, "tensorflow CUDA 12" in finding.what, "pytorch" in finding.what) == ("warning", True, False)
    inside = overlay(tmp_path / "c", {"nvcc": {"pypi": ["cuda-toolkit[nvcc]"], "cuda": "13"}, "tensorflow": TENSORFLOW})
    assert level(found(inside), "toolkit") == ["warning"], "also where it is a wheel"
    same = overlay(tmp_path / "b", {"cuda-toolkit": toolkit, "pytorch": TORCH})
    assert level(found(same), "toolkit") == ["ok"]


def test_a_repository_of_another_distribution_is_refused(tmp_path: Path) -> None:
    def using(name: str) -> list[str]:
        url = f"https://developer.download.nvidia.com/compute/cuda/repos/{name}/x86_64/cuda.tgz"
        source = {"url": [{"url": url, "version": "1", "sha256": "0" * 64, "to": "/opt/cuda"}]}
        mine = overlay(tmp_path / name, {"cutool": source})
        other = {"path": "cuda/repos/other13", "os": "other", "release": "13", "source": "jax", "date": TODAY}
        write(mine / "compat.yaml", PATIENT | {"repositories": [other]})
        return [rule for rule, _ in errors(mine)]

    assert using("debian13") == []
    assert using("ubuntu2404") == ["repository"]
    assert using("other13") == ["repository"], "a release of the same number"
    assert using("somewhere-else") == []


def test_an_image_for_cpus_has_no_cuda(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": {"pypi": ["torch"]}}, accelerator="cpu")
    assert errors(mine) == []
    clean = {"env-pytorch": {"torch": "2.13.0+cpu"}, "system": {"git": "1"}}
    assert errors(mine, locked(mine, clean)) == []
    for pins in ({"nvidia-nccl-cu12": "2"}, {"torch": "2.13.0+cu130"}, {"nvidia-cuda-runtime": "13.0.96"}):
        assert [rule for rule, _ in errors(mine, locked(mine, {"env-pytorch": pins}))] == ["cpu-image"]
    assert [rule for rule, _ in errors(mine, locked(mine, {"system": {"libcudart12": "12"}}))] == ["cpu-image"]


def test_every_variant_of_the_project_fits(tmp_path: Path) -> None:
    ours = catalogs.load()
    for variant in ours.variants.values():
        for lock in (None, locks.find(ours, variant.variant)):
            assert compat.violations(compat.examine(compat.make_scene(ours, variant, lock, today=TODAY))) == []


# --- after locking -----------------------------------------------------------------------------------------


def test_exact_pins_tell_what_is_really_there(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": TORCH}, driver="570", gpus=["v100"])
    assert {rule for rule, _ in errors(mine)} == {"driver", "gpu-architecture"}
    old = locked(mine, {"env-pytorch": {"torch": "2.13.0+cu126", "nvidia-cuda-runtime-cu12": "12.6.77"}})
    assert [rule for rule, _ in errors(mine, old)] == ["promise"], "it runs there, but is not what the tool promises"
    new = locked(mine, {"env-pytorch": {"torch": "2.15.0", "nvidia-cuda-runtime": "13.2.51"}})
    findings = found(mine, new)
    assert {one.rule for one in compat.violations(findings)} == {"driver", "gpu-architecture"}
    assert level(findings, "promise") == ["warning"], "13.2 for 13.0"


def test_a_package_that_asks_for_its_own_minor_version_of_cuda_is_refused_beside_another(tmp_path: Path) -> None:
    """As torchaudio 2.11 does, which no metadata of it or of torch says."""
    mine = overlay(tmp_path, {"torchaudio": {"pypi": ["torchaudio", "torch ~= 2.13"]}})
    pins = {"torch": "2.14.1", "torchaudio": "2.11.0", "nvidia-cuda-runtime": "13.0.96"}
    assert errors(mine, locked(mine, {"env-torchaudio": pins})) == []
    newer = locked(mine, {"env-torchaudio": {**pins, "torch": "2.15.0", "nvidia-cuda-runtime": "13.2.86"}})
    (finding,) = compat.violations(found(mine, newer))
    assert finding.rule == "framework-cuda"
    assert "torchaudio ==2.11.0 has CUDA 13.2, and is built for CUDA 13.0" in finding.what
    assert finding.remedy == "narrow what brings CUDA 13.2 beside it to versions for CUDA 13.0"


def test_cuda_that_nobody_asked_for_needs_its_driver_too(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"other": {"pypi": ["other"], "apt": ["other"]}}, driver="550", gpus=["v100"])
    assert errors(mine) == []
    wheels = locked(mine, {"env-other": {"other": "1.0", "nvidia-cuda-runtime": "13.0.48", "nvidia-nccl-cu13": "2.28"}})
    assert {rule for rule, _ in errors(mine, wheels)} == {"driver", "gpu-architecture"}
    assert "nvidia-cuda-runtime in env-other with CUDA 13.0" in errors(mine, wheels)[0][1]
    system = locked(mine, {"env-other": {"other": "1.0"}, "system": {"libcublas-13-0": "13.0.2", "other": "1.0"}})
    assert any("libcublas-13-0 in system with CUDA 13.0" in what for rule, what in errors(mine, system))
    debian = {"nvidia-cuda-toolkit": "12.4.131~12.4.1-2", "nvidia-driver": "510.85.02-1"}
    ours = overlay(tmp_path / "ours", {"other": {"apt": ["nvidia-cuda-toolkit"]}})
    (fault,) = errors(ours, locked(ours, {"system": debian}))
    assert fault[0] == "driver"
    assert "CUDA 12 needs driver 525 or newer, and the image brings 510: nvidia-cuda-toolkit in system" in fault[1]


def test_a_framework_that_another_package_brought_is_judged_too(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"tensorflow": TENSORFLOW})
    pins = {"tensorflow": "2.21.0", "torch": "2.15.0", "nvidia-cuda-runtime": "13.2.51", "nvidia-nccl-cu13": "2.28.3"}
    findings = compat.violations(found(mine, locked(mine, {"env-tensorflow": pins})))
    assert {one.rule for one in findings} == {"framework-cuda", "promise"}
    assert any("tensorflow ==2.21.0 has CUDA 13.2, and is built for CUDA 12" in one.what for one in findings)


def test_a_cpu_build_where_cuda_was_promised_is_refused(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": TORCH, "jax": {"pypi": ["jax[cuda13]"], "cuda": "13"}})
    lock = locked(mine, {"env-pytorch": {"torch": "2.13.0+cpu"}, "env-jax": {"jax": "0.12.0.1", "jaxlib": "0.12.0.1"}})
    assert [rule for rule, _ in errors(mine, lock)] == ["promise", "promise"]
    plugin = {"jax": "0.12.0.1", "jax-cuda13-plugin": "0.12.0.1"}
    lock = locked(mine, {"env-pytorch": {"torch": "2.13.0+cu130"}, "env-jax": plugin})
    assert errors(mine, lock) == []


# what the solver gave for each on 2026-11-22, without what has nothing to do with CUDA
RESOLVED: Mapping[str, tuple[Mapping[str, str], compat.Cuda]] = {
    "torch": (
        {
            "cuda-bindings": "13.5.0", "cuda-toolkit": "13.2.2", "nvidia-cublas": "13.4.1.3",
            "nvidia-cuda-nvrtc": "13.2.86", "nvidia-cuda-runtime": "13.2.86", "nvidia-cudnn-cu13": "9.26.0.51",
            "nvidia-cufft": "12.2.0.57", "nvidia-cusolver": "12.2.0.11", "nvidia-nccl-cu13": "2.30.7",
            "nvidia-nvjitlink": "13.5.37", "torch": "2.15.0",
        },
        (13, 2),
    ),
    "tensorflow": (
        {
            "nvidia-cublas-cu12": "12.9.3.13", "nvidia-cuda-nvcc-cu12": "12.9.86",
            "nvidia-cuda-runtime-cu12": "12.9.79", "nvidia-cudnn-cu12": "9.28.0.42", "nvidia-nccl-cu12": "2.32.3",
            "tensorflow": "2.21.0",
        },
        (12, 9),
    ),
    "jax": (
        {
            "jax": "0.12.0.1", "jax-cuda13-pjrt": "0.12.0.1", "jax-cuda13-plugin": "0.12.0.1",
            "nvidia-cuda-nvcc": "13.5.37", "nvidia-cuda-runtime": "13.5.37", "nvidia-cudnn-cu13": "9.28.1.4",
            "nvidia-cufft": "12.5.0.14",
        },
        (13,),
    ),
    "xgboost": ({"nvidia-nccl-cu13": "2.32.3", "xgboost": "3.4.1"}, (13,)),
}  # fmt: skip


@pytest.mark.parametrize("package", RESOLVED)
def test_what_solvers_really_give_is_understood(package: str, tmp_path: Path) -> None:
    pins, cuda = RESOLVED[package]
    mine = overlay(tmp_path, {package: {"pypi": [package], "cuda": ".".join(map(str, cuda))}}, gpus=["h100"])
    lock = locked(mine, {f"env-{package}": pins})
    assert errors(mine, lock, driver="580") == []
    ours = load(mine)
    (part,) = compat.make_scene(ours, ours.variant("mine"), lock).parts
    assert part.cuda == frozenset({cuda})
    assert [rule for rule, _ in errors(mine, lock, driver="570")] == (["driver"] if cuda[0] == 13 else [])


@given(st.integers(10, 99), st.integers(0, 9), st.sampled_from(["torch", "nvidia_nccl", "Some.Thing"]))
def test_names_numbers_and_labels_tell_a_package_s_cuda(major: int, minor: int, name: str) -> None:
    def of(name: str, version: str) -> list[compat.Cuda]:
        pin = Pin(name=name, version=version, file="f", size=1, sha256="0" * 64, registry="pypi")
        return [*compat.marks([pin]).values()]

    assert of(name, f"1.2.3+cu{major}{minor}") == [(major, minor)]
    assert of(f"{name}-cu{major}", "2.27.5") == [(major,)]
    assert of(f"nvidia-cuda-runtime-cu{major}", f"{major}.{minor}.77") == [(major, minor)]
    assert of("nvidia-cuda-runtime", f"{major}.{minor}.77") == [(major, minor)]
    assert of(f"jax-cuda{major}-plugin", "0.12") == [(major,)]
    assert of(name, f"{major}.{minor}") == of(name, f"{major}.{minor}+cpu") == []


# --- rows --------------------------------------------------------------------------------------------------

NUMBERS = st.integers(0, 12)


@given(
    st.dictionaries(NUMBERS, st.one_of(st.none(), st.integers(1, 4)), min_size=1, max_size=5),
    st.tuples(st.integers(0, 14), st.integers(0, 3)),
)
def test_a_version_has_the_row_that_speaks_for_it(starts: dict[int, int | None], number: tuple[int, int]) -> None:
    """Against the same thing said one version at a time."""
    rows = [
        FrameworkRow(
            package="p", since=f"{since}.1", before=f"{since + more}.0" if more else None, source="s", date=TODAY
        )
        for since, more in starts.items()
    ]
    version = Version(f"{number[0]}.{number[1]}")
    at_or_before = [row for row in rows if Version(row.since) <= version]
    expected = max(at_or_before, key=lambda row: Version(row.since), default=None)
    if expected and expected.before and version >= Version(expected.before):
        expected = None
    got = Tables(Compat(frameworks=tuple(rows))).find("p", SpecifierSet(f"=={version}"))
    assert got == (expected,)


def test_every_row_of_the_project_has_a_known_source_and_a_date() -> None:
    rows = catalogs.load().compat
    members = [row for table in rows.tables.values() for row in table]
    assert len(members) > 50
    assert {row.source for row in members} == set(rows.sources)
    assert all(row.date <= date.today() for row in members)


def test_faults_in_rows_have_file_and_line_all_at_once(tmp_path: Path) -> None:
    overlay(tmp_path, {"pytorch": TORCH}, gpus=["v1000"])
    path = tmp_path / "compat.yaml"
    path.write_text(
        "gpus:\n"
        "  - {gpu: x1, sm: 75, source: nvidia-gpu, date: 2026-01-01}\n"
        "  - {gpu: x1, sm: 80, source: nvidia-gpus, date: 2026-01-01}\n"
    )
    with pytest.raises(InputError) as caught:
        catalogs.load([tmp_path])
    assert set(caught.value.faults) >= {
        f"{path}:2: unknown source 'nvidia-gpu' (did you mean 'nvidia-gpus'?)",
        f"{path}:3: gpus: a row for x1 stands above already",
    }
    assert any("unknown GPU 'v1000' (did you mean 'v100'?)" in fault for fault in caught.value.faults)
    path.write_text(
        "cuda:\n"
        "  - {cuda: 14, driver: 600, sm: 80, source: nvidia-gpus}\n"
        "frameworks:\n"
        "  - {package: p, since: new, source: jax, date: 2026-01-01}\n"
        "  - {package: p, since: '1', phyton: '>= 3', source: jax, date: 2026-01-01}\n"
        "  - {package: p, since: '2', python: 'three', source: jax, date: 2026-01-01}\n"
    )
    with pytest.raises(InputError) as caught:
        catalogs.load([tmp_path])
    for fault in (
        f"{path}:2: key 'date' is missing",
        f"{path}:4: 'new' is no version",
        f"{path}:5: unknown key 'phyton' (did you mean 'python'?)",
        f"{path}:6: 'three' is no range of versions, such as '>= 3.10, < 3.14'",
    ):
        assert fault in caught.value.faults


def test_a_folder_of_one_s_own_adds_rows_and_replaces_them(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": TORCH}, gpus=["v100", "mine1"])
    rows = {
        "sources": {"house": "our own measurements"},
        "gpus": [{"gpu": "mine1", "sm": 90, "source": "house", "date": TODAY}],
        "builds": [{"package": "torch", "cuda": "13.0", "sm": [70, 120], "source": "house", "date": TODAY}],
    }
    write(mine / "compat.yaml", PATIENT | rows)
    assert errors(mine) == []
    assert len(load(mine).compat.builds) == len(catalogs.load().compat.builds)


# --- dates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("today", "expected"), [
    (date(2027, 12, 31), "ok"), (date(2028, 2, 20), "warning"), (date(2029, 8, 4), "warning"),
    (date(2030, 8, 4), "warning"), (date(2030, 8, 5), "error"),
])  # fmt: skip
def test_an_end_is_near_past_and_at_last_too_long_ago(tmp_path: Path, today: date, expected: str) -> None:
    """Driver 580 ends 2028-08-04; 180 days before that is near, and 730 days of grace follow it."""
    mine = overlay(tmp_path, {"pytorch": TORCH}, driver="580")
    (mine / "compat.yaml").unlink()
    driver = [one for one in found(mine, today=today) if one.what.startswith("nvidia-driver 580")]
    assert [one.level for one in driver] == [expected]


def test_dates_alone_are_the_policy_s_and_contradictions_the_input_s(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": TORCH}, driver="580")
    (mine / "compat.yaml").unlink()
    late = found(mine, today=date(2040, 1, 1))
    with pytest.raises(
        PolicyError, match=r"mine: rule end-of-life: nvidia-driver 580: support ended 2028-08-04"
    ) as caught:
        compat.refuse("mine", late)
    assert caught.value.exit_code == 7
    assert "policy.grace.nvidia-driver" in caught.value.message
    with pytest.raises(InputError):
        compat.refuse("mine", [*late, Finding("driver", "error", "too old")])


def test_warnings_are_said_once_and_stop_nothing(tmp_path: Path) -> None:
    mine = overlay(tmp_path, {"pytorch": TORCH}, driver="550")
    said: list[str] = []
    shop = pipeline.Workshop(overlays=[mine], say=said.append, driver="550", gpus=[])
    for _ in range(2):
        with pytest.raises(InputError, match="rule driver"):
            pipeline.gate(shop, "mine")
    assert [line for line in said if "nvidia-driver 550: support ended 2025-04-17" in line] == [
        "warning: end-of-life: nvidia-driver 550: support ended 2025-04-17"
    ]


# --- how it works ------------------------------------------------------------------------------------------


def many(folder: Path, number: int) -> Catalog:
    tools = {f"tool{n}": {"pypi": ["torch ~= 2.13"], "cuda": "13.0", "env": f"env{n}"} for n in range(number)}
    return load(overlay(folder, tools, driver="580", gpus=["h100", "b200"]))


def test_the_work_grows_with_the_tools_and_no_faster(tmp_path: Path) -> None:
    def calls(number: int) -> int:
        ours = many(tmp_path / str(number), number)
        count = 0

        def one(frame: object, event: str, arg: object) -> None:
            nonlocal count
            count += event == "call"

        compat.examine(compat.make_scene(ours, ours.variant("mine"), today=TODAY))  # what is cached is cached
        sys.setprofile(one)
        try:
            compat.examine(compat.make_scene(ours, ours.variant("mine"), today=TODAY))
        finally:
            sys.setprofile(None)
        return count

    small, large = calls(20), calls(80)
    assert small > 100
    assert large < 6 * small


def test_judging_reads_nothing(tmp_path: Path) -> None:
    """No file, no socket, no program: in a process of its own, since an audit hook stays for good."""
    overlay(tmp_path, {"pytorch": TORCH}, driver="550", gpus=["v100"])
    program = """
import sys, json
from pathlib import Path
from dsvm import catalog, compat
ours = catalog.load([Path(sys.argv[1])])
seen = []
sys.addaudithook(lambda event, args: seen.append([event, str(args[0]) if args else ""]))
found = compat.examine(compat.make_scene(ours, ours.variant("mine")))
busy = [one for one in seen if one[0].split(".")[0] in ("open", "socket", "subprocess", "os")]
# a module that is imported late is no input
busy = [[event, what] for event, what in busy if not what.endswith((".py", ".pyc")) and event != "os.listdir"]
print(json.dumps([len(compat.violations(found)), busy]))
"""
    words = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [2, []]
