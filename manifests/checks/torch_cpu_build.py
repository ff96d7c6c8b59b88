"""The PyTorch of a CPU image is a CPU build and brings no CUDA libraries."""

from __future__ import annotations

from importlib import metadata

from lib.outcome import run_check


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
    run_check(__file__, check)
