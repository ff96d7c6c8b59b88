"""rasterio writes a GeoTIFF, reads a window of it, and warps it to another system."""

from __future__ import annotations

from lib.outcome import run_check


def check() -> dict[str, object]:
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.warp import calculate_default_transform
    from rasterio.windows import Window

    heights = np.arange(10_000, dtype="float32").reshape(100, 100)
    place = {"crs": "EPSG:4326", "transform": from_origin(10, 50, 0.01, 0.01)}
    with rasterio.open(
        "h.tif", "w", driver="GTiff", height=100, width=100, count=1, dtype="float32", compress="deflate", **place
    ) as out:
        out.write(heights, 1)
    with rasterio.open("h.tif") as file:
        part = file.read(1, window=Window(10, 20, 2, 1)).tolist()
        at = [float(one[0]) for one in file.sample([(10.105, 49.795)])]
        _, width, height = calculate_default_transform(file.crs, "EPSG:32632", file.width, file.height, *file.bounds)
    if (part, at) != ([[2010.0, 2011.0]], [2010.0]):
        raise AssertionError(f"read {part}, at a place {at}")
    if not (width and height and height > width):
        raise AssertionError(f"in metres {width} x {height}")
    return {"warped": [width, height]}


if __name__ == "__main__":
    run_check(__file__, check)
