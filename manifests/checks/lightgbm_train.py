"""LightGBM learns what no straight line can part."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import lightgbm as lgb
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(4000, 4))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)  # no straight line parts these
    data = lgb.Dataset(x[:3000], y[:3000])
    model = lgb.train({"objective": "binary", "num_leaves": 16, "verbosity": -1}, data, num_boost_round=50)
    chances = model.predict(x[3000:])
    accuracy = float(((chances > 0.5) == y[3000:]).mean())
    if not (accuracy > 0.9):
        raise AssertionError(f"accuracy {accuracy:.2f}, chance is 0.5")
    model.save_model("model.txt")
    again = lgb.Booster(model_file="model.txt").predict(x[3000:])
    if not np.allclose(again, chances):
        raise AssertionError("the saved model predicts otherwise")
    return {"accuracy": round(accuracy, 3)}


if __name__ == "__main__":
    run_check(__file__, check)
