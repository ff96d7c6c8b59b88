"""The TensorFlow of a CPU image is a CPU build and brings no CUDA libraries."""

from __future__ import annotations

import json
import os
import sys
from importlib import metadata


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
    try:
        result = {"ok": True, **check()}
    except Exception as error:
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        print(result["reason"], file=sys.stderr)
    print(json.dumps({"check": "tensorflow_cpu_build", **result}))
    sys.exit(0 if result["ok"] else 1)
