"""The PyTorch of a CPU image is a CPU build and brings no CUDA libraries."""

from __future__ import annotations

import json
import sys
from importlib import metadata


def check() -> dict[str, object]:
    import torch

    if torch.version.cuda is not None:
        raise AssertionError(f"built for CUDA {torch.version.cuda}")
    if torch.version.hip is not None:
        raise AssertionError(f"built for ROCm {torch.version.hip}")
    gpu = sorted(dist.name for dist in metadata.distributions() if dist.name.lower().startswith(("nvidia-", "triton")))
    if gpu:
        raise AssertionError(f"GPU packages beside it: {', '.join(gpu)}")
    return {"version": torch.__version__, "cuda": torch.version.cuda}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "torch_cpu_build", **result}))
    sys.exit(0 if result["ok"] else 1)
