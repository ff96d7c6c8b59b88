"""A slider shows in a notebook, obeys Python, and its state is kept with the notebook."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import jupyterlab_widgets
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    code = """
import ipywidgets
seen = []
slider = ipywidgets.IntSlider(value=3, max=10)
slider.observe(lambda change: seen.append(change.new), "value")
slider.value = 8
print(seen)
slider
"""
    notebook = NotebookClient(new_notebook(cells=[new_code_cell(code)]), kernel_name="python3", timeout=600).execute()
    printed, shown = notebook.cells[0].outputs
    if printed.text != "[8]\n":
        raise AssertionError(f"observed {printed.text!r}")
    view = shown.data["application/vnd.jupyter.widget-view+json"]["model_id"]
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    if state[view]["state"]["value"] != 8:
        raise AssertionError(f"state {state[view]}")
    extensions = [path["dest"] for path in jupyterlab_widgets._jupyter_labextension_paths()]
    return {"models": len(state), "labextension": extensions}


if __name__ == "__main__":
    run_check(__file__, check)
