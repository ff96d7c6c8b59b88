"""nbconvert runs a notebook into HTML, and exports Markdown and a script that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lib.outcome import run_check


def check() -> dict[str, object]:
    import nbformat
    from nbconvert import MarkdownExporter, PythonExporter
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    notebook = new_notebook(cells=[new_markdown_cell("# Title $x^2$"), new_code_cell("print(6 * 7)")])
    nbformat.write(notebook, "in.ipynb")
    argv = [sys.executable, "-m", "nbconvert", "in.ipynb", "--to", "html", "--execute", "--output", "out"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise AssertionError(f"it failed: {done.stderr[-300:]}")
    page = Path("out.html").read_text(encoding="utf-8")
    if not ("<h1" in page and "<pre>42" in page):
        raise AssertionError("no title, or no output of the cell, in the HTML")
    markdown, _ = MarkdownExporter().from_notebook_node(notebook)
    if not ("# Title $x^2$" in markdown and "print(6 * 7)" in markdown):
        raise AssertionError(f"Markdown {markdown!r}")
    script, _ = PythonExporter().from_notebook_node(notebook)
    exec(compile(script, "out.py", "exec"), {"print": (printed := []).append})
    if printed != [42]:
        raise AssertionError(f"the script printed {printed}")
    return {"characters": {"html": len(page), "markdown": len(markdown), "script": len(script)}}


if __name__ == "__main__":
    run_check(__file__, check)
