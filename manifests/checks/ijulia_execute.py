"""Jupyter runs a notebook in Julia: a result comes back, functions live on in the next cell, and an error is one.

The kernel starts with what the image has compiled.
"""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbformat.v4 import new_code_cell, new_notebook

    def run(*cells: str) -> list[str]:
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        NotebookClient(notebook, kernel_name="julia", timeout=600).execute()
        return ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]

    printed = run('half(x) = x // 2\ntown = "Łódź"', 'print(town, " ", half(5), " ", VERSION)')[1]
    if not printed.startswith("Łódź 5//2 "):
        raise AssertionError(f"printed {printed!r}")
    (compiled,) = run(
        'print(isdir(joinpath(first(DEPOT_PATH), "compiled", "v$(VERSION.major).$(VERSION.minor)", "IJulia")))'
    )
    if compiled != "false":
        raise AssertionError("IJulia as the image compiled it was not taken: Julia compiled it again")
    try:
        run('error("on purpose")')
    except CellExecutionError as error:
        if "on purpose" not in str(error):
            raise AssertionError(f"another error: {error}") from error
    else:
        raise AssertionError("a cell with an error passed")
    return {"printed": printed}


if __name__ == "__main__":
    run_check(__file__, check)
