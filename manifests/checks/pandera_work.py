"""pandera passes a table that is right and names every fault of one that is not."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import pandas as pd
    import pandera.pandas as pa

    schema = pa.DataFrameSchema({"age": pa.Column(int, pa.Check.in_range(0, 120)), "name": pa.Column(str, unique=True)})
    schema.validate(pd.DataFrame({"age": [1, 2], "name": ["a", "b"]}))
    try:
        schema.validate(pd.DataFrame({"age": [1, 200], "name": ["a", "a"]}), lazy=True)
    except pa.errors.SchemaErrors as error:
        columns = sorted(set(error.failure_cases["column"]))
    else:
        raise AssertionError("a table with two faults passes")
    if columns != ["age", "name"]:
        raise AssertionError(f"faults in {columns}")
    return {"faults_in": columns}


if __name__ == "__main__":
    run_check(__file__, check)
