"""nbconvert runs a notebook and exports it to HTML, Markdown and a script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def check() -> dict[str, object]:
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [new_markdown_cell("# Title $x^2$"), new_code_cell("print(6 * 7)")]
    nbformat.write(new_notebook(cells=cells), "in.ipynb")
    sizes = {}
    for source, kind, result, expected in [
        ("in.ipynb", "notebook", "run.ipynb", "42"),
        ("run.ipynb", "html", "run.html", "<h1"),
        ("run.ipynb", "markdown", "run.md", "42"),
        ("run.ipynb", "script", "run.py", "print(6 * 7)"),
    ]:
        argv = [sys.executable, "-m", "nbconvert", source, "--to", kind, "--output", "run"]
        argv += ["--execute"] if kind == "notebook" else []
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{kind}: {done.stderr[-300:]}"
        text = Path(result).read_text(encoding="utf-8")
        assert expected in text, f"{kind}: no {expected!r} in it"
        sizes[kind] = len(text)
    return {"characters": sizes}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "nbconvert_html", **result}))
    sys.exit(0 if result["ok"] else 1)
