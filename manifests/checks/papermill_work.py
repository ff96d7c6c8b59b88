"""papermill runs a notebook with another value of its parameter and keeps the outcome."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import nbformat
    import papermill as pm
    from nbformat.v4 import new_code_cell, new_notebook

    first = new_code_cell("n = 1", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[first, new_code_cell("print(n * 6)")], metadata=kernel), "in.ipynb")
    pm.execute_notebook("in.ipynb", "out.ipynb", parameters={"n": 7}, progress_bar=False)
    printed = nbformat.read("out.ipynb", 4).cells[-1].outputs[0].text
    if printed.strip() != "42":
        raise AssertionError(f"it printed {printed}")
    return {"printed": printed.strip()}


if __name__ == "__main__":
    run_check(__file__, check)
