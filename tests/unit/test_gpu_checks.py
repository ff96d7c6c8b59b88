"""scripts/gpu-checks on machines of fake programs, and the checks that it runs with a stand-in for PyTorch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = ROOT / "manifests/checks"

# A PyTorch that computes nothing: losses fall, and LEAK (of each training) and KEPT (of the first) stay allocated
TORCH = """
import os, sys, types
KEPT, LEAK = (int(os.environ[name]) for name in ("KEPT", "LEAK"))
trainings, falling = 0, 1.0

class Thing:
    dtype = "half"
    def __getattr__(self, name): return self
    def __call__(self, *words, **named): return self
    def __enter__(self): return self
    def __exit__(self, *error): return None
    __getitem__ = __mul__ = __rmul__ = __sub__ = __gt__ = lambda self, other: self
    def item(self):
        global falling
        falling *= 0.9
        return falling

def scaler(device):
    global trainings, falling
    trainings, falling = trainings + 1, 1.0
    return Thing()

class Cuda(Thing):
    def is_available(self): return True
    def memory_allocated(self): return trainings * LEAK + KEPT * (trainings > 0)
    def max_memory_allocated(self): return KEPT
    def device_count(self): return 1
    def get_device_name(self): return "stand-in"
    def get_device_capability(self): return (9, 0)

float16 = "half"
cuda, nn = Cuda(), Thing()
amp = types.SimpleNamespace(GradScaler=scaler)
autocast = optim = rand = manual_seed = Thing()
"""


def train(folder: Path, *options: str, kept: int, leak: int) -> tuple[int, dict[str, object]]:
    (folder / "torch.py").write_text(TORCH)
    env = {**os.environ, "PYTHONPATH": str(folder), "KEPT": str(kept), "LEAK": str(leak)}
    argv = [sys.executable, *options, str(CHECKS / "torch_cuda_train.py")]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_what_cublas_keeps_on_hopper_is_no_leak(tmp_path: Path) -> None:
    code, said = train(tmp_path, kept=68_157_440, leak=0)
    assert (code, said["ok"]) == (0, True), said
    assert said["memory kept by libraries, bytes"] == 68_157_440


@pytest.mark.parametrize("options", [(), ("-O",), ("-OO",)])
def test_a_leak_is_found_whatever_python_is_told(tmp_path: Path, options: tuple[str, ...]) -> None:
    code, said = train(tmp_path, *options, kept=0, leak=2 << 20)
    assert code == 1
    assert "2097152 bytes more stay allocated" in str(said["reason"])


@pytest.mark.parametrize("path", sorted(CHECKS.rglob("*.py")), ids=lambda path: path.stem)
def test_no_check_rests_on_assert(path: Path) -> None:
    """Optimised away by -O or PYTHONOPTIMIZE, in the programs that a check starts too."""
    assert not re.search(r"(?m)^\s*assert\b|assert ", path.read_text())


# --- scripts/gpu-checks --------------------------------------------------------------------------------------

MACHINE = {
    "manifests/tools/arrays.yaml": """
tool: arrays
sources: [{when: {accelerator: gpu}, pypi: [arrays]}, {when: {accelerator: cpu}, pypi: [arrays]}]
checks:
  - version: arrays --version
  - script: checks/everywhere.py
  - {when: {accelerator: gpu}, script: checks/good.py}
  - {when: {accelerator: gpu}, script: checks/bad.py}
  - {when: {accelerator: gpu}, script: checks/absent.py}
  - {when: {accelerator: gpu}, script: checks/silent.py}
""",
    "manifests/tools/compiler.yaml": """
tool: compiler
sources: [{when: {accelerator: gpu}, pypi: [compiler]}]
checks: [{script: checks/compile.sh}, {script: checks/nothing.sh}]
""",
    "manifests/tools/driver.yaml": """
