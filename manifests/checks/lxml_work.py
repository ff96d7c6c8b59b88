"""pandas reads a table of a web page and writes XML, and lxml asks it by XPath and XSLT."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import io

    import pandas as pd
    from lxml import etree

    page = "<table><tr><th>k</th><th>v</th></tr><tr><td>a</td><td>1</td></tr><tr><td>b</td><td>2</td></tr></table>"
    (table,) = pd.read_html(io.StringIO(page), flavor="lxml")
    tree = etree.fromstring(table.to_xml().encode())
    if tree.xpath("sum(//v)") != 3.0:
        raise AssertionError(etree.tostring(tree).decode())
    style = etree.XSLT(
        etree.XML(
            '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:output method="text"/>'
            '<xsl:template match="/"><xsl:value-of select="count(//row)"/></xsl:template></xsl:stylesheet>'
        )
    )
    if str(style(tree)) != "2":
        raise AssertionError(f"rows {style(tree)}")
    return {"rows": 2}


if __name__ == "__main__":
    run_check(__file__, check)
