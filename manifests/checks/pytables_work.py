"""pandas writes HDF5 and reads only the rows that are asked for."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import pandas as pd

    table = pd.DataFrame({"k": range(1000), "v": [value / 2 for value in range(1000)]})
    table.to_hdf("data.h5", key="t", format="table", data_columns=["k"], complib="blosc", complevel=5)
    some = pd.read_hdf("data.h5", "t", where="k > 996")
    if some["v"].tolist() != [498.5, 499.0, 499.5]:
        raise AssertionError(f"rows {some}")
    return {"rows": len(some)}


if __name__ == "__main__":
    run_check(__file__, check)
