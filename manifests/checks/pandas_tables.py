"""pandas joins and groups tables, and gets the same table back from Parquet."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import pandas as pd

    sales = pd.DataFrame({"shop": ["a", "b", "a", "c"], "sum": [1.5, 2.0, 3.5, 4.0]})
    towns = pd.DataFrame({"shop": ["a", "b"], "town": ["Łódź", "Köln"]})
    totals = sales.merge(towns, on="shop", how="left").groupby("town")["sum"].sum()
    if totals.to_dict() != {"Köln": 2.0, "Łódź": 5.0}:
        raise AssertionError(f"wrong totals: {totals.to_dict()}")
    sales["day"] = pd.date_range("2024-02-28", periods=4)
    sales.to_parquet("sales.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet("sales.parquet"), sales)
    return {"totals": totals.to_dict()}


if __name__ == "__main__":
    run_check(__file__, check)
