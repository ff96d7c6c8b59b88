"""Keras trains a small network, stops early, saves it and loads it again."""

from __future__ import annotations

import os

from lib.outcome import run_check


def check() -> dict[str, object]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(3000, 2)).astype("float32")
    y = (x[:, :1] * x[:, 1:] > 0).astype("float32")  # no straight line parts these
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(32, activation="relu")(inputs)
    hidden = keras.layers.Dense(32, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True)
    history = model.fit(
        x[:2500], y[:2500], validation_split=0.2, epochs=40, batch_size=64, verbose=0, callbacks=[stop]
    ).history
    if not (history["loss"][-1] < 0.5 * history["loss"][0]):
        raise AssertionError(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}")
    _, accuracy = model.evaluate(x[2500:], y[2500:], verbose=0)
    if not (accuracy > 0.9):
        raise AssertionError(f"accuracy {accuracy:.2f}, chance is 0.5")
    model.save("model.keras")
    again = keras.models.load_model("model.keras")
    same = np.allclose(again.predict(x[:100], verbose=0), model.predict(x[:100], verbose=0), atol=1e-5)
    if not same:
        raise AssertionError("the saved model predicts otherwise")
    return {"accuracy": round(float(accuracy), 3), "backend": keras.backend.backend(), "epochs": len(history["loss"])}


if __name__ == "__main__":
    run_check(__file__, check)
