"""jupytext writes a notebook as a script and Markdown and reads both back, and JupyterLab opens scripts by it."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import re
    import subprocess
    import sys

    import jupytext
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    notebook = new_notebook(cells=[new_markdown_cell("# Title"), new_code_cell("1 + 1")])
    for kind in ("py:percent", "md"):
        again = jupytext.reads(jupytext.writes(notebook, kind), kind)
        found = [(cell.cell_type, cell.source) for cell in again.cells]
        if found != [("markdown", "# Title"), ("code", "1 + 1")]:
            raise AssertionError(f"{kind}: {found}")
    argv = [sys.executable, "-m", "jupyter", "server", "extension", "list"]
    listed = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    if not re.search(r"jupytext \W*(?:\[\d+m)?enabled", listed.stdout + listed.stderr):
        raise AssertionError("JupyterLab does not know it")
    return {"cells": len(notebook.cells)}


if __name__ == "__main__":
    run_check(__file__, check)
