#!/usr/bin/env bash
# Anaconda's pandas and scikit-learn fit a line, and matplotlib draws it.
set -euo pipefail

fail() {
    echo "$1" >&2
    printf '{"check": "anaconda_regression", "ok": false, "reason": "%s"}\n' "${1//[\"\\]/ }"
    exit 1
}
trap 'fail "stopped at line $LINENO"' ERR

prefix=$(conda info --base)
[ -n "$prefix" ] || fail "conda names no base environment"
cat >line.py <<'PYTHON'
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
print(f"{model.coef_[0]:.1f} {model.intercept_:.0f}")
PYTHON
found=$("$prefix/bin/python" line.py)
[ "$found" = "3.0 2" ] || fail "the line 3.0 2 was fitted as $found"
[ -s line.png ] || fail "nothing was drawn"
printf '{"check": "anaconda_regression", "ok": true}\n'
