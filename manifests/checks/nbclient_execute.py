"""nbclient runs a notebook, keeps its output and reports a cell that fails."""

from __future__ import annotations

import json
import sys


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
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "nbclient_execute", **result}))
    sys.exit(0 if result["ok"] else 1)
