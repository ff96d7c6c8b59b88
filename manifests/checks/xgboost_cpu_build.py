"""The XGBoost of a CPU image is a CPU build and brings no NCCL."""

from __future__ import annotations

from importlib import metadata

from lib.outcome import run_check


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
    run_check(__file__, check)
