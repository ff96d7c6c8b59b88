"""shapely cuts and joins areas, and finds which of many lie in one."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import shapely
    from shapely import STRtree, box, from_wkt

    left, right = box(0, 0, 2, 2), box(1, 1, 3, 3)
    areas = (left.intersection(right).area, left.union(right).area, left.buffer(1).area)
    if areas[:2] != (1.0, 7.0) or not 15 < areas[2] < 15.15:
        raise AssertionError(f"areas {areas}")
    tree = STRtree([box(n, 0, n + 1, 1) for n in range(100)])
    if sorted(tree.query(from_wkt("LINESTRING (10.5 0.5, 12.5 0.5)")).tolist()) != [10, 11, 12]:
        raise AssertionError("the index finds others")
    return {"geos": shapely.geos_version_string}


if __name__ == "__main__":
    run_check(__file__, check)
