"""altair plots a table of polars, as a web page, PNG and SVG."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from pathlib import Path

    import altair as alt
    import polars as pl

    table = pl.DataFrame({"x": [1, 2, 3], "y": [3, 1, 2]})
    table.plot.line(x="x", y="y").save("plot.png")
    if Path("plot.png").read_bytes()[:4] != b"\x89PNG":
        raise AssertionError("no PNG")
    chart = alt.Chart(table).mark_bar().encode(x="x:O", y="y:Q")
    chart.save("plot.svg")
    bars = Path("plot.svg").read_text(encoding="utf-8").count('aria-roledescription="bar"')
    chart.save("plot.html")
    if not (bars == 3 and '"mark"' in Path("plot.html").read_text(encoding="utf-8")):
        raise AssertionError(f"{bars} of 3 bars in the SVG")
    return {"bars": bars}


if __name__ == "__main__":
    run_check(__file__, check)
