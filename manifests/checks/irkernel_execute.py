"""Jupyter runs a notebook in R: a result, a table and a plot come back."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    cells = ["x <- 6; cat(x * 7)", "data.frame(town = 'Łódź', n = 1)", "plot(1:10)"]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="ir", timeout=600).execute()
    printed, table, plot = (cell.outputs[0] for cell in notebook.cells)
    if printed.text != "42":
        raise AssertionError(f"output {printed.text!r}")
    if "Łódź" not in table.data["text/html"]:
        raise AssertionError(f"table {table.data}")
    if not (len(plot.data["image/png"]) > 1000):
        raise AssertionError("no plot")
    return {"output": printed.text, "kinds": sorted({*table.data, *plot.data})}


if __name__ == "__main__":
    run_check(__file__, check)
