"""networkx finds shortest paths, and the communities of a known network."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import networkx as nx

    club = nx.karate_club_graph()
    length = nx.shortest_path_length(nx.cycle_graph(10), 0, 5)
    if length != 5:
        raise AssertionError(f"half a circle of ten takes {length} steps")
    ranks = nx.pagerank(club)
    first = sorted(ranks, key=ranks.__getitem__)[-2:]
    if set(first) != {0, 33}:
        raise AssertionError(f"the two leaders of the club are {first}")
    communities = nx.community.louvain_communities(club, seed=1)
    if not 2 <= len(communities) <= 6 or sum(map(len, communities)) != 34:
        raise AssertionError(f"communities {communities}")
    return {"communities": len(communities)}


if __name__ == "__main__":
    run_check(__file__, check)
