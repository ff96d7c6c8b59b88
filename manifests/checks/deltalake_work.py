"""polars writes two versions of a Delta table and reads each."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import polars as pl

    pl.DataFrame({"k": [1, 2]}).write_delta("lake")
    pl.DataFrame({"k": [3]}).write_delta("lake", mode="append")
    now, before = pl.read_delta("lake"), pl.read_delta("lake", version=0)
    if (sorted(now["k"].to_list()), sorted(before["k"].to_list())) != ([1, 2, 3], [1, 2]):
        raise AssertionError(f"now {now}, before {before}")
    return {"rows": [before.height, now.height]}


if __name__ == "__main__":
    run_check(__file__, check)
