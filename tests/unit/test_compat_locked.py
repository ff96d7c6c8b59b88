"""The gate after locking: exact pins tell what is really there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from compat_world import (
    TENSORFLOW,
    TORCH,
    errors,
    found,
    level,
    load,
    locked,
    overlay,
)
from hypothesis import given
from hypothesis import strategies as st

from dsvm import gate as compat
from dsvm.gate.cuda import Cuda, marks
from dsvm.model import Pin


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
RESOLVED: Mapping[str, tuple[Mapping[str, str], Cuda]] = {
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
    def of(name: str, version: str) -> list[Cuda]:
        pin = Pin(name=name, version=version, file="f", size=1, sha256="0" * 64, registry="pypi")
        return [*marks([pin]).values()]

    assert of(name, f"1.2.3+cu{major}{minor}") == [(major, minor)]
    assert of(f"{name}-cu{major}", "2.27.5") == [(major,)]
    assert of(f"nvidia-cuda-runtime-cu{major}", f"{major}.{minor}.77") == [(major, minor)]
    assert of("nvidia-cuda-runtime", f"{major}.{minor}.77") == [(major, minor)]
    assert of(f"jax-cuda{major}-plugin", "0.12") == [(major,)]
    assert of(name, f"{major}.{minor}") == of(name, f"{major}.{minor}+cpu") == []


def test_cuda_that_lies_in_the_image_in_several_versions_is_said_with_who_has_it(tmp_path: Path) -> None:
    cudnn = {"pypi": ["nvidia-cudnn-cu13"], "cuda": "13"}
    mine = overlay(tmp_path, {"pytorch": TORCH, "jax": {"pypi": ["jax[cuda13]"], "cuda": "13"}, "cudnn": cudnn})

    def said(*, size: int, **cudnns: str) -> list[tuple[str, str]]:
        lock = locked(mine, {f"env-{env}": {"nvidia-cudnn-cu13": version} for env, version in cudnns.items()})
        sections = [
            one.model_copy(update={"pins": tuple(pin.model_copy(update={"size": size}) for pin in one.pins)})
            for one in lock.sections
        ]
        findings = found(mine, lock.model_copy(update={"sections": tuple(sections)}))
        return [(one.level, f"{one.what}; {one.why}") for one in findings if one.rule == "shared-cuda"]

    ((level, text),) = said(size=500_000_000, pytorch="9.24.0.43", jax="9.24.0.43", cudnn="9.28.1.4")
    assert level == "warning"
    assert text.startswith("libraries of CUDA in several versions, 500 MB more than one of each: nvidia-cudnn-cu13 ")
    assert "9.24.0.43 in env-jax, env-pytorch" in text and "9.28.1.4 in env-cudnn" in text
    assert "cudnn asks for nvidia-cudnn-cu13 by name" in text
    # a few megabytes are nobody's concern, and one version is as it should be
    assert [level for level, _ in said(size=2_000_000, pytorch="9.24.0.43", cudnn="9.28.1.4")] == ["ok"]
    assert [level for level, _ in said(size=500_000_000, pytorch="9.28.1.4", cudnn="9.28.1.4")] == ["ok"]
    assert found(mine) and not [one for one in found(mine) if one.rule == "shared-cuda"], "without a lock nobody knows"
