"""shap's values add up to the model's answers, and name the feature that decides."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numpy as np
    import shap
    from sklearn.ensemble import RandomForestRegressor

    x = np.random.default_rng(0).random((300, 4))
    y = 5 * x[:, 2] + 0.1 * x[:, 0]
    model = RandomForestRegressor(20, random_state=0).fit(x, y)
    told = shap.TreeExplainer(model)(x[:50])
    total = told.values.sum(axis=1) + told.base_values
    if not np.allclose(total, model.predict(x[:50]), atol=1e-3):
        raise AssertionError("the parts do not add up to the answer")
    shares = np.abs(told.values).mean(axis=0)
    if int(shares.argmax()) != 2:
        raise AssertionError(f"shares {shares}")
    return {"shares": shares.round(2).tolist()}


if __name__ == "__main__":
    run_check(__file__, check)
