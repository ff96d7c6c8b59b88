"""The XGBoost of a CPU image is a CPU build and brings no NCCL."""

from __future__ import annotations

import json
import sys
from importlib import metadata


def check() -> dict[str, object]:
    import xgboost

    build = xgboost.build_info()
    if not (not build["USE_CUDA"] and not build["USE_NCCL"]):
        raise AssertionError(f"built with {build}")
    gpu = sorted(dist.name for dist in metadata.distributions() if dist.name.lower().startswith("nvidia-"))
    if gpu:
        raise AssertionError(f"GPU packages beside it: {', '.join(gpu)}")
    return {"version": xgboost.__version__, "cuda": build["USE_CUDA"], "nccl": build["USE_NCCL"]}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "xgboost_cpu_build", **result}))
    sys.exit(0 if result["ok"] else 1)
