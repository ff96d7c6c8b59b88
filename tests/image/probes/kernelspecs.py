"""Print the kernels that Jupyter offers and the folder of each, as JSON."""

import json

from jupyter_client.kernelspec import KernelSpecManager

print(json.dumps(KernelSpecManager().find_kernel_specs()))
