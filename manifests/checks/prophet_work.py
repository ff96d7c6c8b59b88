"""prophet continues a series with a trend and a weekly season."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import logging

    import numpy as np
    import pandas as pd
    from prophet import Prophet

    logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
    days = pd.date_range("2025-01-01", periods=260)

    def truth(of: pd.DatetimeIndex) -> np.ndarray:
        return np.asarray(0.1 * (of - days[0]).days + 5 * (of.dayofweek == 6))

    history = pd.DataFrame({"ds": days, "y": truth(days) + np.random.default_rng(0).normal(0, 0.2, 260)})
    model = Prophet(yearly_seasonality=False, daily_seasonality=False).fit(history)
    told = model.predict(model.make_future_dataframe(21)).tail(21)
    error = float(np.abs(told["yhat"] - truth(pd.DatetimeIndex(told["ds"]))).mean())
    if not error < 0.5:
        raise AssertionError(f"mean error {error:.2f} of a season of 5")
    return {"error": round(error, 3)}


if __name__ == "__main__":
    run_check(__file__, check)
