"""The GPU image, on a machine that may have no GPU: it is one, and it works without one.

Its 10 GB of artefacts and some 70 GB of disk keep it out of the ordinary run: scripts/test slow
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from workbench import ROOT, Done, Invoke, Silent, docker

from dsvm.container.verification import verify
from dsvm.host import find_engine
from dsvm.model import Plan

GPU = "gpu-debian"
pytestmark = pytest.mark.slow
SITE = "/opt/envs/{env}/lib/python3.13/site-packages"


@pytest.fixture(scope="session")
def gpu_debian(invoke: Invoke) -> Done:
    """The image, built and verified, or up to date."""
    return invoke("build", "--variant", GPU, "--update-stale").passed()


def test_every_check_that_needs_no_gpu_passes(gpu_debian: Done) -> None:
    report = json.loads((ROOT / "build" / GPU / "report.json").read_text())
    outcomes = {f"{one['tool']}: {one['check']}": (one["outcome"], one.get("output", "")) for one in report["results"]}
    assert {outcome for outcome, _ in outcomes.values()} <= {"passed", "not exercised"}
    on_gpu = {name: found for name, found in outcomes.items() if name.endswith("_cuda_train.py")}
    assert len(on_gpu) >= 3
    if not Path("/dev/nvidiactl").exists():
        assert set(on_gpu.values()) == {("not exercised", "no GPU")}
    built = [found for name, found in outcomes.items() if name.endswith("_cuda_build.py")]
    assert len(built) >= 3 and {outcome for outcome, _ in built} == {"passed"}


def test_a_cpu_build_and_a_second_cuda_are_found(gpu_debian: Done, tmp_path: Path) -> None:
    """A CPU wheel in a GPU image, a second copy of a library, one that does not load, a compiler that is a stub."""
    torch = SITE.format(env="pytorch")
    spoil = f"""
        set -eu
        sed -i 's/^cuda: .*/cuda = None/; s/^cuda = .*/cuda = None/' {torch}/torch/version.py
        cp {torch}/nvidia/cudnn/lib/libcudnn.so.9 {torch}/torch/lib/libcudnn.so.9.0
        truncate --size=100 "$(echo {torch}/nvidia/nccl/lib/libnccl.so.2)"
        printf '#!/bin/sh\\necho "release 13.2, V13.2.86"\\n' > /usr/local/bin/nvcc
        """
    (tmp_path / "spoil").write_text(textwrap.dedent(spoil))
    (tmp_path / "Dockerfile").write_text(
        f"FROM dsvm/{GPU}:latest\nUSER root\n"
        'RUN --mount=type=bind,target=/spoil ["/bin/sh", "/spoil/spoil"]\nUSER 1000:1000\n'
    )
    name = "dsvm-e2e/gpu:latest"
    docker("build", "--network=none", "--quiet", "--tag", name, tmp_path)
    try:
        plan = Plan.model_validate_json((ROOT / "build" / GPU / "plan.json").read_bytes())
        only = ("pytorch", "cuda-toolkit", "image")
        report = verify(plan, name, engine=find_engine(), folder=tmp_path, only=only, view=Silent())
        found = {f"{one.tool}: {one.check}" for one in report.results if one.outcome == "failed"}
        assert found >= {
            "cuda-toolkit: nvcc_compile.sh",
            "image: one CUDA in environment pytorch, and it loads",
            "pytorch: torch_cuda_build.py",
        }
        assert "image: one CUDA in environment cuda, and it loads" not in found
    finally:
        docker("image", "rm", "--force", name)
