"""XGBoost learns on the GPU what no straight line can part."""

from __future__ import annotations

import json
from pathlib import Path

from lib.outcome import NotExercisedError, run_check


def check() -> dict[str, object]:
    import numpy as np
    import xgboost as xgb

    if not xgb.build_info()["USE_CUDA"]:
        raise AssertionError("a CPU build")
    if not Path("/dev/nvidiactl").exists():
        raise NotExercisedError("no GPU")
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(20000, 4))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)  # no straight line parts these
    data = xgb.QuantileDMatrix(x[:15000], y[:15000])
    model = xgb.train({"objective": "binary:logistic", "max_depth": 4, "device": "cuda"}, data, num_boost_round=50)
    used = json.loads(model.save_config())["learner"]["generic_param"]["device"]
    if not used.startswith("cuda"):
        raise AssertionError(f"trained on {used}")
    chances = model.inplace_predict(x[15000:])
    accuracy = float(((chances > 0.5) == y[15000:]).mean())
    if not (accuracy > 0.9):
        raise AssertionError(f"accuracy {accuracy:.2f}, chance is 0.5")
    return {"accuracy": round(accuracy, 3), "device": used}


if __name__ == "__main__":
    run_check(__file__, check)
