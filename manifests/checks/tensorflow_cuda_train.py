"""TensorFlow trains on the GPU in mixed precision: the loss falls."""

from __future__ import annotations

import os

from lib.outcome import NotExercisedError, run_check


def check() -> dict[str, object]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    import numpy as np
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise NotExercisedError("no GPU")
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    tf.keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(-1, 1, size=(4000, 2)).astype("float32")
    y = (x[:, :1] * x[:, 1:] > 0).astype("float32")  # no straight line parts these
    hidden = [tf.keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = tf.keras.Sequential([tf.keras.Input((2,)), *hidden, tf.keras.layers.Dense(1, dtype="float32")])
    if hidden[0].compute_dtype != "float16":
        raise AssertionError(f"computes in {hidden[0].compute_dtype}")
    model.compile(tf.keras.optimizers.Adam(0.01), tf.keras.losses.BinaryCrossentropy(from_logits=True))
    before = float(model.evaluate(x, y, verbose=0))
    model.fit(x, y, epochs=20, batch_size=100, verbose=0)
    after = float(model.evaluate(x, y, verbose=0))
    if not (after < 0.3 * before):
        raise AssertionError(f"loss {before:.3f} -> {after:.3f}")
    device = tf.constant(1.0).device
    if "GPU" not in device:
        raise AssertionError(f"computes on {device}")
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "")
    return {"loss": [round(before, 4), round(after, 4)], "device": name, "devices": len(gpus)}


if __name__ == "__main__":
    run_check(__file__, check)
