"""Execute a notebook of the image in an empty folder, with the kernel that it names; argv is its path.

Prints {"cells": how many cells of code ran, "error": what went wrong, ""} as JSON.
"""

import json
import sys

import nbformat
from nbclient import NotebookClient
from nbclient.client import CellExecutionError

notebook = nbformat.read(sys.argv[1], as_version=4)
kernel = notebook.metadata.kernelspec.name
error = ""
try:
    NotebookClient(notebook, kernel_name=kernel, timeout=None, startup_timeout=120).execute()
except CellExecutionError as failure:
    error = str(failure)
ran = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count]
print(json.dumps({"cells": len(ran), "error": error}))
