"""pandas writes an Excel file with a chart by XlsxWriter."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import zipfile

    import pandas as pd

    with pd.ExcelWriter("chart.xlsx", engine="xlsxwriter") as book:
        pd.DataFrame({"value": [1, 3, 2]}).to_excel(book, sheet_name="data")
        chart = book.book.add_chart({"type": "column"})
        chart.add_series({"values": "=data!$B$2:$B$4"})
        book.sheets["data"].insert_chart("D2", chart)
    with zipfile.ZipFile("chart.xlsx") as parts:
        text = parts.read("xl/charts/chart1.xml").decode()
    if "data!$B$2:$B$4" not in text:
        raise AssertionError("no chart of these cells")
    return {"characters": len(text)}


if __name__ == "__main__":
    run_check(__file__, check)
