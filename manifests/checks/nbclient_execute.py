"""nbclient runs a notebook, keeps its output and reports a cell that fails."""

from __future__ import annotations

import sys

from lib.outcome import run_check


def check() -> dict[str, object]:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbformat.v4 import new_code_cell, new_notebook

    def run(*cells: str) -> nbformat.NotebookNode:
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        return NotebookClient(notebook, kernel_name="python3", timeout=600).execute()

    done = run("import sys; x = 6", "print(x * 7)", "import ipykernel; ipykernel.__file__")
    text = done.cells[1].outputs[0].text
    if text != "42\n":
        raise AssertionError(f"output {text!r}")
    # its Python may be the user's own layer over this environment: what the kernel is made of is not
    place = done.cells[2].outputs[0].data["text/plain"].strip("'")
    if not place.startswith(f"{sys.prefix}/"):
        raise AssertionError(f"the kernel 'python3' is {place}, and not of {sys.prefix}")
    try:
        run("1 / 0")
    except CellExecutionError as error:
        if error.ename != "ZeroDivisionError":
            raise AssertionError(f"error {error.ename}") from error
        return {"output": text.strip(), "error": error.ename}
    raise AssertionError("a failing cell raised no error")


if __name__ == "__main__":
    run_check(__file__, check)
