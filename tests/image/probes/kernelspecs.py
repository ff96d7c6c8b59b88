"""Print the names of the kernels that Jupyter offers, as JSON."""

import json

from jupyter_client.kernelspec import KernelSpecManager

print(json.dumps(sorted(KernelSpecManager().find_kernel_specs())))
