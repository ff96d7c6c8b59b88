"""XGBoost learns what no straight line can part, on the GPU where there is one."""

from __future__ import annotations

from pathlib import Path

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numpy as np
    import xgboost as xgb

    device = "cuda" if xgb.build_info()["USE_CUDA"] and Path("/dev/nvidiactl").exists() else "cpu"
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(4000, 4))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)  # no straight line parts these
    model = xgb.train(
        {"objective": "binary:logistic", "max_depth": 4, "device": device},
        xgb.DMatrix(x[:3000], y[:3000]),
        num_boost_round=50,
    )
    chances = model.predict(xgb.DMatrix(x[3000:]))
    accuracy = float(((chances > 0.5) == y[3000:]).mean())
    if not (accuracy > 0.9):
        raise AssertionError(f"accuracy {accuracy:.2f}, chance is 0.5")
    model.save_model("model.json")
    again = xgb.Booster(model_file="model.json").predict(xgb.DMatrix(x[3000:]))
    if not np.allclose(again, chances, atol=1e-5):
        raise AssertionError("the saved model predicts otherwise")
    return {"accuracy": round(accuracy, 3), "device": device}


if __name__ == "__main__":
    run_check(__file__, check)
