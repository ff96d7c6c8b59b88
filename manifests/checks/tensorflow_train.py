"""TensorFlow trains a small feed-forward network, on the GPU where there is one: the loss falls."""

from __future__ import annotations

import os

from lib.outcome import run_check


def check() -> dict[str, object]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import numpy as np
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(-1, 1, size=(2000, 2)).astype("float32")
    y = (x[:, :1] * x[:, 1:] > 0).astype("float32")  # no straight line parts these
    layers = [tf.keras.layers.Dense(32, activation="relu") for _ in range(2)]
    model = tf.keras.Sequential([tf.keras.Input((2,)), *layers, tf.keras.layers.Dense(1)])
    loss = tf.keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(0.01), loss)
    before = float(model.evaluate(x, y, verbose=0))
    model.fit(x, y, epochs=20, batch_size=100, verbose=0)
    after = float(model.evaluate(x, y, verbose=0))
    if not (after < 0.3 * before):
        raise AssertionError(f"loss {before:.3f} -> {after:.3f}")
    accuracy = float(((model.predict(x, verbose=0) > 0) == y).mean())
    if not (accuracy > 0.9):
        raise AssertionError(f"accuracy {accuracy:.2f}, chance is 0.5")
    device = tf.constant(1.0).device.rsplit("/", 1)[-1]
    return {"loss": [round(before, 4), round(after, 4)], "accuracy": round(accuracy, 3), "device": device}


if __name__ == "__main__":
    run_check(__file__, check)
