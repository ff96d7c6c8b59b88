"""Every Jupyter kernel computes in a notebook, and there are no others."""

from __future__ import annotations

import json

from dsvm.checks.planned import Case, kernels
from dsvm.model import PLATFORMS, Plan
from image.harness import BASE_PYTHON, Image, fail

KERNELS = PLATFORMS["linux"].kernels
# A cell for each language; all of them compute 5050.
CELLS = {
    "python": "import ipykernel; print(sum(range(101)), ipykernel.__file__)",
    "r": "cat(sum(0:100))",
    "julia": "print(sum(0:100))",
}


def test_kernel(case: Case, image: Image) -> None:
    kernel = case.kernel
    assert kernel is not None
    cell = CELLS.get(kernel.language.lower())
    if cell is None:
        fail(f"no notebook cell for language '{kernel.language}': add one in {__file__}")
    printed = image.probe("notebook.py", kernel.name, cell, python=BASE_PYTHON, timeout=180)
    expected = f"5050 /opt/envs/{case.env}/lib/" if case.env else "5050"
    if not printed.startswith(expected) or (case.env is None and printed.strip() != expected):
        fail(f"the notebook printed {printed!r}, not {expected!r}")


def test_notebook(case: Case, plan: Plan, image: Image) -> None:
    notebook = next(tool.notebook for tool in plan.tools if tool.name == case.tool)
    assert notebook is not None
    planned = json.loads(plan.files[notebook.path].text or "")
    cells = sum(cell["cell_type"] == "code" for cell in planned["cells"])
    found = image.probe("run_notebook.py", notebook.path, python=BASE_PYTHON, timeout=300)
    if found["error"] or found["cells"] != cells:
        fail(f"{notebook.path}: {found['cells']} of {cells} cells ran", found["error"])


def test_kernelspecs(case: Case, plan: Plan, image: Image) -> None:
    planned = {kernel.name for _, kernel, _ in kernels(plan)}
    found = image.probe("kernelspecs.py", python=BASE_PYTHON)
    if found.keys() != planned:
        fail(f"missing: {sorted(planned - found.keys())}; not planned: {sorted(found.keys() - planned)}")
    others = [folder for name, folder in sorted(found.items()) if folder != f"{KERNELS}/{name}"]
    if others:
        fail(f"kernels of others come before ours: {', '.join(others)}")
