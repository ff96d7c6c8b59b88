"""mlflow records two runs, finds the better one, and loads its model again."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import os

    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow
    import numpy as np
    from sklearn.linear_model import Ridge

    mlflow.set_tracking_uri("sqlite:///runs.db")
    mlflow.set_experiment("ridge")
    x = np.random.default_rng(0).random((100, 3))
    y = x @ [1.0, 2.0, 3.0]
    for alpha in (0.01, 100.0):
        with mlflow.start_run():
            model = Ridge(alpha).fit(x, y)
            mlflow.log_param("alpha", alpha)
            mlflow.log_metric("score", model.score(x, y))
    best = mlflow.search_runs(order_by=["metrics.score DESC"]).iloc[0]
    if best["params.alpha"] != "0.01":
        raise AssertionError(f"best is {best.to_dict()}")
    mlflow.sklearn.save_model(Ridge(0.01).fit(x, y), "model", serialization_format="cloudpickle")
    again = mlflow.pyfunc.load_model("model").predict(x[:2])
    if not np.allclose(again, y[:2], atol=0.05):
        raise AssertionError(f"the model of the file answers {again}")
    return {"score": round(float(best["metrics.score"]), 4)}


if __name__ == "__main__":
    run_check(__file__, check)
