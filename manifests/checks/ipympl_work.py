"""a notebook with %matplotlib widget shows a canvas that JupyterLab draws."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    code = "%matplotlib widget\nimport matplotlib.pyplot as plt\nfigure = plt.figure()\nplt.plot([1, 2])\nfigure.canvas"
    notebook = new_notebook(cells=[new_code_cell(code)])
    client = NotebookClient(notebook, timeout=200, kernel_name="python3", store_widget_state=True)
    client.execute()
    states = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    models = [one["model_name"] for one in states]
    if "MPLCanvasModel" not in models:
        raise AssertionError(f"widgets {models}")
    return {"widgets": len(models)}


if __name__ == "__main__":
    run_check(__file__, check)
