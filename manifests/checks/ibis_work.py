"""ibis runs a query in DuckDB and shows its SQL for another database."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import ibis

    table = ibis.memtable({"k": ["a", "b", "a"], "v": [1, 2, 3]})
    query = table.group_by("k").agg(total=table.v.sum()).order_by("k")
    found = query.to_pandas().values.tolist()
    if found != [["a", 4], ["b", 2]]:
        raise AssertionError(f"found {found}")
    sql = str(ibis.to_sql(query, dialect="postgres"))
    if not ("GROUP BY" in sql and "SUM" in sql):
        raise AssertionError(f"SQL {sql}")
    return {"rows": found}


if __name__ == "__main__":
    run_check(__file__, check)
