"""The TensorFlow of a GPU image is built with CUDA, and finds its CUDA libraries; needs no GPU."""

from __future__ import annotations

import os

from lib.outcome import run_check

# Compute capability, https://developer.nvidia.com/cuda-gpus: what today's data centres have
GPUS = {"A100": 80, "H100": 90, "B200": 100}


def check() -> dict[str, object]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    if not tf.test.is_built_with_cuda():
        raise AssertionError("a CPU build")
    build = tf.sysconfig.get_build_info()
    architectures = list(build["cuda_compute_capabilities"])
    carried = {(kind, int(number)) for kind, _, number in (name.partition("_") for name in architectures)}
    # the binary code of one architecture runs on later ones of its major version, PTX ("compute") on all later ones
    missing = [
        name
        for name, number in GPUS.items()
        if not any(n <= number and (kind == "compute" or n // 10 == number // 10) for kind, n in carried)
    ]
    if missing:
        raise AssertionError(f"no code for {missing}: it carries {architectures}")
    return {
        "version": tf.__version__,
        "cuda": build["cuda_version"],
        "cudnn": build["cudnn_version"],
        "architectures": architectures,
    }


if __name__ == "__main__":
    run_check(__file__, check)
