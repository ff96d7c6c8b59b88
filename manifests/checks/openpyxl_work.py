"""pandas writes an Excel file with two sheets and reads it back."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import openpyxl
    import pandas as pd

    table = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=3), "value": [1.5, 2.5, 3.5]})
    with pd.ExcelWriter("book.xlsx", engine="openpyxl") as book:
        table.to_excel(book, sheet_name="first", index=False)
        table.to_excel(book, sheet_name="second", index=False)
    again = pd.read_excel("book.xlsx", sheet_name=None)
    if list(again) != ["first", "second"]:
        raise AssertionError(f"sheets {list(again)}")
    pd.testing.assert_frame_equal(again["second"], table, check_dtype=False)
    cell = openpyxl.load_workbook("book.xlsx")["first"]["B3"].value
    if cell != 2.5:
        raise AssertionError(f"B3 is {cell}")
    return {"sheets": list(again)}


if __name__ == "__main__":
    run_check(__file__, check)
