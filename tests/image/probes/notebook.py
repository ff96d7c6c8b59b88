"""Execute a notebook of one cell: argv are the kernel's name and the cell. Prints what it printed, as JSON."""

import json
import sys

import nbformat
from nbclient import NotebookClient

kernel, cell = sys.argv[1:]
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
NotebookClient(notebook, kernel_name=kernel, timeout=120, startup_timeout=120).execute()
outputs = notebook.cells[0].outputs
print(json.dumps("".join(output.get("text", "") for output in outputs if output.output_type == "stream")))
