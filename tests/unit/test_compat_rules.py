"""Each rule of the gate, from what manifests say: what may pass and what may not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from compat_world import (
    PATIENT,
    TENSORFLOW,
    TODAY,
    TORCH,
    TORCH_126,
    errors,
    found,
    level,
    locked,
    overlay,
    write,
)
from tiny import project

from dsvm import gate as compat
from dsvm import lock as locks
from dsvm.model import Pin


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
    catalog = project()
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
    assert level(findings, "driver") == level(findings, "gpu-architecture") == ["not_checked"]
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
    ({"pypi": ["torch == 2.9.*"], "cuda": "13.0"}, "not_checked"),
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
    ours = project()
    for variant in ours.variants.values():
        for lock in (None, locks.find(ours, variant.variant)):
            assert compat.violations(compat.examine(compat.make_scene(ours, variant, lock, today=TODAY))) == []
