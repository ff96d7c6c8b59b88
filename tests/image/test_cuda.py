"""No CUDA in an image for the CPU, and one in each environment of an image for the GPU. Needs no GPU."""

from __future__ import annotations

from collections import Counter

from dsvm.checks.planned import Case
from image.harness import Image, fail

# Triton's profiler brings CUPTI of its own, for two generations of drivers, in folders that nothing else reads.
OWN_COPIES = {"libcupti"}


def test_no_cuda(case: Case, image: Image) -> None:
    found = image.probe("cuda_libraries.py", "/", timeout=300)
    if found:
        fail(f"{len(found)} CUDA libraries in an image for the CPU:", "\n".join(sorted(found)))


def test_one_cuda(case: Case, image: Image) -> None:
    place, python = f"/opt/envs/{case.env}", f"/opt/envs/{case.env}/bin/python"
    found = image.probe("cuda_libraries.py", place, timeout=300)
    if not found:
        fail(f"no CUDA library below {place}")
    twice = [name for name, count in Counter(found.values()).items() if count > 1 and name not in OWN_COPIES]
    if twice:
        paths = sorted(path for path, name in found.items() if name in twice)
        fail(f"{', '.join(sorted(twice))}: more than one copy in {place}:", "\n".join(paths))
    faults = image.probe("cuda_libraries.py", "--load", place, python=python, timeout=300)
    if faults:
        fail(f"{len(faults)} CUDA libraries do not load:", "\n".join(f"{path}: {why}" for path, why in faults.items()))
