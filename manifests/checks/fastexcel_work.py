"""polars writes an Excel file and reads it back."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import polars as pl

    table = pl.DataFrame({"k": ["a", "b"], "v": [1.5, 2.5]})
    table.write_excel("book.xlsx", worksheet="first")
    again = pl.read_excel("book.xlsx", sheet_name="first")
    if not again.equals(table):
        raise AssertionError(f"read {again}")
    return {"rows": again.height}


if __name__ == "__main__":
    run_check(__file__, check)
