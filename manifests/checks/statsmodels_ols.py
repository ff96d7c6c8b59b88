"""statsmodels recovers the coefficients that made the data, and knows which one is zero."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numpy as np
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3))
    y = 1.0 + x @ [2.0, -3.0, 0.0] + rng.normal(scale=0.5, size=2000)
    fit = sm.OLS(y, sm.add_constant(x)).fit()
    if not np.allclose(fit.params, [1, 2, -3, 0], atol=0.05):
        raise AssertionError(f"coefficients {fit.params}")
    if not (fit.pvalues[1] < 1e-6 < 1e-3 < fit.pvalues[3]):
        raise AssertionError(f"p-values {fit.pvalues}")
    if "R-squared" not in str(fit.summary()):
        raise AssertionError("no summary table")
    return {
        "coefficients": [round(float(one), 3) for one in fit.params],
        "r_squared": round(float(fit.rsquared), 3),
    }


if __name__ == "__main__":
    run_check(__file__, check)
