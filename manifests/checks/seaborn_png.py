"""seaborn draws a regression with its confidence band into a PNG."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd
    import seaborn as sns

    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    table = pd.DataFrame({"x": x, "y": 2 * x + rng.normal(size=200), "kind": np.where(x > 0, "up", "down")})
    grid = sns.lmplot(table, x="x", y="y", hue="kind", n_boot=50)
    labels = sorted(text.get_text() for text in grid.legend.get_texts())
    if labels != ["down", "up"]:
        raise AssertionError(f"legend {labels}")
    grid.savefig("plot.png")
    picture = plt.imread("plot.png")[:, :, :3]
    coloured = int((picture.max(axis=2) - picture.min(axis=2) > 0.2).sum())
    if not (coloured > 2000):
        raise AssertionError(f"points and lines are {coloured} pixels")
    return {"coloured_pixels": coloured, "legend": labels}


if __name__ == "__main__":
    run_check(__file__, check)
