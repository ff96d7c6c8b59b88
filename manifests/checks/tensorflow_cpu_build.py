"""The TensorFlow of a CPU image is a CPU build and brings no CUDA libraries."""

from __future__ import annotations

import os
from importlib import metadata

from lib.outcome import run_check


def check() -> dict[str, object]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    if tf.test.is_built_with_cuda():
        raise AssertionError("built with CUDA")
    if tf.test.is_built_with_rocm():
        raise AssertionError("built with ROCm")
    gpu = sorted(dist.name for dist in metadata.distributions() if dist.name.lower().startswith("nvidia-"))
    if gpu:
        raise AssertionError(f"GPU packages beside it: {', '.join(gpu)}")
    return {"version": tf.__version__, "cuda": False}


if __name__ == "__main__":
    run_check(__file__, check)
