"""geopandas joins points to areas, writes GeoPackage and GeoJSON and reads them, and plots."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    from pathlib import Path

    import geopandas as gpd
    import matplotlib as mpl
    from shapely import Point, box

    mpl.use("Agg")
    areas = gpd.GeoDataFrame({"name": ["west", "east"]}, geometry=[box(0, 50, 5, 55), box(5, 50, 10, 55)], crs=4326)
    points = gpd.GeoDataFrame({"id": [1, 2, 3]}, geometry=[Point(1, 51), Point(7, 52), Point(8, 54)], crs=4326)
    counts = points.sjoin(areas, predicate="within").groupby("name")["id"].count().to_dict()
    if counts != {"east": 2, "west": 1}:
        raise AssertionError(f"counts {counts}")
    for kind in ("gpkg", "geojson"):
        areas.to_file(f"areas.{kind}")
        again = gpd.read_file(f"areas.{kind}")
        if not (again.geom_equals(areas.geometry).all() and again.crs == areas.crs):
            raise AssertionError(f"{kind}: other areas come back")
    square = areas.to_crs(3035).area.div(1e6).round().tolist()
    areas.plot(column="name").figure.savefig("map.png")
    if not Path("map.png").stat().st_size > 3000:
        raise AssertionError("nothing is plotted")
    return {"km2": square}


if __name__ == "__main__":
    run_check(__file__, check)