tool: driver
formats: [qcow2]
sources: [{when: {accelerator: gpu}, apt: [driver]}]
checks: [{script: checks/modules.sh}]
""",
    "manifests/checks/everywhere.py": "raise SystemExit('not a GPU check')",
    "manifests/checks/lib/__init__.py": "DEVICE = 'stand-in'",
    "manifests/checks/good.py": """import lib; print('noise\\n{"ok": true, "device": "%s"}' % lib.DEVICE)""",
    "manifests/checks/bad.py": """print('{"ok": false, "reason": "wrong sums"}'); raise SystemExit(1)""",
    "manifests/checks/absent.py": "import framework_that_is_not_here",
    "manifests/checks/silent.py": "",
    "manifests/checks/compile.sh": 'nvcc -lcudnn x.cu >seen; printf \'{"ok": true, "options": "%s"}\\n\' "$(cat seen)"',
    "manifests/checks/nothing.sh": 'printf \'{"reason": "no GPU"}\\n\'; exit 77',
    "manifests/checks/modules.sh": "exit 1",
}


def run(folder: Path, *words: str, nvcc: bool = True) -> subprocess.CompletedProcess[str]:
    for name, text in MACHINE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "scripts").mkdir(exist_ok=True)
    shutil.copy2(ROOT / "scripts/gpu-checks", folder / "scripts/gpu-checks")
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    if nvcc:
        (programs / "nvcc").write_text('#!/bin/sh\necho "$@"\n')
        (programs / "nvcc").chmod(0o755)
    (programs / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB, 580.159.04'\n")
    (programs / "nvidia-smi").chmod(0o755)
    wheel = folder / "site/nvidia/cudnn"
    (wheel / "include").mkdir(parents=True, exist_ok=True)
    (wheel / "lib").mkdir(exist_ok=True)
    (wheel / "lib/libcudnn.so.9").touch()
    env = {**os.environ, "PATH": f"{programs}:/usr/bin:/bin", "PYTHONPATH": str(folder / "site"), "PYTHONSAFEPATH": "1"}
    argv: list[str | Path] = [sys.executable, folder / "scripts/gpu-checks", *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


def test_every_gpu_check_is_tried_and_written_down(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", str(tmp_path / "result.json"))
    assert done.returncode == 1, "a check failed"
    said = json.loads((tmp_path / "result.json").read_text())
    assert said["gpus"] == ["NVIDIA H200, 143771 MiB, 580.159.04"]
    found = {one["check"]: (one["outcome"], one["said"]) for one in said["results"]}
    assert found.keys() == {"good", "bad", "absent", "silent", "compile", "nothing"}
    assert found["good"] == ("passed", '{"device": "stand-in"}')
    assert found["bad"] == ("failed", "wrong sums")
    assert found["absent"] == ("not exercised", "no module framework_that_is_not_here")
    assert found["silent"] == ("failed", "exit code 0"), "ended well and did nothing"
    assert found["nothing"] == ("not exercised", "no GPU")
    assert "2 passed, 2 failed, 2 not exercised" in done.stdout
    options = found["compile"][1]
    assert f"-I{tmp_path}/site/nvidia/cudnn/include" in options
    assert f"-rpath={tmp_path}/site/nvidia/cudnn/lib" in options


def test_without_a_compiler_its_checks_are_not_exercised(tmp_path: Path) -> None:
    done = run(tmp_path, "good", "nothing", nvcc=False)
    assert done.returncode == 0
    assert "1 passed, 0 failed, 1 not exercised" in done.stdout


def test_a_name_that_is_no_check(tmp_path: Path) -> None:
    done = run(tmp_path, "godo")
    assert done.returncode == 2
    assert "no GPU check named godo; there are good, bad" in done.stderr


def test_the_projects_own_list() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/gpu-checks", "nobody"], capture_output=True, text=True, check=False
    )
    for name in ("torch_cuda_train", "jax_cuda_train", "xgboost_cuda_train", "tensorflow_cuda_train", "nvidia_smi"):
        assert name in done.stderr
    assert "sklearn_classify" not in done.stderr
