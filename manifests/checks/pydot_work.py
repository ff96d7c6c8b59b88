"""pydot draws a graph as SVG and PNG by Graphviz."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from pathlib import Path

    import pydot

    graph = pydot.Dot("g", graph_type="digraph")
    graph.add_edge(pydot.Edge("first", "second"))
    graph.write_svg("graph.svg")
    graph.write_png("graph.png")
    text = Path("graph.svg").read_text(encoding="utf-8")
    if not (text.count('class="node"') == 2 and text.count('class="edge"') == 1):
        raise AssertionError(text[:300])
    if Path("graph.png").read_bytes()[:4] != b"\x89PNG":
        raise AssertionError("no PNG")
    return {"characters": len(text)}


if __name__ == "__main__":
    run_check(__file__, check)
