"""The XGBoost of a GPU image is built with CUDA and NCCL; needs no GPU."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import xgboost

    build = xgboost.build_info()
    if not build["USE_CUDA"]:
        raise AssertionError("a CPU build")
    if not build["USE_NCCL"]:
        raise AssertionError("built without NCCL")
    return {"version": xgboost.__version__, "cuda": build["CUDA_VERSION"], "nccl": build["NCCL_VERSION"]}


if __name__ == "__main__":
    run_check(__file__, check)
