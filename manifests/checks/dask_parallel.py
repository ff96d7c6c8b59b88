"""dask runs two tasks at once, and its arrays and tables agree with numpy and pandas."""

from __future__ import annotations

import threading

from lib.outcome import run_check


def check() -> dict[str, object]:
    import dask
    import dask.array as da
    import dask.dataframe as dd
    import numpy as np
    import pandas as pd

    # Each task waits for the other one: this ends only when both run at the same time.
    barrier = threading.Barrier(2, timeout=300)
    met = dask.compute(
        *[dask.delayed(barrier.wait, pure=False)() for _ in range(2)], scheduler="threads", num_workers=2
    )
    if sorted(met) != [0, 1]:
        raise AssertionError(f"tasks met as {met}")
    numbers = np.random.default_rng(0).random((1000, 1000))
    blocks = da.from_array(numbers, chunks=(250, 250))
    if not np.allclose((blocks @ blocks.T).mean(axis=0).compute(), (numbers @ numbers.T).mean(axis=0)):
        raise AssertionError("wrong product")
    table = pd.DataFrame({"k": np.arange(1000) % 7, "v": numbers[0]})
    sums = dd.from_pandas(table, npartitions=4).groupby("k")["v"].sum().compute().sort_index()
    pd.testing.assert_series_equal(sums, table.groupby("k")["v"].sum())
    return {"tasks_at_once": len(met), "blocks": blocks.npartitions}


if __name__ == "__main__":
    run_check(__file__, check)
