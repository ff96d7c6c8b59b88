"""DuckDB joins a Parquet file that it wrote with a table of pandas, and rolls a transaction back."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import duckdb
    import pandas as pd

    with duckdb.connect("check.duckdb") as database:
        database.execute("create or replace table sales as select range % 4 as shop, range as amount from range(1000)")
        database.execute("copy sales to 'sales.parquet' (format parquet)")
        shops = pd.DataFrame({"shop": [0, 1, 2, 3], "town": ["Oslo", "Oslo", "Łódź", "Paris"]})
        database.register("shops", shops)
        query = "select town, sum(amount)::bigint from 'sales.parquet' join shops using (shop) group by all order by 1"
        rows = database.execute(query).fetchall()
        wanted = [("Oslo", 124500 + 124750), ("Paris", 125250), ("Łódź", 125000)]
        if sorted(rows) != sorted(wanted):
            raise AssertionError(f"rows {rows}")
        database.execute("begin; delete from sales; rollback")
        (left,) = database.execute("select count(*) from sales").fetchone()
        if left != 1000:
            raise AssertionError(f"{left} rows after the rollback")
    return {"rows": rows}


if __name__ == "__main__":
    run_check(__file__, check)
