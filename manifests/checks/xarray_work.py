"""xarray writes NetCDF, reads it back lazily, and selects and groups by labels."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numpy as np
    import pandas as pd
    import xarray as xr

    days = pd.date_range("2026-01-01", periods=59)
    data = xr.DataArray(np.arange(118.0).reshape(59, 2), coords={"day": days, "place": ["a", "b"]}, name="rain")
    data.to_netcdf("rain.nc")
    with xr.open_dataset("rain.nc") as again:
        months = again["rain"].groupby("day.month").mean().sel(place="b").values.tolist()
    if months != [31.0, 90.0]:
        raise AssertionError(f"means of months {months}")
    return {"means": months}


if __name__ == "__main__":
    run_check(__file__, check)
