"""The XGBoost of a GPU image is built with CUDA and NCCL; needs no GPU."""

from __future__ import annotations

import json
import sys


def check() -> dict[str, object]:
    import xgboost

    build = xgboost.build_info()
    if not build["USE_CUDA"]:
        raise AssertionError("a CPU build")
    if not build["USE_NCCL"]:
        raise AssertionError("built without NCCL")
    return {"version": xgboost.__version__, "cuda": build["CUDA_VERSION"], "nccl": build["NCCL_VERSION"]}


if __name__ == "__main__":
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "xgboost_cuda_build", **result}))
    sys.exit(0 if result["ok"] else 1)
