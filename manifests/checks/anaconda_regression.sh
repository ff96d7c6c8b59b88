#!/usr/bin/env bash
# Anaconda's pandas, scikit-learn and matplotlib fit a line and draw it.
set -euo pipefail

exec /opt/anaconda/bin/python - <<'PYTHON'
import json
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

random = np.random.default_rng(0)
table = pd.DataFrame({"x": np.linspace(0, 10, 200)})
table["y"] = 3 * table.x + 2 + random.normal(0, 0.1, len(table))
model = LinearRegression().fit(table[["x"]], table.y)
plt.plot(table.x, table.y, ".")
plt.savefig("line.png")
slope, size = float(model.coef_[0]), pathlib.Path("line.png").stat().st_size
print(json.dumps({"check": "anaconda_regression", "ok": abs(slope - 3) < 0.05 and size > 1000, "slope": slope}))
PYTHON
