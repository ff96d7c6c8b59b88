"""nbconvert makes a PDF of a notebook with a formula, and pdflatex one of an article with a table of contents."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lib.outcome import run_check


def check() -> dict[str, object]:
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [new_markdown_cell("# Title\n\n$\\int_0^1 x^2 dx$ and \u00e4"), new_code_cell("print(6 * 7)")]
    nbformat.write(new_notebook(cells=cells), "in.ipynb")
    argv = ["jupyter", "nbconvert", "in.ipynb", "--to", "pdf", "--output", "notebook"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode != 0:
        raise AssertionError(f"nbconvert failed: {done.stderr[-400:]}")
    Path("a.tex").write_text(
        r"\documentclass{article}\usepackage{amsmath,booktabs,hyperref}\begin{document}\tableofcontents\section{One}"
        r"\begin{align}a&=b\end{align}\end{document}"
    )
    for _ in range(2):
        argv = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"pdflatex failed: {done.stdout[-400:]}")
    sizes = {name: Path(name).stat().st_size for name in ("notebook.pdf", "a.pdf")}
    for name in sizes:
        if Path(name).read_bytes()[:5] != b"%PDF-":
            raise AssertionError(f"{name} is no PDF")
    return {"bytes": sizes}


if __name__ == "__main__":
    run_check(__file__, check)
